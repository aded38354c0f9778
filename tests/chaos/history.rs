//! The history of a run: one record for each round.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A store of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreName {
    Pubnub,
    Filescom,
    Fileio,
    Fs,
    Memory,
    S3,
}

impl StoreName {
    /// All stores.
    pub const ALL: [Self; 6] = [Self::Pubnub, Self::Filescom, Self::Fileio, Self::Fs, Self::Memory, Self::S3];

    /// Returns the name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pubnub => "pubnub",
            Self::Filescom => "filescom",
            Self::Fileio => "fileio",
            Self::Fs => "fs",
            Self::Memory => "memory",
            Self::S3 => "s3",
        }
    }

    /// Returns `true` if every upload adds a file, also under a name that exists.
    pub fn adds(self) -> bool {
        matches!(self, Self::Pubnub | Self::Fileio)
    }
}

/// The owner of a folder, a channel or a prefix of names. Only the owner changes the files in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Owner {
    /// One client.
    Client(usize),
    /// All clients of a round that compete for a file.
    Shared,
    /// The temporary files of the store.
    Temporary,
}

impl Owner {
    /// Returns a number that no other owner has.
    pub fn number(self) -> u64 {
        match self {
            Self::Client(client) => client as u64,
            Self::Shared => u64::MAX,
            Self::Temporary => u64::MAX - 1,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => write!(f, "c{client}"),
            Self::Shared => f.write_str("shared"),
            Self::Temporary => f.write_str("temporary"),
        }
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "shared" => Ok(Self::Shared),
            "temporary" => Ok(Self::Temporary),
            _ => {
                let client = text.strip_prefix('c').and_then(|client| client.parse().ok());
                client.map(Self::Client).ok_or_else(|| format!("no owner: {text}"))
            }
        }
    }
}

/// One round: an event, then one step of each client, all at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The number, which fixes the content of the files that the round uploads.
    pub number: u64,
    /// The event before the steps.
    pub event: Option<Event>,
    /// The fault rules of the round, in the emulator's format.
    pub faults: Vec<String>,
    /// The emulator is killed once it has received this many requests of the round, and is started again.
    pub kill_emulator: Option<u64>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// An event before the steps of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The emulator ends and starts again with the same data directory.
    Restart,
    /// The emulated clock moves forward.
    Advance { hours: u32 },
}

/// The operation of one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub client: usize,
    pub store: StoreName,
    pub operation: Operation,
    pub interrupt: Option<Interrupt>,
}

/// The end of a step before its operation has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Interrupt {
    /// The future is dropped after it was polled this many times.
    Drop { polls: u32 },
    /// [`Outcomes::stop`](filestore_transfer::Outcomes::stop) is called once the emulator has received this many
    /// requests of the round.
    Stop { requests: u64 },
    /// The process gets a signal once the emulator has received this many requests of the round.
    Signal { requests: u64, signal: String },
}

/// An operation. `pick` chooses a file, or a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    Upload {
        pick: usize,
        size: u32,
        /// Fails if the name exists, in place of replacing the file.
        create_new: bool,
        /// The source ends with an error before its last byte.
        source_fails: bool,
        /// The allowed downloads, where the store counts them.
        downloads: u32,
        /// The days until the expiry, where the store has one.
        days: Option<u32>,
        /// The round of the stored file, if its content is uploaded once more. `None`: the content is new.
        content: Option<u64>,
    },
    Download {
        pick: usize,
        /// Writes to a local file, in place of memory.
        to_file: bool,
    },
    Stat {
        pick: usize,
    },
    Delete {
        pick: usize,
    },
    List {
        limit: Option<u32>,
    },
    Url {
        pick: usize,
    },
    Copy {
        pick: usize,
        to: usize,
        overwrite: bool,
    },
    Move {
        pick: usize,
        to: usize,
        overwrite: bool,
    },
    /// One command or call for many files. Each part is the operation on one of them, and has an outcome of its own.
    Many {
        /// Uploads, downloads or deletes, of different files.
        parts: Vec<Operation>,
        /// The files are all those of a folder or scope, in place of a list.
        tree: bool,
        /// Skips uploads of unchanged files.
        skip: bool,
        /// The transfers at the same time.
        jobs: Option<u16>,
    },
    /// All clients of the round create the same file, and at most one may succeed.
    CreateContested {
        size: u32,
    },
    /// All clients of the round read the same single-use file, and at most one may succeed.
    ReadContested,
    /// The chosen file does not exist.
    Nothing,
}

impl Operation {
    /// Returns the owner of the files that the operation may change, if `client` executes it.
    pub fn owner(&self, client: usize) -> Owner {
        match self {
            Self::CreateContested { .. } | Self::ReadContested => Owner::Shared,
            _ => Owner::Client(client),
        }
    }

    /// Returns the operations on single files.
    pub(crate) fn parts(&self) -> &[Self] {
        match self {
            Self::Many { parts, .. } => parts,
            single => std::slice::from_ref(single),
        }
    }

    /// Returns `true` for operations that read the content of files.
    pub(crate) fn reads(&self) -> bool {
        self.parts().iter().any(|part| matches!(part, Self::Download { .. } | Self::ReadContested))
    }

