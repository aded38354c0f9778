//! [`Migration`]: moves the files of one store to another, over interruptions, and keeps a map of the references.

mod destination;
mod journal;
mod places;
mod records;
mod transfer;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use filestore_core::{
    Addressing, Capabilities, Download, Error, Feature, FileRef, List, Operation, Options, Result, ScopeKind, Store,
    StoredFile, check_runtime,
};
use futures::stream;
use tokio::time::Instant;

use self::destination::Destination;
use self::journal::Journal;
use self::places::{Place, Places};
use self::records::{Header, Records};
use self::transfer::{MigrateFile, ServiceClock, Shared, file_copy};
use crate::copy::{OnRead, check_read_back};
use crate::listing::{list_tree, path_in_scope};
use crate::spool::Spool;
use crate::{CopiedFile, Filter, Outcomes, Shard, TransferPool};

/// A migration of all files of a scope to another store.
///
/// Two files record it: a *journal*, from which a later run with the same values goes on, and a *map* with one line
/// `{"from": REFERENCE, "to": REFERENCE}` of JSON for each file that the destination has confirmed. A process may be
/// killed at any time.
///
/// - **Exactly once.** Before a file is sent, the journal says so durably. A later run looks for the files that were
///   begun and not confirmed at the destination, before it sends them again: by the path where the caller chooses it, by
///   the id where the service adds one before the content is sent, else by name, size and time. Where the destination
///   cannot be listed, or where several files may be the one, the file is [sent again](MigrationPlan::sent_again).
/// - **Nothing is replaced.** A file that the destination has already under the same path is compared. If the content is
///   equal, it is the new file. Otherwise the source file fails with *already exists*.
/// - **Nothing is deleted.** The files of the source stay, except those whose read consumes them.
/// - **Names.** Paths below the scope are kept if both stores have folders. Elsewhere, the name is. Files that would be
///   one file at the destination get a part of the hash of their reference into their names: `a (3f2a9c01).txt`.
///
/// ```
/// use filestore_core::{Result, Store};
/// use filestore_transfer::{Migration, TransferPool};
/// use futures::StreamExt;
///
/// async fn migrate(from: &Store, to: &Store) -> Result<()> {
///     let plan = Migration::new(from, to, "archive.journal", "archive.map").plan().await?; // nothing is sent yet
///     for (file, error) in &plan.left_out {
///         eprintln!("{file:?}: {error}");
///     }
///     let (mut outcomes, ending) = plan.run(&TransferPool::new())?;
///     while let Some(outcome) = outcomes.next().await {
///         if let Err(error) = outcome.result {
///             eprintln!("{error}"); // a later run sends it again
///         }
///     }
///     ending.finish().await
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Migration {
    from: Store,
    from_scope: Option<String>,
    to: Store,
    to_scope: Option<String>,
    journal: PathBuf,
    map: PathBuf,
    filter: Filter,
    shard: Option<Shard>,
    consume: bool,
    read_back: bool,
    options: Options,
    on_read: OnRead,
}

/// The files of a migration that are still to be moved.
#[derive(Debug)]
#[non_exhaustive]
pub struct MigrationPlan {
    /// The references and sizes of the files to move, in the order of the listing.
    pub files: Vec<(FileRef, Option<u64>)>,
    /// The number of files that the journal says are done.
    pub done: u64,
    /// The files that cannot be moved, each with the reason: *invalid input* for a name that the destination does not
    /// accept, *too large* or *unsupported* for what it cannot store, *already exists* for another file in its place,
    /// *not found* for a file that is gone.
    pub left_out: Vec<(FileRef, Error)>,
    /// The files that are sent again although an earlier run may have stored them, each with the files at the destination
    /// that may be its copy. It has none if the destination cannot be listed.
    pub sent_again: Vec<(FileRef, Vec<FileRef>)>,
    /// The number of files that lose the folders of their path, because the destination has none.
    pub without_folders: u64,
    /// The smallest number of entries of the source that no reference can address; see
    /// [`Page::left_out`](filestore_core::Page::left_out).
    pub unaddressable: u64,
    migration: Migration,
    header: Header,
    /// The length of the journal from which the plan was made.
    journal_length: u64,
    steps: Vec<Step>,
    superseded: Vec<FileRef>,
    /// The files that are confirmed, and that a kill has left in the spool.
    confirmed: Vec<FileRef>,
    clock: Option<ServiceClock>,
}

