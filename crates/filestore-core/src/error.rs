//! What went wrong, whether it may have happened anyway, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::StoredFile;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was. The names are frozen: they may be stored in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file (any more). Services that delete after a read cannot tell the two apart.
    NotFound,
    /// Something is there already and was to be left alone.
    AlreadyExists,
    /// The credentials are good but do not allow this.
    Permission,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The request cannot be right, whatever the store: fix the input.
    InvalidInput,
    /// This store cannot do it; its [capabilities](crate::Capabilities) say why.
    Unsupported,
    /// Somebody else changed it at the same time.
    Conflict,
    /// Too many requests; see [`Error::retry_after`].
    RateLimited,
    /// An account, plan or disk is full.
    Quota,
    /// The file is larger than the store accepts.
    TooLarge,
    /// No progress for too long, or the whole took too long.
    Timeout,
    /// Bytes are missing or differ from what was promised.
    Integrity,
    /// The service cannot be reached or is failing.
    Unavailable,
    /// The service answered what its protocol does not allow.
    Protocol,
    /// The configuration is wrong.
    Config,
    /// A local file or pipe failed.
    Io,
    /// The file is stored but a later step failed; see [`Error::stored`].
    Incomplete,
    /// None of the above.
    Other,
}

impl ErrorKind {
    /// The frozen name, such as `not_found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Permission => "permission",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidInput => "invalid_input",
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

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the failed request changed anything at the service. It is what decides if repeating is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The request never left this process.
    NotSent,
    /// The service saw it and rejected: nothing changed.
    Rejected,
    /// Nobody can tell: the answer was lost.
    Unknown,
    /// It took effect although an error is reported.
    Applied,
}

impl Effect {
    /// The name in lower case, such as `not_sent`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Applied => "applied",
        }
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
}

impl Operation {
    /// The name in lower case, such as `upload`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Upload => "upload",
            Self::List => "list",
            Self::Stat => "stat",
            Self::Download => "download",
            Self::Delete => "delete",
            Self::Url => "url",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The one error of the workspace: opaque, with facts in fields and a sentence made for a person.
///
/// The message never holds a secret, a bearer key or a signed URL. The cause, if there is one, is
/// [`source`](StdError::source); `Display` does not repeat it.
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
    partial: Option<PathBuf>,
    possibly_consumed: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` is a sentence that says what to do.
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
            partial: None,
            possibly_consumed: false,
            source: None,
        }))
    }

    /// The input cannot be right; nothing was sent.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, Effect::NotSent, message)
    }

    /// The store cannot do it; nothing was sent.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, Effect::NotSent, message)
    }

    /// The configuration is wrong; nothing was sent.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, Effect::NotSent, message)
    }

    /// There is no such file; the service said so.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, Effect::Rejected, message)
    }

    /// A failure of the local file or folder at `path` while doing `what` ("read", "create", ...).
    ///
    /// A missing or misshapen path is *invalid input*, a forbidden one *permission*, a full disk
    /// *quota*, the rest *io*.
    pub fn local(source: io::Error, what: &str, path: &Path) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                ErrorKind::InvalidInput
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Quota,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::InvalidFilename => ErrorKind::InvalidInput,
            _ => ErrorKind::Io,
        };
        Self::new(kind, Effect::NotSent, format!("cannot {what} {}: {source}", path.display())).with_source(source)
    }

    /// Says what is known of the effect.
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Adds the operation, unless a closer one is there.
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Adds the name of the store, unless a closer one is there.
    pub fn with_store(mut self, store: impl Into<String>) -> Self {
        self.0.store.get_or_insert_with(|| store.into());
        self
    }

    /// Adds what the operation was about: a name, a redacted reference. Unless a closer one is there.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject.get_or_insert_with(|| subject.into());
        self
    }

    /// Adds the HTTP status of the answer.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Adds the service's own code, verbatim.
    pub fn with_provider_code(mut self, code: impl Into<String>) -> Self {
        self.0.provider_code = Some(code.into());
        self
    }

    /// Adds the service's id of the request.
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Adds how long the service asks to wait.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds how often it was tried in all.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds the file that is stored although an error is reported.
    pub fn with_stored(mut self, file: StoredFile) -> Self {
        self.0.stored = Some(file);
        self
    }

    /// Adds the place of a partial download that was kept.
    pub fn with_partial(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.partial = Some(path.into());
        self
    }

    /// Adds the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds a sentence to the message.
    pub fn with_note(mut self, note: &str) -> Self {
        self.0.message.push_str("; ");
        self.0.message.push_str(note);
        self
    }

    /// Says that the read that failed may have used the file up: the effect is *unknown*, and the
    /// message says so, once.
    pub fn possibly_consumed(mut self) -> Self {
        self.0.effect = Effect::Unknown;
        if std::mem::replace(&mut self.0.possibly_consumed, true) {
            return self;
        }
        self.with_note("the file is possibly consumed")
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether it took effect all the same.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// The message alone, without store, operation and subject.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The operation that failed.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The name of the store.
    pub fn store(&self) -> Option<&str> {
        self.0.store.as_deref()
    }

    /// The HTTP status, where there was an answer.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// The service's own code, verbatim.
    pub fn provider_code(&self) -> Option<&str> {
        self.0.provider_code.as_deref()
    }

    /// The service's id of the request, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the service asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How often it was tried in all; at least 1.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The file that is stored although an error is reported (kind *incomplete*, or a failed check
    /// after the upload).
    pub fn stored(&self) -> Option<&StoredFile> {
        self.0.stored.as_ref()
    }

    pub(crate) fn stored_mut(&mut self) -> Option<&mut StoredFile> {
        self.0.stored.as_mut()
    }

    /// Where the part that arrived of a broken download was kept.
    pub fn partial(&self) -> Option<&Path> {
        self.0.partial.as_deref()
    }

    /// True if the same call may succeed later and certainly changed nothing yet.
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
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    /// For `AsyncRead` adapters; the way back is [`Error::from_reader`].
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl Error {
    /// The error that travelled through an [`io::Error`], or an *io* error around it.
    pub fn from_reader(error: io::Error) -> Self {
        Self::from_reader_with(error, Effect::Unknown)
    }

    /// The same, where the effect of a failure to read is known.
    pub(crate) fn from_reader_with(error: io::Error, effect: Effect) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self::new(ErrorKind::Io, effect, format!("cannot read: {error}")).with_source(error),
        }
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
}