    /// Returns `true` for operations that store content.
    pub(crate) fn stores(&self) -> bool {
        self.parts().iter().any(|part| matches!(part, Self::Upload { .. } | Self::CreateContested { .. }))
    }
}

/// The outcome of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The error; `None` after a success.
    pub error: Option<Failure>,
    /// `true` if the step was interrupted, so that neither a result nor an error is known.
    pub interrupted: bool,
    /// The reference that the operation was given.
    pub subject: Option<String>,
    /// The files in the result: the stored, found or listed ones.
    pub files: Vec<Found>,
    /// The content of a download.
    pub content: Option<Content>,
    /// The files in the client's folder for downloads after the step. Their names.
    pub saved: BTreeMap<String, Content>,
    /// The outcomes of the parts of [`Operation::Many`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
    /// The seconds that the step took.
    pub seconds: f64,
}

impl Outcome {
    /// Returns the outcome of a step that the run itself could not execute.
    pub(crate) fn of_failed_run(message: &str) -> Self {
        let message = format!("{FAILED_RUN}: {message}");
        let failure = Failure { kind: None, effect: ReportedEffect::Unknown, message };
        Self { error: Some(failure), ..Self::default() }
    }

    /// Returns the outcome of a step that was interrupted.
    pub(crate) fn of_interrupted() -> Self {
        Self { interrupted: true, ..Self::default() }
    }

    /// Returns the outcome of an operation that was not sent, or that is said to have changed nothing.
    pub(crate) fn of_unsent(message: &str) -> Self {
        let failure = Failure { kind: None, effect: ReportedEffect::Unchanged, message: message.to_owned() };
        Self { error: Some(failure), ..Self::default() }
    }

    /// Returns `true` if the operation ended with a result.
    pub(crate) fn is_success(&self) -> bool {
        self.error.is_none() && !self.interrupted
    }

    /// Returns `true` if the operation ended with an error of this kind.
    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        self.error.as_ref().is_some_and(|failure| failure.kind.as_deref() == Some(kind))
    }
}

/// The beginning of the message of a failure of the run itself.
pub(crate) const FAILED_RUN: &str = "the run failed";

/// The message of a part of which the command says nothing, although it says something of all others.
pub(crate) const NOT_REPORTED: &str = "neither a result nor an error names the file";

/// An error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, if it is known: a process tells its exit code only.
    pub kind: Option<String>,
    pub effect: ReportedEffect,
    /// The message, with the messages of the causes.
    pub message: String,
}

/// The effect that an error reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportedEffect {
    /// Nothing changed.
    Unchanged,
    /// It is not known.
    Unknown,
    /// The change was made.
    Changed,
}

/// A file in the result of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub reference: String,
    /// The name; for a download of many files, that of the local file.
    pub name: String,
    pub size: Option<u64>,
}

/// The size and the digest of a content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    pub size: u64,
    pub md5: String,
    /// `true` if it is the beginning of the content of the file that was read, or all of it.
    pub is_prefix: bool,
}

/// A file at a store, read without the code under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileState {
    pub reference: String,
    pub name: String,
    pub size: u64,
    /// The digest of the content. For file.io, whose reads consume, that of the upload.
    pub md5: Option<String>,
    /// The counted and the allowed downloads.
    pub downloads: Option<(u32, u32)>,
    /// The round and the owner of the upload, from which the content follows.
    pub origin: Option<(u64, Owner)>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
}

impl FileState {
    /// Returns `true` for the temporary file of an upload to Files.com.
    pub(crate) fn is_temporary(&self) -> bool {
        self.name.starts_with(".filestore-")
    }
}

/// The files of all stores.
pub type Snapshot = BTreeMap<String, Vec<FileState>>;

/// Returns the key of a [`Snapshot`].
pub fn place(store: StoreName, owner: Owner) -> String {
    format!("{}/{owner}", store.as_str())
}

/// The record of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub round: Round,
    /// The state before the event; empty without an event.
    pub before_event: Snapshot,
    /// The state before the steps.
    pub before: Snapshot,
    /// The outcomes, in the order of the steps.
    pub outcomes: Vec<Outcome>,
    /// The state after the steps, when no request is under way.
    pub after: Snapshot,
    /// The emulated time after the event.
    pub now: Timestamp,
    /// The names of the fault rules that fired.
    pub fired: Vec<String>,
}

impl Record {
    /// Returns the record without the places that nothing has changed and no step was about.
    #[must_use]
    pub fn without_unchanged_places(mut self) -> Self {
        // An event may change any place.
        if self.round.event.is_some() {
            return self;
        }
        self.before_event.clear();
        let steps = self.round.steps.iter();
        let touched: Vec<_> = steps.map(|step| place(step.store, step.operation.owner(step.client))).collect();
        let Self { before, after, .. } = &mut self;
        let is_unchanged = |place: &&String| before.get(*place) == after.get(*place) && !touched.contains(*place);
        for place in before.keys().filter(is_unchanged).cloned().collect::<Vec<_>>() {
            before.remove(&place);
            after.remove(&place);
        }
        self
    }
}