/// A file to move.
#[derive(Debug, Clone)]
struct Step {
    file: StoredFile,
    place: Place,
    /// The file that the destination has in its place. Their contents are compared.
    existing: Option<StoredFile>,
    /// `true` if the file is at the destination, which only the journal does not know yet.
    is_found: bool,
    /// `true` if an earlier run has begun the file.
    was_begun: bool,
    /// The references that earlier runs were assigned for the file.
    earlier: Vec<FileRef>,
}

impl Migration {
    /// Creates a migration from the default scope of `from` to that of `to`.
    pub fn new(from: &Store, to: &Store, journal: impl Into<PathBuf>, map: impl Into<PathBuf>) -> Self {
        Self {
            from: from.clone(),
            from_scope: None,
            to: to.clone(),
            to_scope: None,
            journal: journal.into(),
            map: map.into(),
            filter: Filter::new(),
            shard: None,
            consume: false,
            read_back: false,
            options: Options::default(),
            on_read: OnRead::default(),
        }
    }

    /// Sets the scope of the source. All folders below it belong to it.
    pub fn from_scope(mut self, scope: impl Into<String>) -> Self {
        self.from_scope = Some(scope.into());
        self
    }

    /// Sets the scope of the destination.
    pub fn to_scope(mut self, scope: impl Into<String>) -> Self {
        self.to_scope = Some(scope.into());
        self
    }

