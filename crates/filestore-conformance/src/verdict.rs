//! How a rule ends early, and the comparisons that end it.

use std::error::Error as _;
use std::fmt::Debug;

use filestore_core::{Effect, Error, ErrorKind, Result};

/// What a rule comes to: it holds, or it stopped.
pub(crate) type Verdict<T = ()> = std::result::Result<T, Stop>;

/// Why a rule stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed { expected: String, seen: String },
    Skipped { capability: String, reason: String },
    Blocked { by: String },
}

pub(crate) fn failed<T>(expected: impl Into<String>, seen: impl Into<String>) -> Verdict<T> {
    Err(Stop::Failed { expected: shortened(expected.into()), seen: shortened(seen.into()) })
}

/// A report is read by people: no page of a name or a content.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(600) {
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

pub(crate) fn skipped<T>(capability: &str, reason: impl Into<String>) -> Verdict<T> {
    Err(Stop::Skipped { capability: capability.to_owned(), reason: reason.into() })
}

/// Goes on only if `condition` holds; `seen` is what was there instead of `expected`.
pub(crate) fn check(condition: bool, expected: &str, seen: impl Debug) -> Verdict {
    if condition { Ok(()) } else { failed(expected, format!("{seen:?}")) }
}

/// `what` is as expected.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, expected: &T, seen: &T) -> Verdict {
    if expected == seen { Ok(()) } else { failed(format!("{what}: {expected:?}"), format!("{seen:?}")) }
}

/// The content is as expected; if not, says where it begins to differ instead of printing megabytes.
pub(crate) fn same_bytes(what: &str, expected: &[u8], seen: &[u8]) -> Verdict {
    if expected == seen {
        return Ok(());
    }
    let at = expected.iter().zip(seen).take_while(|(one, other)| one == other).count();
    failed(
        format!("{what}: {} bytes as they were sent", expected.len()),
        format!("{} bytes, different from byte {at} on", seen.len()),
    )
}

/// The operation, which is what the rule is about, succeeded.
pub(crate) fn worked<T>(what: &str, result: Result<T>) -> Verdict<T> {
    result.or_else(|error| failed(format!("{what} succeeds"), described(&error)))
}

/// The operation, without which the rule cannot be tried, succeeded.
pub(crate) fn needed<T>(what: &str, result: Result<T>) -> Verdict<T> {
    result.map_err(|error| Stop::Blocked { by: format!("{what}: {}", described(&error)) })
}

/// The operation failed with one of `kinds` and one of `effects`.
pub(crate) fn rejected<T: Debug>(
    what: &str,
    result: Result<T>,
    kinds: &[ErrorKind],
    effects: &[Effect],
) -> Verdict<Error> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let ways: Vec<&str> = effects.iter().map(|effect| effect.as_str()).collect();
    let expected = format!("{what} fails as {} ({})", names.join(" or "), ways.join(" or "));
    match result {
        Err(error) if kinds.contains(&error.kind()) && effects.contains(&error.effect()) => Ok(error),
        Err(error) => failed(expected, described(&error)),
        Ok(answer) => failed(expected, format!("success: {answer:?}")),
    }
}

pub(crate) const UNSENT: &[Effect] = &[Effect::NotSent];
pub(crate) const NOTHING_CHANGED: &[Effect] = &[Effect::NotSent, Effect::Rejected];
/// An upload that broke in the middle: a careful backend may not know, none may say that it applied.
pub(crate) const NOT_APPLIED: &[Effect] = &[Effect::NotSent, Effect::Rejected, Effect::Unknown];

/// Kind, effect, sentence and causes of an error.
pub(crate) fn described(error: &Error) -> String {
    let mut text = format!("{} ({}): {error}", error.kind(), error.effect());
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("; because {cause}"));
        source = cause.source();
    }
    text
}
