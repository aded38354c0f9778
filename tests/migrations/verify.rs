//! The check of a destination, past the command: by the listing of the store, the content of each file, and the map.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use filestore::{FileRef, StoredFile, Upload};
use filestore_testbed::{Result, failed};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::environment::Environment;
use crate::files::{SourceFile, sum};
use crate::migration::DOWNLOADS;
use crate::place::{Place, StoreName};

/// The number of reads at the same time.
const READS: usize = 8;

/// The largest file, in bytes.
const LARGEST: usize = 16 << 20;

/// Checks that each source file is at the destination exactly once, with its path or name and its content, that nothing
/// else is there, and that the maps together have exactly one line for each file.
pub(crate) async fn verify(
    environment: &Environment,
    sources: &[SourceFile],
    target: &Place,
    maps: &[&Path],
) -> Result<()> {
    let map = read_maps(maps)?;
    let mut stored: HashMap<String, StoredFile> = HashMap::new();
    for file in environment.list(target).await? {
        if let Some(file) = stored.insert(file.reference.to_string(), file) {
            return Err(format!("the destination lists {} twice", file.reference));
        }
    }
    if stored.len() != sources.len() || map.len() != sources.len() {
        let (files, lines) = (stored.len(), map.len());
        let extra = unmapped(&stored, &map);
        return Err(format!(
            "{} source files, but {files} files at the destination and {lines} lines in the map{extra}",
            sources.len()
        ));
    }
    let mut pairs = Vec::new();
    for source in sources {
        let to = map.get(&source.reference.to_string()).ok_or_else(|| format!("the map lacks {}", source.path))?;
        // Each stored file is taken once, so that no two lines have one destination.
        let file = stored.remove(to).ok_or_else(|| format!("{} is mapped to {to}, which is not there", source.path))?;
        check_place(source, &file, target)?;
        pairs.push((source, file));
    }
    let store = environment.store(target.store)?;
    let reads = pairs.into_iter().map(|(source, file)| async move {
        let content = store.read(file.reference.clone(), LARGEST).await.map_err(failed("read a migrated file"))?;
        match sum(&content) == source.sum {
            true => Ok(()),
            false => Err(format!("{} has another content than {}", file.reference, source.path)),
        }
    });
    stream::iter(reads).buffer_unordered(READS).try_collect::<()>().await?;
    if matches!(target.store, StoreName::Fs | StoreName::Fs2) {
        check_folder(environment, sources.len(), target).await?;
    }
    Ok(())
}

/// Checks that reads have left the source as it was.
pub(crate) async fn verify_source(environment: &Environment, sources: &[SourceFile], place: &Place) -> Result<()> {
    let listed: HashSet<String> =
        environment.list(place).await?.iter().map(|file| file.reference.to_string()).collect();
    let expected: HashSet<String> = sources.iter().map(|file| file.reference.to_string()).collect();
    match listed == expected {
        true => Ok(()),
        false => Err(format!("the source had {} files, and has {} after the migration", expected.len(), listed.len())),
    }
}

/// Reads the destination of each source file.
pub(crate) fn read_maps(maps: &[&Path]) -> Result<HashMap<String, String>> {
    let mut map = HashMap::new();
    for path in maps {
        let text = fs::read_to_string(path).map_err(failed("read the map"))?;
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).map_err(failed(&format!("the map has the line {line:?}")))?;
            let reference = |key: &str| {
                let text = value[key].as_str().unwrap_or_default();
                text.parse()
                    .map_err(failed(&format!("the map has the line {line:?}")))
                    .map(|reference: FileRef| reference)
            };
            let (from, to) = (reference("from")?.to_string(), reference("to")?.to_string());
            if map.insert(from, to).is_some() {
                return Err(format!("the map has a second line for the same file: {line:?}"));
            }
        }
    }
    Ok(map)
}

/// Describes some files at the destination that no map has.
fn unmapped(stored: &HashMap<String, StoredFile>, map: &HashMap<String, String>) -> String {
    let mapped: HashSet<&String> = map.values().collect();
    let extra: Vec<&String> = stored.keys().filter(|reference| !mapped.contains(reference)).take(3).collect();
    if extra.is_empty() { String::new() } else { format!("; the map lacks {extra:?}") }
}

/// Checks that the file has the path of its source where the destination has folders, and its name elsewhere.
fn check_place(source: &SourceFile, file: &StoredFile, target: &Place) -> Result<()> {
    let (expected, found) = match (target.store.has_folders(), &target.scope) {
        (true, Some(scope)) => (format!("{scope}/{}", source.path), file.reference.components().join("/")),
        _ => (source.name.clone(), file.name.clone()),
    };
    if expected != found {
        return Err(format!("{} is stored as {found}", source.path));
    }
    // A read would have counted.
    match file.remaining_downloads {
        Some(left) if left != DOWNLOADS => Err(format!("{found} was read: {left} of {DOWNLOADS} downloads are left")),
        _ => Ok(()),
    }
}

/// Checks that the folder has no files that a listing hides, and that the next upload removes what a kill has left.
async fn check_folder(environment: &Environment, files: usize, target: &Place) -> Result<()> {
    let folder = environment.root(target.store).join(target.scope.as_deref().unwrap_or_default());
    // The first upload creates the folder.
    let found = if folder.exists() { count_files(&folder).map_err(failed("read the destination"))? } else { 0 };
    if found != files {
        return Err(format!("{} has {found} files, of which {files} are listed", folder.display()));
    }
    let next = Upload::new("next", "content").scope("elsewhere");
    environment.store(target.store)?.upload(next).await.map_err(failed("upload after the migration"))?;
    let left = environment.temporary_files(target.store);
    if left.is_empty() { Ok(()) } else { Err(format!("temporary files are left at the destination: {left:?}")) }
}

fn count_files(folder: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}