    /// Sets the filter, whose globs match paths below the scope of the source.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets the part of the files that this process moves. Each part has a journal and a map of its own. The maps, and
    /// the journals, of all parts can be joined to one file.
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = Some(shard);
        self
    }

    /// Allows to read files whose read consumes them. Each content is stored durably in the folder `JOURNAL.spool` before
    /// it is sent, and stays there until the destination has confirmed it.
    pub fn consume(mut self, consume: bool) -> Self {
        self.consume = consume;
        self
    }

    /// Sets whether each new file is read again; see [`FileCopy::read_back`](crate::FileCopy::read_back).
    pub fn read_back(mut self, read_back: bool) -> Self {
        self.read_back = read_back;
        self
    }

    /// Sets the provider options of the uploads to the destination.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Passes the downloads of files whose read consumes them through `hook`; see
    /// [`FileCopy::on_read`](crate::FileCopy::on_read).
    pub fn on_read(mut self, hook: impl Fn(Download) -> Download + Send + Sync + 'static) -> Self {
        self.on_read = OnRead::new(hook);
        self
    }

    /// Lists the source, and what the destination has already. Sends nothing and writes nothing, so it is also the dry
    /// run. The plan takes some hundred bytes of memory for each file.
    ///
    /// Fails with *invalid input* if source and destination are one store, if the journal is that of another migration or
    /// damaged, or if a glob is invalid; with *unsupported* if the source cannot be listed, or if its reads consume and
    /// [`consume`](Self::consume) is not set; and as [`Store::list`].
    pub async fn plan(self) -> Result<MigrationPlan> {
        check_runtime()?;
        self.check()?;
        let matcher = self.filter.compile()?;
        let header = self.header();
        let (records, journal_length) = records::read(&self.journal, &header)?;
        // 1. List the source.
        let (mut files, from) = (Vec::new(), self.from.capabilities());
        let scope = self.from_scope.as_deref();
        let unaddressable = list_tree(&self.from, self.from_scope.clone(), |file| {
            let path = path_in_scope(from, scope, &file);
            if matcher.chooses_file(Path::new(&path.join("/"))) {
                files.push((path, file));
            }
        })
        .await?;
        // 2. Choose the place of each file. All shards choose the same ones.
        let mut places = Places::new(self.to.capabilities(), self.to_scope.as_deref());
        let chosen = places.choose(files);
        let mine = |file: &FileRef| self.shard.is_none_or(|shard| shard.includes(file));
        let chosen: Vec<_> = chosen.into_iter().filter(|(file, _)| mine(&file.reference)).collect();
        // 3. Find what the destination has.
        let destination = Destination::list(&self, &header, &records, chosen.iter().map(|(_, place)| place)).await?;
        // 4. Decide about each file.
        let mut plan = MigrationPlan {
            files: Vec::new(),
            done: records.files.values().filter(|record| record.done.is_some()).count() as u64,
            left_out: Vec::new(),
            sent_again: Vec::new(),
            without_folders: places.without_folders,
            unaddressable,
            superseded: destination::superseded(&records),
            confirmed: self.confirmed_in_spool(&records),
            clock: self.clock().await?,
            steps: Vec::new(),
            header,
            journal_length,
            migration: self,
        };
        let gone = gone(&records, &chosen);
        for (file, place) in chosen {
            plan.add(&records, &destination, file, place, false);
        }
        for (file, place) in gone {
            plan.add(&records, &destination, file, place, true);
        }
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        if self.from.name() == self.to.name() {
            return Err(Error::invalid(format!(
                "{:?} is the source and the destination; name two stores",
                self.from.name()
            )));
        }
        self.from.require(&[Feature::List.into()])?;
        if self.from.capabilities().reads_consume() && !self.consume {
            let message = "a read of this store may consume the file; allow it (--consume) to move its files";
            return Err(Error::unsupported(message).with_store(self.from.name()));
        }
        if self.read_back {
            check_read_back(self.to.capabilities()).map_err(|error| error.with_store(self.to.name()))?;
        }
        Ok(())
    }

    fn header(&self) -> Header {
        let scope = |store: &Store, scope: &Option<String>| match scope {
            Some(scope) => format!("{}:{}/", store.name(), scope.trim_end_matches('/')),
            None => store.name().to_owned(),
        };
        let shard = self.shard.map(|shard| shard.to_string());
        Header::new(scope(&self.from, &self.from_scope), scope(&self.to, &self.to_scope), shard)
    }

    fn spool(&self) -> Spool {
        let mut name = self.journal.as_os_str().to_owned();
        name.push(".spool");
        Spool::new(PathBuf::from(name))
    }

    fn confirmed_in_spool(&self, records: &Records) -> Vec<FileRef> {
        let spool = self.spool();
        let done = records.files.iter().filter(|(_, record)| record.done.is_some()).map(|(from, _)| from);
        done.filter(|from| self.consume && spool.has(from)).cloned().collect()
    }

    /// Returns the time of the destination, if the service chooses a key and an interrupted upload has no other proof than
    /// its name, its size and its time.
    async fn clock(&self) -> Result<Option<ServiceClock>> {
        let to = self.to.capabilities();
        if to.addressing != Addressing::ServerKey || !to.supports(Feature::List) {
            return Ok(None);
        }
        let page = self.to.list(List::new().limit(1)).await?;
        Ok(page.date.map(|date| ServiceClock { date, read: Instant::now() }))
    }
}

/// Returns the files that an earlier run has begun, and that the source does not list any more.
fn gone(records: &Records, listed: &[(StoredFile, Place)]) -> Vec<(StoredFile, Place)> {
    let listed: HashSet<_> = listed.iter().map(|(file, _)| &file.reference).collect();
    let interrupted = records.interrupted().filter(|(from, _)| !listed.contains(from));
    let begun = interrupted.filter_map(|(_, record)| record.begun.as_ref());
    begun.map(|begin| (begin.file.clone().into(), Place::of(begin))).collect()
}

