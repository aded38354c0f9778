//! [`is_unchanged`]: compares a local file with a stored one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use filestore_core::{
    Addressing, Digest, DigestAlgorithm, Error, ErrorKind, Feature, IntoTimestamp, Result, Store, StoredFile,
};
use jiff::Timestamp;

use crate::blocking::blocking;
use crate::digester::{Digester, strongest};

/// The number of files that are compared at once.
pub(crate) const COMPARISONS: usize = 64;

/// Fails with *unsupported* if files of `store` cannot be skipped, because the store chooses the reference of each file:
/// there, no name tells which stored file a local one is. [`UploadTree`](crate::UploadTree) and
/// [`DownloadTree`](crate::DownloadTree) check it themselves.
pub fn check_skip(store: &Store) -> Result<()> {
    match store.capabilities().addressing {
        Addressing::CallerPath => Ok(()),
        _ => Err(Error::unsupported(
            "the store chooses the reference of each file, so a file that is stored already cannot be recognized",
        )
        .with_store(store.name())),
    }
}

/// Returns `true` if the local file at `path` has the content of `stored`, so that an upload of it would change nothing.
///
/// The sizes are compared first. If the service reports a digest of the content, the local file is read, and the digests
/// are compared. Otherwise, if the store [keeps modification times](Feature::Modified), the times are compared at the
/// coarser of their two precisions. If a listing has neither, the metadata of the file is requested. A file that none of
/// this proves equal counts as changed, and so does a local file that does not exist.
///
/// Errors: those of [`Store::stat`], except *not found*, and those of reading the local file.
pub async fn is_unchanged(store: &Store, path: impl Into<PathBuf>, stored: &StoredFile) -> Result<bool> {
    compare(store, path.into(), stored, store.capabilities().supports(Feature::Modified)).await
}

/// The same for a file that was downloaded: its time, if it is that of the stored file, was restored by the download.
pub(crate) async fn is_downloaded(store: &Store, path: PathBuf, stored: &StoredFile) -> Result<bool> {
    compare(store, path, stored, true).await
}

async fn compare(store: &Store, path: PathBuf, stored: &StoredFile, has_times: bool) -> Result<bool> {
    let Some(local) = LocalFile::at(path).await? else { return Ok(false) };
    if let Some(is_unchanged) = local.compare(stored, has_times).await? {
        return Ok(is_unchanged);
    }
    if !store.capabilities().supports(Feature::Stat) {
        return Ok(false);
    }
    // A listing may have less than the metadata of the file.
    match store.stat(&stored.reference).await {
        Ok(stored) => Ok(local.compare(&stored, has_times).await? == Some(true)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A regular local file.
struct LocalFile {
    path: PathBuf,
    size: u64,
    modified: Option<Timestamp>,
}

impl LocalFile {
    /// Returns the file at `path`. `None`: there is no regular file.
    async fn at(path: PathBuf) -> Result<Option<Self>> {
        blocking(move || match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let modified = metadata.modified().ok().map(IntoTimestamp::into_timestamp);
                Ok(Some(Self { path, size: metadata.len(), modified }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::local(error, "read", &path)),
        })
        .await
    }

    /// Returns `true` if the file has the content of `stored`, and `false` if it has another one. `None`: the metadata
    /// proves neither.
    async fn compare(&self, stored: &StoredFile, has_times: bool) -> Result<Option<bool>> {
        if stored.size.is_some_and(|stored| stored != self.size) {
            return Ok(Some(false));
        }
        #[cfg(planted_bugs)]
        if filestore_core::planted_bug("skip-by-size") && stored.size.is_some() {
            return Ok(Some(true));
        }
        if let Some(expected) = strongest(&stored.digests).cloned() {
            return Ok(Some(digest_at(self.path.clone(), expected.algorithm).await? == expected));
        }
        let times = self.modified.filter(|_| has_times).zip(stored.modified);
        let is_same = stored.size.is_some() && times.is_some_and(|(local, stored)| is_same_time(local, stored));
        Ok(is_same.then_some(true))
    }
}

/// Reads the file at `path`, and returns a digest of its content.
pub(crate) async fn digest_at(path: PathBuf, algorithm: DigestAlgorithm) -> Result<Digest> {
    blocking(move || digest_of(&path, algorithm)).await
}

fn digest_of(path: &Path, algorithm: DigestAlgorithm) -> Result<Digest> {
    let failed = |error| Error::local(error, "read", path);
    let mut file = File::open(path).map_err(failed)?;
    let (mut digester, mut buffer) = (Digester::new(algorithm), vec![0; 128 * 1024]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(digester.finish()),
            length => digester.update(&buffer[..length]),
        }
    }
}

/// Returns `true` if the times differ by less than the coarser of their two precisions.
fn is_same_time(one: Timestamp, other: Timestamp) -> bool {
    let precision = precision(one).max(precision(other));
    (one.as_nanosecond() - other.as_nanosecond()).abs() < precision
}

/// Returns the largest unit, of a second and its decimal fractions, of which the time is a multiple, in nanoseconds.
fn precision(time: Timestamp) -> i128 {
    let mut unit = 1_000_000_000;
    while time.as_nanosecond() % unit != 0 {
        unit /= 10;
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_at_the_coarser_precision() {
        for (one, other, is_same) in [
            ("2026-01-01T00:00:01.123456789Z", "2026-01-01T00:00:01.123456789Z", true),
            ("2026-01-01T00:00:01.123456789Z", "2026-01-01T00:00:01.123456788Z", false),
            ("2026-01-01T00:00:01.123456789Z", "2026-01-01T00:00:01.123Z", true),
            ("2026-01-01T00:00:01.124456789Z", "2026-01-01T00:00:01.123Z", false),
            ("2026-01-01T00:00:01.9Z", "2026-01-01T00:00:01Z", true),
            ("2026-01-01T00:00:01.9Z", "2026-01-01T00:00:02Z", true),
            ("2026-01-01T00:00:01.9Z", "2026-01-01T00:00:03Z", false),
            ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", false),
            ("1969-12-31T23:59:58.5Z", "1969-12-31T23:59:58Z", true),
        ] {
            let times: [Timestamp; 2] = [one.parse().unwrap(), other.parse().unwrap()];
            assert_eq!(is_same_time(times[0], times[1]), is_same, "{one} {other}");
            assert_eq!(is_same_time(times[1], times[0]), is_same, "{other} {one}");
        }
    }
}
