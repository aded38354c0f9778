//! Errors of OpenDAL, as kinds and effects of [`Error`].

use std::error::Error as _;

use filestore_core::{Effect, Error, ErrorKind, is_hidden};

use crate::attempts::Attempts;

/// The stage of an operation at which a request fails. It decides whether the request may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A request that changes nothing.
    Read,
    /// A request that sends content, which is not visible under its name yet.
    Transfer,
    /// The request that stores, renames or deletes a file.
    Commit,
}

/// An error that OpenDAL carries from the transport to [`of_service`].
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

/// Wraps `error` for OpenDAL, whose retry layer retries the request if it is `temporary`. [`of_service`] unwraps it.
#[cfg(feature = "http")]
pub(crate) fn carried(error: Error, temporary: bool) -> opendal::Error {
    carried_as(opendal::ErrorKind::Unexpected, error, temporary)
}

/// Wraps `error` like [`carried`], with a `kind` that OpenDAL checks.
#[cfg(feature = "http")]
pub(crate) fn carried_as(kind: opendal::ErrorKind, error: Error, temporary: bool) -> opendal::Error {
    opendal::Error::new(kind, error.message())
        .set_source(Carried(std::sync::Mutex::new(Some(error))))
        .with_temporary(temporary)
}

/// Takes the error that [`carried`] has wrapped.
#[cfg(feature = "http")]
fn take_carried(error: &opendal::Error) -> Option<Error> {
    let carried = std::iter::successors(error.source(), |cause| (**cause).source())
        .find_map(|cause| cause.downcast_ref::<Carried>())?;
    carried.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

#[cfg(not(feature = "http"))]
fn take_carried(_: &opendal::Error) -> Option<Error> {
    None
}

/// The message for a service that does not confirm the encryption that the options of S3 request.
pub(crate) const UNENCRYPTED: &str = "the service does not confirm the requested encryption; use a service that \
     supports it, or remove the options \"server_side_encryption...\"";

/// OpenDAL's message where content is shorter than it should be.
const TOO_SHORT: &str = "reader got too little data";

/// OpenDAL's message where content is longer than it should be.
pub(crate) const TOO_LONG: &str = "reader got too much data";

/// OpenDAL's message if it has no credentials to sign a request.
const UNSIGNED: &str = "signing http request";

/// Converts an error of OpenDAL in a step at `stage`, with the effect that `attempts` prove.
///
/// The error is not kept as the source, because it holds the URL of the request, which may be presigned. Its message
/// and its root cause are in the message of the result.
pub(crate) fn of_service(error: opendal::Error, stage: Stage, attempts: &Attempts, retries: u32) -> Error {
    if error.message() == UNSIGNED {
        let message = "no credentials were found; set the options access_key_id and secret_access_key (for S3), or set \
                       them in the environment or a profile; for public files, set skip_signature = \"true\"";
        return Error::config(message).with_effect(attempts.effect().unwrap_or(Effect::NotSent));
    }
    let with_history = |error: Error| match attempts.effect() {
        Some(effect) => error.with_effect(effect).with_attempts(retries + 1),
        None => error.with_attempts(retries + 1),
    };
    match take_carried(&error) {
        Some(error) => with_history(error),
        None => with_history(of_opendal(error, stage, retries, attempts.effect().is_some())),
    }
}

/// Converts an error that OpenDAL itself has found. `in_response`: the service has responded over HTTP, so the error is
/// in a response that OpenDAL cannot read.
fn of_opendal(error: opendal::Error, stage: Stage, retries: u32, in_response: bool) -> Error {
    use opendal::ErrorKind as Kind;
    // OpenDAL has one kind for everything unexpected. An error that it would retry is an outage, any other one a
    // defect.
    let outage = error.is_temporary() || error.is_persistent();
    let login = login_failure(&format!("{} {}", error.message(), root_cause(&error).unwrap_or_default()));
    let by_kind = || match error.kind() {
        Kind::NotFound => (ErrorKind::NotFound, "there is no such file"),
        Kind::PermissionDenied => (ErrorKind::Permission, "the service does not allow it; check the credentials"),
        Kind::AlreadyExists | Kind::ConditionNotMatch => {
            (ErrorKind::AlreadyExists, "a file of this name already exists")
        }
        Kind::Conflict => (ErrorKind::Conflict, "another client changes it at the same time; try again"),
        Kind::RateLimited => (ErrorKind::RateLimited, "the service limits the rate of requests; try again later"),
        Kind::IsADirectory => (ErrorKind::InvalidInput, "the path is a folder"),
        Kind::NotADirectory => (ErrorKind::InvalidInput, "a file is in place of a folder of the path"),
        Kind::IsSameFile => (ErrorKind::InvalidInput, "the service rejects the request"),
        Kind::RangeNotSatisfied => (ErrorKind::RangeNotSatisfiable, "the file does not have this range"),
        Kind::Unsupported => (ErrorKind::Unsupported, "the service does not support this"),
        Kind::ConfigInvalid => (ErrorKind::Config, "the configuration of the service is invalid"),
        // There is no kind for it.
        _ if error.message() == TOO_SHORT => (ErrorKind::Integrity, "the content is shorter than the size of the file"),
        _ if error.message() == TOO_LONG => {
            (ErrorKind::Integrity, "the content is longer than the requested part of the file")
        }
        _ if in_response => {
            (ErrorKind::Protocol, "the response is not part of the protocol of the service; check the endpoint")
        }
        // From the timeouts that `remote` sets; OpenDAL has no kind for them.
        _ if error.message().ends_with("timeout reached") => (ErrorKind::Timeout, "the service does not respond"),
        _ if outage => (ErrorKind::Unavailable, "the service cannot be reached or is failing"),
        _ => (ErrorKind::Other, "the service failed"),
    };
    let (kind, advice) = login.unwrap_or_else(by_kind);
    // After a retry, even a rejection proves nothing: the first request may have succeeded.
    let lost = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Other) || retries > 0;
    let effect = match stage {
        // A login before a retry says nothing about the first request.
        _ if login.is_some() && retries == 0 => Effect::NotSent,
        Stage::Commit if lost => Effect::Unknown,
        _ => Effect::Rejected,
    };
    let mut message = advice.to_owned();
    for part in service_message(error.message()).into_iter().chain(root_cause(&error)) {
        message.push_str(": ");
        message.push_str(&part);
    }
    Error::new(kind, effect, message).with_provider_code(error.kind().into_static())
}