impl MigrationPlan {
    /// Adds a file: to those to move, to those that are done, or to those that are left out.
    fn add(&mut self, records: &Records, destination: &Destination, file: StoredFile, place: Place, is_gone: bool) {
        let record = records.files.get(&file.reference);
        if record.is_some_and(|record| record.done.is_some()) {
            return;
        }
        // An interrupted file keeps its place.
        let place = record.and_then(|record| record.begun.as_ref()).map_or(place, Place::of);
        let found = destination.find(&file, &place, record, self.migration.to.capabilities());
        self.sent_again.extend(found.may_be.map(|copies| (file.reference.clone(), copies)));
        let earlier = record.map_or_else(Vec::new, |record| record.assigned.clone());
        let was_begun = record.is_some_and(|record| record.begun.is_some());
        let step = Step { existing: found.existing, is_found: found.is_certain, file, place, was_begun, earlier };
        if step.existing.is_none() {
            let is_spooled = self.migration.consume && self.migration.spool().whole(&step.file.reference).is_some();
            let possible = match is_gone && !is_spooled {
                true => Err(self.lost(&step.file)),
                false => self.check(&step),
            };
            if let Err(error) = possible {
                self.left_out.push((step.file.reference, error));
                return;
            }
        }
        self.files.push((step.file.reference.clone(), step.file.size));
        self.steps.push(step);
    }

    /// Checks whether the destination can store the file.
    fn check(&self, step: &Step) -> Result<()> {
        file_copy(&self.migration, step).check_upload(&step.file, self.migration.to.capabilities())
    }

    /// Returns the error of a file that is neither at the source nor at the destination.
    fn lost(&self, file: &StoredFile) -> Error {
        let mut message = format!(
            "an earlier run has begun to move {:?}; now it is neither at the source nor at the destination",
            file.name
        );
        if self.migration.from.capabilities().reads_consume() {
            message.push_str("; the service has counted the read, and has not sent the whole content");
            if let Some(partial) = self.migration.spool().partial(&file.reference) {
                message.push_str(&format!("; what arrived is in {}", partial.display()));
            }
        }
        self.migration.from.context_of(Error::not_found(message), Operation::Download, &file.reference)
    }

    /// Opens the journal and the map, and returns the transfers of [`files`](Self::files), whose keys are the positions
    /// there, and the end of the migration.
    ///
    /// The errors of a file are those of [`TransferPool::copy_all`], *already exists* if the destination has another file
    /// in its place, and errors of the journal, with the effect *not sent*. If the journal cannot be written, no further
    /// file is sent.
    ///
    /// Fails with *invalid input* if another process uses the journal, or has used it since the plan was made, and if the
    /// files cannot be written.
    pub fn run(self, pool: &TransferPool) -> Result<(Outcomes<usize, CopiedFile>, MigrationEnd)> {
        let Self { migration, header, journal_length, steps, superseded, confirmed, clock, .. } = self;
        let journal = Journal::open(&migration.journal, &migration.map, &header, journal_length)?;
        let from = migration.from.clone();
        let shared = Arc::new(Shared::new(migration, journal, clock, superseded));
        let of_all = Arc::clone(&shared);
        let inputs = steps.into_iter().map(move |step| MigrateFile { step, shared: Arc::clone(&of_all) });
        let outcomes = pool.run_all(&from, stream::iter(inputs.enumerate()));
        shared.journal.on_failure(outcomes.finisher());
        Ok((outcomes, MigrationEnd { shared, confirmed }))
    }
}

/// The end of a run of a migration.
pub struct MigrationEnd {
    shared: Arc<Shared>,
    confirmed: Vec<FileRef>,
}

impl MigrationEnd {
    /// Deletes the second copies that uploads of killed runs may have stored later, which only their ids prove, removes
    /// contents from the spool that are confirmed, and makes the journal and the map durable. Call it when all outcomes
    /// are known.
    ///
    /// Errors: those of [`Store::delete`], and *quota*, *io* if the files cannot be written.
    pub async fn finish(self) -> Result<()> {
        let Shared { migration, journal, .. } = &*self.shared;
        for copy in self.shared.take_superseded() {
            migration.to.delete(copy).await?;
        }
        let spool = migration.spool();
        for file in &self.confirmed {
            spool.remove(file).await?;
        }
        spool.remove_if_empty();
        journal.close().await
    }
}

impl fmt::Debug for MigrationEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MigrationEnd").field("to", &self.shared.migration.to.name()).finish_non_exhaustive()
    }
}

/// Returns `true` if the destination has folders.
fn has_folders(capabilities: &Capabilities) -> bool {
    capabilities.scope == ScopeKind::Folder
}
