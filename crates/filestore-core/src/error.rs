//! [`Error`]: the kind of a failure, its effect at the service, and a message for people.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{FileRef, StoredFile};

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of any type.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The kind of a failure. The names never change: they may be stored in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not exist, or no longer exists. Services that delete a file after a read report both alike.
    NotFound,
    /// The target already exists, and the request does not replace it.
    AlreadyExists,
    /// The credentials are valid but do not allow the operation.
    Permission,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The request is invalid; correct the input.
    InvalidInput,
    /// The requested range begins at or beyond the end of the file; see [`ByteRange`](crate::ByteRange).
    RangeNotSatisfiable,
    /// The store does not support the operation; its [capabilities](crate::Capabilities) state the reason.
    Unsupported,
    /// Another client changed the file at the same time.
    Conflict,
    /// Too many requests; see [`Error::retry_after`].
    RateLimited,
    /// An account, plan or disk is full.
    Quota,
    /// The file is larger than the store accepts.
    TooLarge,
    /// A timeout: there was no progress for too long, or the whole operation took too long.
    Timeout,
    /// Bytes are missing or differ from the expected content.
    Integrity,
    /// The service cannot be reached or is failing.
    Unavailable,
    /// The response of the service violates its protocol.
    Protocol,
    /// The configuration is wrong.
    Config,
    /// Reading or writing a local file or pipe failed.
    Io,
    /// The file is stored, but a later step failed; see [`Error::stored`].
    Incomplete,
    /// None of the other kinds.
    Other,
}

impl ErrorKind {
    /// Returns the permanent name, such as `not_found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Permission => "permission",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidInput => "invalid_input",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::Unsupported => "unsupported",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Integrity => "integrity",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Config => "config",
            Self::Io => "io",
            Self::Incomplete => "incomplete",
            Self::Other => "other",
        }
    }
}

impl Serialize for ErrorKind {
    /// Serializes [`as_str`](Self::as_str).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The effect of a failed request at the service. It decides whether a retry is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The request was not sent.
    NotSent,
    /// The request was rejected: nothing changed.
    Rejected,
    /// The effect is unknown, for example because the response was lost.
    Unknown,
    /// The request took effect although an error is reported.
    Applied,
}

impl Effect {
    /// Returns the name in lower case, such as `not_sent`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Applied => "applied",
        }
    }
}

impl Serialize for Effect {
    /// Serializes [`as_str`](Self::as_str).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a store from its configuration.
    Open,
    /// [`FileStore::upload`](crate::FileStore::upload).
    Upload,
    /// [`FileStore::list`](crate::FileStore::list).
    List,
    /// [`FileStore::stat`](crate::FileStore::stat).
    Stat,
    /// [`FileStore::download`](crate::FileStore::download).
    Download,
    /// [`FileStore::delete`](crate::FileStore::delete).
    Delete,
    /// [`FileStore::url`](crate::FileStore::url).
    Url,
    /// The creation of a folder.
    CreateFolder,
    /// A copy inside the service.
    Copy,
    /// A move or a new name inside the service.
    Move,
    /// The creation of a share link.
    Share,
    /// The deletion of a share link.
    Unshare,
    /// A change of a stored file.
    Update,
    /// The publication of a message about a stored file.
    Publish,
}

impl Operation {
    /// Returns the name in lower case, such as `upload`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Upload => "upload",
            Self::List => "list",
            Self::Stat => "stat",
            Self::Download => "download",
            Self::Delete => "delete",
            Self::Url => "url",
            Self::CreateFolder => "create folder",
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Share => "share",
            Self::Unshare => "unshare",
            Self::Update => "update",
            Self::Publish => "publish",
        }
    }
}

