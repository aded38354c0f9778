//! The files that move. Their content follows from a seed, so that only digests have to be remembered.

use bytes::Bytes;
use filestore::fileio::{FileIoUpload, MaxDownloads};
use filestore::{Feature, FileRef, Upload};
use filestore_testbed::{Result, failed};
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::place::{Place, StoreName};

/// The number of uploads at the same time.
const UPLOADS: usize = 16;

/// One file in this many is empty, where the stores have empty files.
const EMPTY: usize = 50;

/// One file in this many has some MB.
const LARGE: usize = 250;

/// The files of one folder.
const FOLDER: usize = 40;

/// A SHA-256.
pub(crate) type Sum = [u8; 32];

/// A file before it is stored.
#[derive(Debug, Clone)]
pub(crate) struct NewFile {
    /// The folder below the scope of the source; used where the source has folders.
    pub(crate) folder: Option<String>,
    pub(crate) name: String,
    pub(crate) size: usize,
    /// Files of one seed and size have the same content.
    pub(crate) seed: u64,
}

/// A file at the source.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) reference: FileRef,
    /// The path below the place.
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) sum: Sum,
}

/// Returns files of all sizes with different names: plain ones, and some with spaces, percent signs and letters beyond
/// ASCII.
pub(crate) fn generate(
    seed: u64,
    count: usize,
    environment: &Environment,
    stores: [StoreName; 2],
) -> Result<Vec<NewFile>> {
    let mut has_empty_files = true;
    for store in stores {
        has_empty_files &= environment.store(store)?.capabilities().supports(Feature::EmptyFile);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let file = |number: usize| {
        let name = match number % 10 {
            7 => format!("file {number:05}.txt"),
            8 => format!("c%20{number:05}.bin"),
            9 => format!("ü{number:05}.txt"),
            _ => format!("file-{number:05}.bin"),
        };
        let folder = (!number.is_multiple_of(3)).then(|| format!("folder-{}/{}", number / FOLDER, number % 3));
        let size = match number {
            number if number % LARGE == LARGE / 2 => rng.random_range(1_000_000..4_000_000),
            number if number % EMPTY == 0 && has_empty_files => 0,
            // Small files are as frequent as in most folders: each power of two as often as the next.
            _ => 1 << rng.random_range(0..17) | rng.random_range(0..64),
        };
        NewFile { folder, name, size, seed: rng.random() }
    };
    Ok((0..count).map(file).collect())
}

impl NewFile {
    fn content(&self) -> Bytes {
        let mut content = vec![0; self.size];
        SmallRng::seed_from_u64(self.seed).fill_bytes(&mut content);
        content.into()
    }
}

pub(crate) fn sum(content: &[u8]) -> Sum {
    Sha256::digest(content).into()
}

/// Stores files at a place. `downloads` is the number of reads that file.io allows for each.
pub(crate) async fn store(
    environment: &Environment,
    place: &Place,
    files: Vec<NewFile>,
    downloads: MaxDownloads,
) -> Result<Vec<SourceFile>> {
    let store = environment.store(place.store)?;
    let uploads = files.into_iter().map(|file| async move {
        let content = file.content();
        let folder = file.folder.filter(|_| place.store.has_folders());
        let scope: Vec<&str> = place.scope.as_deref().into_iter().chain(folder.as_deref()).collect();
        let mut upload = Upload::new(&file.name, content.clone());
        if !scope.is_empty() {
            upload = upload.scope(scope.join("/"));
        }
        let upload = upload.with_optional(FileIoUpload::new().max_downloads(downloads));
        let stored = store.upload(upload).await.map_err(failed("fill the source"))?;
        let path = folder.map_or_else(|| file.name.clone(), |folder| format!("{folder}/{}", file.name));
        Ok(SourceFile { reference: stored.reference, path, name: file.name, sum: sum(&content) })
    });
    stream::iter(uploads).buffer_unordered(UPLOADS).try_collect().await
}
