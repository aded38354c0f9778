//! [`is_unchanged`]: compares a local file with a stored one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use filestore_core::{
    Addressing, Digest, DigestAlgorithm, Error, ErrorKind, Feature, IntoTimestamp, Result, Store, StoredFile,
};
use jiff::Timestamp;
use sha2::Digest as _;

use crate::blocking::blocking;

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
        if let Some(expected) = strongest(stored).cloned() {
            let path = self.path.clone();
            return blocking(move || Ok(Some(digest_of(&path, expected.algorithm)? == expected))).await;
        }
        let times = self.modified.filter(|_| has_times).zip(stored.modified);
        let is_same = stored.size.is_some() && times.is_some_and(|(local, stored)| is_same_time(local, stored));
        Ok(is_same.then_some(true))
    }
}

fn strongest(stored: &StoredFile) -> Option<&Digest> {
    use DigestAlgorithm::{Crc32, Md5, Sha1, Sha256};
    let known = |algorithm| stored.digests.iter().find(|digest| digest.algorithm == algorithm);
    [Sha256, Sha1, Md5, Crc32].into_iter().find_map(known)
}

/// Reads the file at `path`.
fn digest_of(path: &Path, algorithm: DigestAlgorithm) -> Result<Digest> {
    let hex = match algorithm {
        DigestAlgorithm::Sha256 => hashed(path, sha2::Sha256::new())?,
        DigestAlgorithm::Sha1 => hashed(path, sha1::Sha1::new())?,
        DigestAlgorithm::Md5 => hashed(path, md5::Md5::new())?,
        _ => {
            let mut hasher = crc32fast::Hasher::new();
            read(path, |chunk| hasher.update(chunk))?;
            format!("{:08x}", hasher.finalize())
        }
    };
    Ok(Digest::new(algorithm, hex))
}

fn hashed(path: &Path, mut hasher: impl sha2::Digest) -> Result<String> {
    read(path, |chunk| hasher.update(chunk))?;
    Ok(filestore_core::hex(&hasher.finalize()))
}

fn read(path: &Path, mut chunk: impl FnMut(&[u8])) -> Result<()> {
    let failed = |error| Error::local(error, "read", path);
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            length => chunk(&buffer[..length]),
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

    #[test]
    fn every_algorithm_has_the_digest_of_its_standard() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"123456789").unwrap();
        for (algorithm, hex) in [
            (DigestAlgorithm::Crc32, "cbf43926"),
            (DigestAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (DigestAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (DigestAlgorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            assert_eq!(digest_of(file.path(), algorithm).unwrap(), Digest::new(algorithm, hex));
        }
    }
}
