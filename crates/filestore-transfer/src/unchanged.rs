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

/// Fails with *unsupported* on a store that chooses the reference of each file: no name tells which stored file is that
/// of an earlier upload.
pub(crate) fn check_addressing(store: &Store) -> Result<()> {
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
    let Some((size, modified)) = size_and_time(path.clone()).await? else { return Ok(false) };
    let mut stored = stored.clone();
    let mut is_complete = !store.capabilities().supports(Feature::Stat);
    loop {
        if stored.size.is_some_and(|stored| stored != size) {
            return Ok(false);
        }
        #[cfg(planted_bugs)]
        if filestore_core::planted_bug("skip-by-size") && stored.size.is_some() {
            return Ok(true);
        }
        if let Some(expected) = strongest(&stored) {
            let expected = expected.clone();
            return blocking(move || Ok(digest_of(&path, expected.algorithm)? == expected)).await;
        }
        let times = modified.filter(|_| has_times).zip(stored.modified);
        if stored.size.is_some() && times.is_some_and(|(local, stored)| is_same_time(local, stored)) {
            return Ok(true);
        }
        if std::mem::replace(&mut is_complete, true) {
            return Ok(false);
        }
        stored = match store.stat(stored.reference).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
    }
}

/// Returns the size and the modification time of the file at `path`. `None`: there is no regular file.
async fn size_and_time(path: PathBuf) -> Result<Option<(u64, Option<Timestamp>)>> {
    blocking(move || match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {
            Ok(Some((metadata.len(), metadata.modified().ok().map(IntoTimestamp::into_timestamp))))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::local(error, "read", &path)),
    })
    .await
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