/// Returns the kind and the advice for the text of a failed login over SSH. No operation was sent.
fn login_failure(text: &str) -> Option<(ErrorKind, &'static str)> {
    if text.contains("Permission denied (") {
        let advice = "the server rejects the login; check the options \"user\" and \"key\"";
        return Some((ErrorKind::Unauthenticated, advice));
    }
    let is_host_key = text.contains("Host key verification failed") || text.contains("host key is known");
    let advice = "the host key of the server is unknown or has changed; check it, and add it to the file known_hosts, or \
                  set known_hosts_strategy";
    is_host_key.then_some((ErrorKind::Config, advice))
}

/// Returns the message of the service, unless it is a web page, which some servers send with an error.
fn service_message(message: &str) -> Option<String> {
    let text = message.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| one_line(text))
}

/// Returns the root cause, such as `Connection refused`, unless it has a URL.
fn root_cause(error: &opendal::Error) -> Option<String> {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.last().map(ToString::to_string).filter(|text| !text.contains("://")).map(|text| one_line(&text))
}

/// Returns a text of the service as one line of at most 300 characters: a line break would forge a line of the output.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn none() -> Attempts {
        Attempts::default()
    }

    #[test]
    fn a_lost_response_leaves_the_effect_of_a_commit_unknown() {
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
    fn the_presigned_url_of_a_request_is_not_in_the_error() {
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "send http request")
            .with_context("url", "https://host/file?sig=hunter2")
            .set_source(io::Error::other("https://host/file?sig=hunter2: reset"));
        let error = of_service(error, Stage::Read, &none(), 0);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_rejected_login_is_permanent_and_nothing_was_sent() {
        for (text, kind) in [
            ("me@h: Permission denied (publickey).", ErrorKind::Unauthenticated),
            ("No ED25519 host key is known for h and you have requested strict checking.", ErrorKind::Config),
            ("Host key verification failed.", ErrorKind::Config),
        ] {
            let error =
                opendal::Error::new(opendal::ErrorKind::Unexpected, "ssh error").set_source(io::Error::other(text));
            let error = of_service(error, Stage::Commit, &none(), 0);
            assert_eq!((error.kind(), error.effect()), (kind, Effect::NotSent), "{error}");
            let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "ssh").set_source(io::Error::other(text));
            assert_eq!(of_service(error, Stage::Commit, &none(), 1).effect(), Effect::Unknown);
        }
    }

    #[test]
    fn a_web_page_is_not_a_message() {
        let error = opendal::Error::new(opendal::ErrorKind::NotFound, "<!DOCTYPE HTML><title>404</title>");
        assert_eq!(of_service(error, Stage::Read, &none(), 0).to_string(), "there is no such file");
    }

    #[test]
    fn the_message_and_the_cause_of_opendal_are_short_and_on_one_line() {
        let cause = io::Error::other(format!("failed:\nforged {}", "x".repeat(1000)));
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "a\nb").set_source(cause);
        let message = of_service(error, Stage::Read, &none(), 0).to_string();
        assert!(message.contains(": a b: failed: forged x") && message.len() < 500, "{message}");
    }

    #[test]
    fn a_rejection_after_a_retry_proves_nothing() {
        let taken = opendal::Error::new(opendal::ErrorKind::ConditionNotMatch, "412");
        let error = of_service(taken, Stage::Commit, &none(), 1);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Unknown));
        assert_eq!(error.attempts(), 2);
    }
}
