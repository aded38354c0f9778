//! [`Destination`]: what the destination of a migration has already.

use std::collections::{HashMap, HashSet};

use filestore_core::{Addressing, Capabilities, ErrorKind, Feature, FileRef, Result, StoredFile};

use super::Migration;
use super::places::{Place, folded};
use super::records::{self, Header, Record, Records};
use crate::listing::{list_tree, path_in_scope};

/// The files of the destination that may be those of the source.
pub(super) enum Destination {
    /// The destination cannot be listed, or the journal has no file that may be there.
    Unlisted,
    /// By their folded paths.
    Paths(HashMap<Vec<String>, StoredFile>),
    /// By the references that the service has assigned.
    Ids(HashMap<FileRef, StoredFile>),
    /// By name and size, because the service tells the key only in its response.
    Keys {
        /// The files that no map names.
        unclaimed: HashMap<Identity, Vec<StoredFile>>,
        /// The number of interrupted uploads that may have stored them, of all shards.
        claims: HashMap<Identity, u32>,
        knows_all_shards: bool,
    },
}

/// The name and the size of a file.
type Identity = (String, Option<u64>);

/// The file of the destination that is, or may be, a file of the source.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) existing: Option<StoredFile>,
    /// `true` if it is the file: its content need not be compared.
    pub(super) is_certain: bool,
    /// The files that may be a copy, if the file is sent again although an earlier run may have stored it.
    pub(super) may_be: Option<Vec<FileRef>>,
}

impl Destination {
    /// Lists the destination, as far as the files of `records` and `places` may be there.
    pub(super) async fn list<'a>(
        migration: &Migration,
        header: &Header,
        records: &Records,
        places: impl Iterator<Item = &'a Place>,
    ) -> Result<Self> {
        let to = migration.to.capabilities();
        let is_needed = to.addressing == Addressing::CallerPath || records.interrupted().next().is_some();
        if !to.supports(Feature::List) || !is_needed {
            return Ok(Self::Unlisted);
        }
        match to.addressing {
            Addressing::CallerPath => {
                let begun = records.interrupted().filter_map(|(_, record)| record.begun.as_ref()).map(Place::of);
                let begun = begun.map(|place| folded(to, &place));
                let wanted: HashSet<_> = places.map(|place| folded(to, place)).chain(begun).collect();
                let mut paths = HashMap::new();
                list(migration, |file| {
                    let mut path = path_in_scope(to, migration.to_scope.as_deref(), &file);
                    let name = path.pop().unwrap_or_default();
                    let scope = migration.to_scope.iter().map(String::as_str).chain(path.iter().map(String::as_str));
                    let path = folded(to, &Place::new(scope, name));
                    if wanted.contains(&path) {
                        paths.insert(path, file);
                    }
                })
                .await?;
                Ok(Self::Paths(paths))
            }
            Addressing::CallerNameServerId => {
                let assigned: HashSet<_> = records.interrupted().flat_map(|(_, record)| &record.assigned).collect();
                let mut ids = HashMap::new();
                list(migration, |file| {
                    if assigned.contains(&file.reference) {
                        ids.insert(file.reference.clone(), file);
                    }
                })
                .await?;
                Ok(Self::Ids(ids))
            }
            _ => Self::list_keys(migration, header, records).await,
        }
    }

    async fn list_keys(migration: &Migration, header: &Header, records: &Records) -> Result<Self> {
        let siblings = records::read_siblings(&migration.journal, header)?;
        let interrupted = records.interrupted().chain(siblings.interrupted());
        let mut claims = HashMap::<_, u32>::new();
        for begin in interrupted.filter_map(|(_, record)| record.begun.as_ref()) {
            *claims.entry((begin.to_name.clone(), begin.file.size)).or_default() += 1;
        }
        let mapped: HashSet<_> = records.targets().chain(siblings.targets()).collect();
        let mut unclaimed = HashMap::<Identity, Vec<_>>::new();
        list(migration, |file| {
            let identity = (file.name.clone(), file.size);
            if claims.contains_key(&identity) && !mapped.contains(&file.reference) {
                unclaimed.entry(identity).or_default().push(file);
            }
        })
        .await?;
        let mut shards: HashSet<_> = records.shards.iter().chain(&siblings.shards).cloned().collect();
        shards.extend(migration.shard.map(|shard| shard.to_string()));
        let knows_all_shards = migration.shard.is_none_or(|shard| shards.len() >= shard.count() as usize);
        Ok(Self::Keys { unclaimed, claims, knows_all_shards })
    }

    /// Returns the file that is, or may be, the copy of `file` at `place`.
    pub(super) fn find(&self, file: &StoredFile, place: &Place, record: Option<&Record>, to: &Capabilities) -> Found {
        let Some(begin) = record.and_then(|record| record.begun.as_ref()) else {
            // It was never sent, but another file may be in its place.
            let existing = match self {
                Self::Paths(paths) => paths.get(&folded(to, place)).cloned(),
                _ => None,
            };
            return Found { existing, ..Found::default() };
        };
        match self {
            // The same path is one file, however often it is sent.
            Self::Unlisted if to.addressing == Addressing::CallerPath => Found::default(),
            Self::Unlisted => Found { may_be: Some(Vec::new()), ..Found::default() },
            Self::Paths(paths) => {
                let existing = paths.get(&folded(to, place)).cloned();
                Found { existing, ..Found::default() }
            }
            Self::Ids(ids) => {
                let mut assigned = record.into_iter().flat_map(|record| &record.assigned);
                let existing = assigned.find_map(|reference| ids.get(reference)).cloned();
                let is_whole = |existing: &StoredFile| existing.size.is_none() || existing.size == file.size;
                Found { is_certain: true, existing: existing.filter(is_whole), ..Found::default() }
            }
            Self::Keys { unclaimed, claims, knows_all_shards } => {
                let identity = (begin.to_name.clone(), begin.file.size);
                let after = begin.after.as_ref().and_then(|time| time.parse().ok());
                let is_later =
                    |file: &&StoredFile| file.created.zip(after).is_none_or(|(created, after)| created >= after);
                let found: Vec<_> = unclaimed.get(&identity).into_iter().flatten().filter(is_later).collect();
                // Without both times, it may be a file of before.
                let is_timed = after.is_some() && found.iter().all(|file| file.created.is_some());
                let is_one = found.len() == 1 && claims.get(&identity) == Some(&1);
                let is_certain = *knows_all_shards && is_timed && is_one;
                match is_certain {
                    true => Found { existing: found.first().copied().cloned(), is_certain, ..Found::default() },
                    false => {
                        let copies: Vec<_> = found.iter().map(|file| file.reference.clone()).collect();
                        Found { may_be: (!copies.is_empty()).then_some(copies), ..Found::default() }
                    }
                }
            }
        }
    }
}

/// Lists the scope of the destination. One that does not exist has no files.
async fn list(migration: &Migration, each: impl FnMut(StoredFile)) -> Result<()> {
    match list_tree(&migration.to, migration.to_scope.clone(), each).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        listed => listed.map(drop),
    }
}

/// Returns the uploads of earlier runs that were sent again: each may have been stored after the run that sent it was
/// killed, and its id proves that it is a second copy.
pub(super) fn superseded(records: &Records) -> Vec<FileRef> {
    let of = |record: &Record| {
        let assigned = record.assigned.iter().filter(|reference| Some(*reference) != record.done.as_ref());
        assigned.cloned().collect::<Vec<_>>()
    };
    records.files.values().filter(|record| record.done.is_some()).flat_map(of).collect()
}
