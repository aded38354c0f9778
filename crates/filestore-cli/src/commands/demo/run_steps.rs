//! The steps of the demo for one file in one store.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use filestore::{Error, ErrorKind, Feature, FileRef, IfExists, List, Result, Store, Upload};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::exit;

/// The steps of [`run_steps`], in their order.
pub(super) const STEPS: &[Step] =
    &[Step::Upload, Step::Stat, Step::List, Step::Url, Step::Download, Step::Delete, Step::Gone];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Upload,
    Stat,
    List,
    Url,
    Download,
    Delete,
    Gone,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Stat => "stat",
            Self::List => "list",
            Self::Url => "url",
            Self::Download => "download",
            Self::Delete => "delete",
            Self::Gone => "gone",
        }
    }

    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Upload => "UPLOAD",
            Self::Stat => "STAT",
            Self::List => "LIST",
            Self::Url => "URL",
            Self::Download => "DOWNLOAD",
            Self::Delete => "DELETE",
            Self::Gone => "GONE",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Passed,
    /// The store does not support the step, for this reason.
    Skipped(String),
    Failed {
        message: String,
        /// The exit code of the program.
        code: u8,
    },
    /// The upload failed, so there is no file for this step.
    NotReached,
}

impl Outcome {
    /// Returns the failure of a store whose response differs from what was sent.
    fn differs(message: String) -> Self {
        Self::Failed { message, code: DIFFERS }
    }

    pub(super) fn cell(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Skipped(_) => "-",
            Self::Failed { .. } => "FAILED",
            Self::NotReached => "",
        }
    }
}

/// The exit code of bytes that are missing or differ.
const DIFFERS: u8 = 7;

fn failed(error: &Error) -> Outcome {
    Outcome::Failed { message: error.to_string(), code: exit::code(error) }
}

/// The outcomes of [`STEPS`] at one store.
pub(super) struct StoreRun {
    pub(super) store: String,
    pub(super) outcomes: Vec<Outcome>,
}

impl StoreRun {
    /// Returns the exit code of the first step that failed.
    pub(super) fn failure(&self) -> Option<u8> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed { code, .. } => Some(*code),
            _ => None,
        })
    }

    pub(super) fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Passed | Outcome::Skipped(_)))
    }
}

/// Runs all steps with `file` on `store`. The copy that is downloaded goes into `folder`.
pub(super) async fn run_steps(store: &Store, file: &Path, folder: &Path) -> StoreRun {
    let mut outcomes = Vec::new();
    let mut reference = None;
    for step in STEPS {
        let outcome = match (step, &reference) {
            (Step::Upload, _) => match upload(store, file).await {
                Ok(stored) => {
                    reference = Some(stored);
                    Outcome::Passed
                }
                Err(error) => failed(&error),
            },
            (_, None) => Outcome::NotReached,
            (step, Some(reference)) => match run(*step, store, reference, file, folder).await {
                Ok(outcome) => outcome,
                Err(error) => failed(&error),
            },
        };
        outcomes.push(outcome);
    }
    StoreRun { store: store.name().to_owned(), outcomes }
}

async fn run(step: Step, store: &Store, reference: &FileRef, file: &Path, folder: &Path) -> Result<Outcome> {
    let feature = match step {
        Step::Stat => Some(Feature::Stat),
        Step::List => Some(Feature::List),
        Step::Url => Some(Feature::Url),
        Step::Delete => Some(Feature::Delete),
        Step::Upload | Step::Download | Step::Gone => None,
    };
    if let Some(Err(error)) = feature.map(|feature| store.capabilities().check(feature)) {
        return Ok(Outcome::Skipped(error.message().to_owned()));
    }
    match step {
        Step::Upload => Ok(Outcome::NotReached),
        Step::Stat => stat(store, reference, file).await,
        Step::List => list(store, reference).await,
        Step::Url => {
            store.url(reference).await?;
            Ok(Outcome::Passed)
        }
        Step::Download => download(store, reference, file, folder).await,
        Step::Delete => delete(store, reference, file).await,
        Step::Gone => gone(store, reference).await,
    }
}

async fn upload(store: &Store, file: &Path) -> Result<FileRef> {
    Ok(store.upload(Upload::from_path(file)?).await?.reference)
}

async fn stat(store: &Store, reference: &FileRef, file: &Path) -> Result<Outcome> {
    let size = store.stat(reference).await?.size;
    let sent = std::fs::metadata(file).map_err(|error| Error::local(error, "read", file))?.len();
    Ok(match size {
        Some(size) if size != sent => Outcome::differs(format!("{sent} bytes were sent, {size} are stored")),
        _ => Outcome::Passed,
    })
}

async fn list(store: &Store, reference: &FileRef) -> Result<Outcome> {
    let files: Vec<_> = store.list_all(List::new()).try_collect().await?;
    Ok(match files.iter().filter(|file| file.reference == *reference).count() {
        1 => Outcome::Passed,
        times => Outcome::differs(format!("the file is listed {times} times among {}", files.len())),
    })
}

async fn download(store: &Store, reference: &FileRef, file: &Path, folder: &Path) -> Result<Outcome> {
    let copy = folder.join(format!("{}.copy", store.name()));
    store.download_to_path(reference, &copy, IfExists::Fail).await?;
    Ok(match compare(file, &copy)? {
        None => Outcome::Passed,
        Some(difference) => Outcome::differs(difference),
    })
}

/// Deletes the file. If the download consumed the file, this step uploads and deletes another one.
async fn delete(store: &Store, reference: &FileRef, file: &Path) -> Result<Outcome> {
    if !store.capabilities().reads_consume() {
        store.delete(reference).await?;
        return Ok(Outcome::Passed);
    }
    let unread = upload(store, file).await?;
    store.delete(&unread).await?;
    gone(store, &unread).await
}

async fn gone(store: &Store, reference: &FileRef) -> Result<Outcome> {
    if let Err(error) = store.capabilities().check(Feature::Stat) {
        return Ok(Outcome::Skipped(error.message().to_owned()));
    }
    match store.stat(reference).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::Passed),
        Err(error) => Err(error),
        Ok(_) => Ok(Outcome::differs("the file is still there".to_owned())),
    }
}

/// Returns a text with the first byte that differs and both digests, or `None` if the files are equal.
fn compare(sent: &Path, received: &Path) -> Result<Option<String>> {
    let (sent_digest, received_digest) = (digest(sent)?, digest(received)?);
    if sent_digest == received_digest {
        return Ok(None);
    }
    let mut offset = 0_u64;
    let (mut left, mut right) = (open(sent)?.bytes(), open(received)?.bytes());
    while let (Some(Ok(a)), Some(Ok(b))) = (left.next(), right.next()) {
        if a != b {
            break;
        }
        offset += 1;
    }
    Ok(Some(format!(
        "the bytes differ from byte {offset} on: SHA-256 {sent_digest} was sent, {received_digest} came back"
    )))
}

fn digest(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = open(path)?;
    loop {
        let chunk = file.fill_buf().map_err(|error| Error::local(error, "read", path))?;
        if chunk.is_empty() {
            break;
        }
        hasher.update(chunk);
        let length = chunk.len();
        file.consume(length);
    }
    Ok(filestore::hex(&hasher.finalize()))
}

fn open(path: &Path) -> Result<BufReader<File>> {
    Ok(BufReader::with_capacity(1 << 16, File::open(path).map_err(|error| Error::local(error, "read", path))?))
}