impl Serialize for Operation {
    /// Serializes [`as_str`](Self::as_str).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error type of all operations: opaque, with details in fields and a message for people.
///
/// The message never contains a secret, a reference that alone gives access to its file, or a presigned URL. The cause,
/// if there is one, is [`source`](StdError::source); `Display` does not repeat it.
///
/// ```
/// use filestore_core::{Effect, Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::RateLimited, Effect::Rejected, "the service asks to wait 20 s")
///     .with_http_status(429)
///     .with_retry_after(std::time::Duration::from_secs(20));
/// assert_eq!(error.kind(), ErrorKind::RateLimited);
/// assert_eq!(error.effect(), Effect::Rejected);
/// assert_eq!(error.to_string(), "the service asks to wait 20 s");
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    operation: Option<Operation>,
    store: Option<String>,
    subject: Option<String>,
    http_status: Option<u16>,
    provider_code: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    stored: Option<StoredFile>,
    possibly_stored: Vec<FileRef>,
    partial: Option<PathBuf>,
    possibly_consumed: bool,
    source: Option<BoxError>,
}

impl Error {
    /// Creates an error of `kind`. `message` says what failed and what to do next.
    pub fn new(kind: ErrorKind, effect: Effect, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            effect,
            message: message.into(),
            operation: None,
            store: None,
            subject: None,
            http_status: None,
            provider_code: None,
            request_id: None,
            retry_after: None,
            attempts: 1,
            stored: None,
            possibly_stored: Vec::new(),
            partial: None,
            possibly_consumed: false,
            source: None,
        }))
    }

    /// Creates an *invalid input* error; nothing was sent.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, Effect::NotSent, message)
    }

    /// Creates an *unsupported* error; nothing was sent.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, Effect::NotSent, message)
    }

    /// Creates a *config* error; nothing was sent.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, Effect::NotSent, message)
    }

    /// Creates a *not found* error; the service rejected the request.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, Effect::Rejected, message)
    }

    /// Creates an error for a failed `action` ("read", "create", ...) on the local file or folder at `path`.
    ///
    /// A path that is missing, invalid or of the wrong type is *invalid input*. Missing permission and a read-only
    /// file system are *permission*, a full disk and an exceeded quota are *quota*, an existing target is *already
    /// exists*, and everything else is *io*.
    pub fn local(source: io::Error, action: &str, path: &Path) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                ErrorKind::InvalidInput
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Quota,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::InvalidFilename => ErrorKind::InvalidInput,
            _ => ErrorKind::Io,
        };
        Self::new(kind, Effect::NotSent, format!("cannot {action} {}: {source}", path.display())).with_source(source)
    }

    /// Sets the effect.
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Sets the operation, unless one is set: the code closest to the failure knows it best.
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Sets the name of the store, unless one is set, and adds it to the references of the error.
    pub fn with_store(mut self, store: impl Into<String>) -> Self {
        let store = store.into();
        let name: Arc<str> = store.as_str().into();
        let stored = self.0.stored.iter_mut().map(|file| &mut file.reference);
        for reference in stored.chain(&mut self.0.possibly_stored) {
            *reference = reference.stamped(&name);
        }
        self.0.store.get_or_insert(store);
        self
    }

    /// Sets the subject of the operation, such as a name or a redacted reference, unless one is set.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject.get_or_insert_with(|| subject.into());
        self
    }

    /// Sets the HTTP status of the response.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Sets the service's own error code, verbatim.
    pub fn with_provider_code(mut self, code: impl Into<String>) -> Self {
        self.0.provider_code = Some(code.into());
        self
    }

    /// Sets the service's id of the request.
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Sets the time that the service asks to wait.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Sets the total number of attempts.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Sets the file that is stored although an error is reported.
    pub fn with_stored(mut self, file: StoredFile) -> Self {
        self.0.stored = Some(file);
        self
    }

    /// Adds a reference under which the file may be stored although an error is reported. `Display` writes it, so it
    /// must not be a secret.
    pub fn with_possibly_stored(mut self, reference: FileRef) -> Self {
        self.0.possibly_stored.push(reference);
        self
    }

    /// Sets the path of a partial download that was kept.
    pub fn with_partial(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.partial = Some(path.into());
        self
    }

    /// Sets the cause.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Appends `note` to the message, after a semicolon.
    pub fn with_note(mut self, note: &str) -> Self {
        self.0.message.push_str("; ");
        self.0.message.push_str(note);
        self
    }

    /// Marks the error of a read that may have consumed the file. The effect becomes *unknown*, and the message
    /// says once that the file is possibly consumed.
    pub fn possibly_consumed(mut self) -> Self {
        self.0.effect = Effect::Unknown;
        if std::mem::replace(&mut self.0.possibly_consumed, true) {
            return self;
        }
        self.with_note("the file is possibly consumed")
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the effect of the failed request.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Returns the message without store, operation, subject and references.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the operation that failed.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// Returns the name of the store.
    pub fn store(&self) -> Option<&str> {
        self.0.store.as_deref()
    }

    /// Returns the HTTP status, if there was a response.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// Returns the service's own error code, verbatim.
    pub fn provider_code(&self) -> Option<&str> {
        self.0.provider_code.as_deref()
    }

    /// Returns the service's id of the request, for questions to its support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Returns the time that the service asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the total number of attempts; 1 unless it was set.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns the file that is stored although an error is reported (kind *incomplete*, or a failed check after
    /// the upload).
    pub fn stored(&self) -> Option<&StoredFile> {
        self.0.stored.as_ref()
    }

    /// Returns the references under which the file may be stored although an error is reported. An upload that fails
    /// if the file exists may leave its content under a temporary name.
    pub fn possibly_stored(&self) -> &[FileRef] {
        &self.0.possibly_stored
    }

    /// Returns the path of the partial file of an interrupted download, if it was kept.
    pub fn partial(&self) -> Option<&Path> {
        self.0.partial.as_deref()
    }

    /// Returns `true` if the same call may succeed later and certainly changed nothing yet.
    pub fn is_safe_to_retry(&self) -> bool {
        let temporary = matches!(self.0.kind, ErrorKind::RateLimited | ErrorKind::Timeout | ErrorKind::Unavailable);
        temporary && matches!(self.0.effect, Effect::NotSent | Effect::Rejected)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(store) = &self.0.store {
            write!(f, "{store}: ")?;
        }
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}")?;
            if let Some(subject) = &self.0.subject {
                write!(f, " {subject:?}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.0.message)?;
        if self.0.possibly_stored.is_empty() {
            return Ok(());
        }
        f.write_str("; the file may be stored")?;
        // Without the name of a store, a reference cannot be used.
        let named = self.0.possibly_stored.iter().filter(|reference| !reference.store().is_empty());
        for (at, reference) in named.enumerate() {
            write!(f, " {} {reference}", if at == 0 { "as" } else { "or" })?;
        }
        f.write_str(": check before you retry")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The kinds of [`io::Error`] that have an equal kind here. The first of equal kinds is that of the conversion into an
/// [`io::Error`].
const IO_KINDS: [(ErrorKind, io::ErrorKind); 15] = [
    (ErrorKind::NotFound, io::ErrorKind::NotFound),
    (ErrorKind::AlreadyExists, io::ErrorKind::AlreadyExists),
    (ErrorKind::Permission, io::ErrorKind::PermissionDenied),
    (ErrorKind::Permission, io::ErrorKind::ReadOnlyFilesystem),
    (ErrorKind::Unauthenticated, io::ErrorKind::PermissionDenied),
    (ErrorKind::InvalidInput, io::ErrorKind::InvalidInput),
    (ErrorKind::InvalidInput, io::ErrorKind::InvalidFilename),
    (ErrorKind::RangeNotSatisfiable, io::ErrorKind::InvalidInput),
    (ErrorKind::Unsupported, io::ErrorKind::Unsupported),
    (ErrorKind::Quota, io::ErrorKind::QuotaExceeded),
    (ErrorKind::Quota, io::ErrorKind::StorageFull),
    (ErrorKind::TooLarge, io::ErrorKind::FileTooLarge),
    (ErrorKind::Timeout, io::ErrorKind::TimedOut),
    (ErrorKind::Integrity, io::ErrorKind::InvalidData),
    (ErrorKind::Config, io::ErrorKind::InvalidInput),
];

impl From<Error> for io::Error {
    /// Wraps the error, for `AsyncRead` adapters and for functions that return [`io::Result`]. The kind becomes the
    /// nearest one of [`io::ErrorKind`], or [`Other`](io::ErrorKind::Other). [`Error::from`] returns the error again.
    fn from(error: Error) -> Self {
        let kind = IO_KINDS.iter().find(|(kind, _)| *kind == error.kind());
        Self::new(kind.map_or(io::ErrorKind::Other, |(_, kind)| *kind), error)
    }
}

impl From<io::Error> for Error {
    /// Returns the [`Error`] inside of `error`, also if further [`io::Error`]s are around it. Any other `error` becomes
    /// the cause of an error of the nearest kind (*io* if there is none) whose effect is *unknown*.
    fn from(error: io::Error) -> Self {
        Self::inside(error).unwrap_or_else(|error| {
            let kind = IO_KINDS.iter().find(|(_, kind)| *kind == error.kind());
            let kind = kind.map_or(ErrorKind::Io, |(kind, _)| *kind);
            Self::new(kind, Effect::Unknown, error.to_string()).with_source(error)
        })
    }
}

impl Error {
    /// Returns the [`Error`] inside of `error`, or else the innermost [`io::Error`].
    fn inside(error: io::Error) -> Result<Self, io::Error> {
        match error.downcast::<Self>() {
            Ok(own) => Ok(own),
            Err(error) => error.downcast::<io::Error>().and_then(Self::inside),
        }
    }

    /// Converts the error of a body or file that cannot be read. It is the [`Error`] inside of `error`, or else an *io*
    /// error: a source that is not found is not a stored file that is not found.
    pub(crate) fn unread(error: BoxError, effect: Effect) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(own) => return *own,
            Err(error) => error,
        };
        let error = match error.downcast::<io::Error>().map(|error| Self::inside(*error)) {
            Ok(Ok(own)) => return own,
            Ok(Err(error)) => error.into(),
            Err(error) => error,
        };
        Self::new(ErrorKind::Io, effect, format!("cannot read: {error}")).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_possibly_consumed_file_is_mentioned_once() {
        let error = Error::not_found("it broke").possibly_consumed().possibly_consumed();
        assert_eq!(error.effect(), Effect::Unknown);
        assert_eq!(error.message(), "it broke; the file is possibly consumed");
    }

    #[test]
    fn an_io_error_keeps_the_kind_both_ways() {
        for (kind, io_kind) in [
            (ErrorKind::NotFound, io::ErrorKind::NotFound),
            (ErrorKind::Permission, io::ErrorKind::PermissionDenied),
            (ErrorKind::Timeout, io::ErrorKind::TimedOut),
            (ErrorKind::TooLarge, io::ErrorKind::FileTooLarge),
            (ErrorKind::Io, io::ErrorKind::Other),
        ] {
            assert_eq!(Error::from(io::Error::from(io_kind)).kind(), kind, "{io_kind}");
            let wrapped = io::Error::from(Error::new(kind, Effect::Rejected, "m"));
            assert_eq!(wrapped.kind(), io_kind, "{kind}");
            // An adapter may wrap it once more.
            let again = Error::from(io::Error::other(wrapped));
            assert_eq!((again.kind(), again.effect(), again.message()), (kind, Effect::Rejected, "m"));
        }
    }

    #[test]
    fn the_references_in_a_message_have_the_name_of_the_store() {
        let reference = |name| FileRef::new("fs", ["in", name]);
        let error = Error::new(ErrorKind::Unavailable, Effect::Unknown, "the response was lost")
            .with_possibly_stored(reference("a b"))
            .with_possibly_stored(reference("c"))
            .with_stored(StoredFile::new(reference("d"), "d"));
        assert_eq!(error.to_string(), "the response was lost; the file may be stored: check before you retry");
        let error = error.with_store("local");
        let shown = error.to_string();
        let end = "as local:fs:in/a%20b or local:fs:in/c: check before you retry";
        assert!(shown.ends_with(end), "{shown}");
        assert_eq!(error.stored().unwrap().reference.to_string(), "local:fs:in/d");
    }
}
