//! What OpenDAL and the file system report, as kinds and effects.

use std::error::Error as _;
use std::io;
use std::path::Path;

use filestore_core::{Effect, Error, ErrorKind};

/// How far a request was when it failed: what decides whether it may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing that changes anything was asked for.
    Read,
    /// Bytes are on their way, but under no name yet.
    Transfer,
    /// The request that stores, renames or deletes.
    Commit,
}

/// An error of OpenDAL, after its request was `repeated` so many times.
///
/// It is not kept as the source, because it holds the URL of the request, which may be signed. What
/// it says is in the message, with the first cause.
pub(crate) fn of_service(error: opendal::Error, stage: Stage, repeated: u32) -> Error {
    use opendal::ErrorKind as Kind;
    // OpenDAL has one kind for everything unexpected; whether it found a repetition sensible tells
    // an outage from a defect.
    let outage = error.is_temporary() || error.is_persistent();
    let (kind, advice) = match error.kind() {
        Kind::NotFound => (ErrorKind::NotFound, "there is no such file"),
        Kind::PermissionDenied => (ErrorKind::Permission, "the service does not allow it; check the credentials"),
        Kind::AlreadyExists | Kind::ConditionNotMatch => (ErrorKind::AlreadyExists, "the name is taken"),
        Kind::Conflict => (ErrorKind::Conflict, "somebody else changes it at the same time"),
        Kind::RateLimited => (ErrorKind::RateLimited, "the service asks to slow down"),
        Kind::IsADirectory => (ErrorKind::InvalidInput, "it is a folder"),
        Kind::NotADirectory => (ErrorKind::InvalidInput, "a file is where a folder is needed"),
        Kind::IsSameFile | Kind::RangeNotSatisfied => (ErrorKind::InvalidInput, "the service refuses the request"),
        Kind::Unsupported => (ErrorKind::Unsupported, "the service cannot do it"),
        Kind::ConfigInvalid => (ErrorKind::Config, "the service is not configured rightly"),
        // Of the limits that `remote` sets; there is no kind for it.
        _ if error.message().ends_with("timeout reached") => (ErrorKind::Timeout, "the service does not answer"),
        _ if outage => (ErrorKind::Unavailable, "the service cannot be reached or is failing"),
        _ => (ErrorKind::Other, "the service failed"),
    };
    // After a repetition even a refusal proves nothing: the first request may have worked.
    let lost = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Other) || repeated > 0;
    let effect = if lost && stage == Stage::Commit { Effect::Unknown } else { Effect::Rejected };
    let mut message = advice.to_owned();
    for part in said(error.message()).into_iter().chain(first_cause(&error)) {
        message.push_str(": ");
        message.push_str(&part);
    }
    Error::new(kind, effect, message).with_attempts(repeated + 1).with_provider_code(error.kind().into_static())
}

/// What the service said, unless it is a web page; servers answer errors with whole ones.
fn said(message: &str) -> Option<String> {
    let text = message.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| text.chars().take(300).collect())
}

/// Such as `Connection refused`. A text with a URL in it is not repeated.
fn first_cause(error: &opendal::Error) -> Option<String> {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.last().map(ToString::to_string).filter(|text| !text.contains("://"))
}

/// A failure of the file system while doing `what` ("read", "rename to", ...) with `path`; nothing
/// changed under the name of a file.
pub(crate) fn of_file_system(error: io::Error, what: &str, path: &Path) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, ""),
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Permission, "; give the user of this program permission to do it")
        }
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Permission, "; choose a root that can be written to"),
        io::ErrorKind::AlreadyExists => (ErrorKind::AlreadyExists, ""),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::Quota, "; free some space"),
        io::ErrorKind::FileTooLarge => (ErrorKind::TooLarge, ""),
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            (ErrorKind::InvalidInput, "; choose another name")
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => (ErrorKind::InvalidInput, ""),
        io::ErrorKind::CrossesDevices => (
            ErrorKind::Unsupported,
            "; files are stored by a rename, so all folders must be on the file system of the root",
        ),
        _ => (ErrorKind::Io, ""),
    };
    Error::new(kind, Effect::Rejected, format!("cannot {what} {}: {error}{advice}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_leaves_the_effect_of_a_commit_unknown() {
        let lost = || opendal::Error::new(opendal::ErrorKind::Unexpected, "connection reset").set_temporary();
        let error = of_service(lost(), Stage::Commit, 0);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        let error = of_service(lost(), Stage::Transfer, 0);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Rejected));
        assert!(error.is_safe_to_retry());
    }

    #[test]
    fn a_refusal_is_rejected_at_every_stage() {
        for stage in [Stage::Read, Stage::Transfer, Stage::Commit] {
            let error = of_service(opendal::Error::new(opendal::ErrorKind::PermissionDenied, "403"), stage, 0);
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Rejected));
        }
    }

    #[test]
    fn the_signed_url_of_a_request_is_not_repeated() {
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "send http request")
            .with_context("url", "https://host/file?sig=hunter2")
            .set_source(io::Error::other("https://host/file?sig=hunter2: reset"));
        let error = of_service(error, Stage::Read, 0);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_web_page_is_not_a_message() {
        let error = opendal::Error::new(opendal::ErrorKind::NotFound, "<!DOCTYPE HTML><title>404</title>");
        assert_eq!(of_service(error, Stage::Read, 0).to_string(), "there is no such file");
    }

    #[test]
    fn a_refusal_after_a_repetition_proves_nothing() {
        let taken = opendal::Error::new(opendal::ErrorKind::ConditionNotMatch, "412");
        let error = of_service(taken, Stage::Commit, 1);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Unknown));
        assert_eq!(error.attempts(), 2);
    }

    #[test]
    fn a_full_disk_is_quota_and_a_read_only_one_permission() {
        let kind = |kind: io::ErrorKind| of_file_system(kind.into(), "write", Path::new("x")).kind();
        assert_eq!(kind(io::ErrorKind::StorageFull), ErrorKind::Quota);
        assert_eq!(kind(io::ErrorKind::ReadOnlyFilesystem), ErrorKind::Permission);
        assert_eq!(kind(io::ErrorKind::PermissionDenied), ErrorKind::Permission);
        assert_eq!(kind(io::ErrorKind::NotFound), ErrorKind::NotFound);
    }
}
