//! What OpenDAL reports, as kinds and effects.

use std::error::Error as _;

use filestore_core::{Effect, Error, ErrorKind};

use crate::attempts::Attempts;

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

/// An error on its way through OpenDAL.
#[cfg(feature = "http")]
#[derive(Debug)]
struct Carried(std::sync::Mutex<Option<Error>>);

#[cfg(feature = "http")]
impl std::fmt::Display for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error of the transport")
    }
}

#[cfg(feature = "http")]
impl std::error::Error for Carried {}

/// Hands `error` to OpenDAL, whose retry layer repeats its request if it is `temporary`. [`of_service`] gives it back.
#[cfg(feature = "http")]
pub(crate) fn carried(error: Error, temporary: bool) -> opendal::Error {
    carried_as(opendal::ErrorKind::Unexpected, error, temporary)
}

/// The same as an error of `kind`, where OpenDAL looks at it.
#[cfg(feature = "http")]
pub(crate) fn carried_as(kind: opendal::ErrorKind, error: Error, temporary: bool) -> opendal::Error {
    opendal::Error::new(kind, error.message())
        .set_source(Carried(std::sync::Mutex::new(Some(error))))
        .with_temporary(temporary)
}

/// What [`carried`] has handed over.
#[cfg(feature = "http")]
fn arrived(error: &opendal::Error) -> Option<Error> {
    let carried = std::iter::successors(error.source(), |cause| (**cause).source())
        .find_map(|cause| cause.downcast_ref::<Carried>())?;
    carried.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

#[cfg(not(feature = "http"))]
fn arrived(_: &opendal::Error) -> Option<Error> {
    None
}

/// What is wrong where a service does not encrypt as the options of S3 ask it to.
pub(crate) const UNENCRYPTED: &str = "the service does not confirm the encryption that the options ask for; take a service that has it, or remove the \
     options \"server_side_encryption...\"";

/// OpenDAL's message where it has no credentials to sign a request with.
const UNSIGNED: &str = "signing http request";

/// An error of OpenDAL in a step at `stage`, of which `attempts` know what came before.
///
/// It is not kept as the source, because it holds the URL of the request, which may be signed. What
/// it says is in the message, with the first cause.
pub(crate) fn of_service(error: opendal::Error, stage: Stage, attempts: &Attempts, retries: u32) -> Error {
    if error.message() == UNSIGNED {
        let message = "no credentials were found; set the options access_key_id and secret_access_key (of S3), or let \
                       the environment or a profile have them; for files that anybody may read set skip_signature = \
                       \"true\"";
        return Error::config(message).with_effect(attempts.effect().unwrap_or(Effect::NotSent));
    }
    let settled = |error: Error| match attempts.effect() {
        Some(effect) => error.with_effect(effect).with_attempts(retries + 1),
        None => error.with_attempts(retries + 1),
    };
    match arrived(&error) {
        Some(error) => settled(error),
        None => settled(of_opendal(error, stage, retries, attempts.effect().is_some())),
    }
}

/// An error that OpenDAL itself has found, for a service behind HTTP in a response that it cannot read.
fn of_opendal(error: opendal::Error, stage: Stage, retries: u32, response: bool) -> Error {
    use opendal::ErrorKind as Kind;
    // OpenDAL has one kind for everything unexpected; whether it found a retry_decision sensible tells
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
        Kind::IsSameFile | Kind::RangeNotSatisfied => (ErrorKind::InvalidInput, "the service rejects the request"),
        Kind::Unsupported => (ErrorKind::Unsupported, "the service cannot do it"),
        Kind::ConfigInvalid => (ErrorKind::Config, "the service is not configured rightly"),
        _ if response => (ErrorKind::Protocol, "the service answers what its protocol does not have"),
        // Of the limits that `remote` sets; there is no kind for it.
        _ if error.message().ends_with("timeout reached") => (ErrorKind::Timeout, "the service does not answer"),
        _ if outage => (ErrorKind::Unavailable, "the service cannot be reached or is failing"),
        _ => (ErrorKind::Other, "the service failed"),
    };
    // After a retry_decision even a rejection proves nothing: the first request may have worked.
    let lost = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Other) || retries > 0;
    let effect = if lost && stage == Stage::Commit { Effect::Unknown } else { Effect::Rejected };
    let mut message = advice.to_owned();
    for part in service_message(error.message()).into_iter().chain(first_cause(&error)) {
        message.push_str(": ");
        message.push_str(&part);
    }
    Error::new(kind, effect, message).with_provider_code(error.kind().into_static())
}

/// What the service said, unless it is a web page; servers answer errors with whole ones.
fn service_message(message: &str) -> Option<String> {
    let text = message.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| text.chars().take(300).collect())
}

/// Such as `Connection refused`. A text with a URL in it is not repeated.
fn first_cause(error: &opendal::Error) -> Option<String> {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.last().map(ToString::to_string).filter(|text| !text.contains("://"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn none() -> Attempts {
        Attempts::default()
    }

    #[test]
    fn a_lost_answer_leaves_the_effect_of_a_commit_unknown() {
        let lost = || opendal::Error::new(opendal::ErrorKind::Unexpected, "connection reset").set_temporary();
        let error = of_service(lost(), Stage::Commit, &none(), 0);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        let error = of_service(lost(), Stage::Transfer, &none(), 0);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Rejected));
        assert!(error.is_safe_to_retry());
    }

    #[test]
    fn a_rejection_is_rejected_at_every_stage() {
        for stage in [Stage::Read, Stage::Transfer, Stage::Commit] {
            let error = of_service(opendal::Error::new(opendal::ErrorKind::PermissionDenied, "403"), stage, &none(), 0);
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Rejected));
        }
    }

    #[test]
    fn the_signed_url_of_a_request_is_not_repeated() {
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "send http request")
            .with_context("url", "https://host/file?sig=hunter2")
            .set_source(io::Error::other("https://host/file?sig=hunter2: reset"));
        let error = of_service(error, Stage::Read, &none(), 0);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_web_page_is_not_a_message() {
        let error = opendal::Error::new(opendal::ErrorKind::NotFound, "<!DOCTYPE HTML><title>404</title>");
        assert_eq!(of_service(error, Stage::Read, &none(), 0).to_string(), "there is no such file");
    }

    #[test]
    fn a_rejection_after_a_repetition_proves_nothing() {
        let taken = opendal::Error::new(opendal::ErrorKind::ConditionNotMatch, "412");
        let error = of_service(taken, Stage::Commit, &none(), 1);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Unknown));
        assert_eq!(error.attempts(), 2);
    }
}
