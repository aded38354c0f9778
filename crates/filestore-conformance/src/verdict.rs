//! [`Verdict`]: the result of a rule, and the checks that end a rule early.

use std::error::Error as _;
use std::fmt::Debug;

use filestore_core::{Effect, Error, ErrorKind, Result};

/// The result of a rule or of one of its steps: success, or the reason why the rule stopped.
pub(crate) type Verdict<T = ()> = std::result::Result<T, Stop>;

/// The reason why a rule stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed { expected: String, seen: String },
    Skipped { capability: String, reason: String },
    Blocked { by: String },
}

pub(crate) fn failed<T>(expected: impl Into<String>, seen: impl Into<String>) -> Verdict<T> {
    Err(Stop::Failed { expected: shorten(expected.into()), seen: shorten(seen.into()) })
}

/// Cuts a text after 600 characters: people read the report, so a long name or content must not fill a page.
fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(600) {
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

pub(crate) fn skipped<T>(capability: &str, reason: impl Into<String>) -> Verdict<T> {
    Err(Stop::Skipped { capability: capability.to_owned(), reason: reason.into() })
}

/// Fails the rule unless `condition` holds. `seen` is the behavior instead of `expected`.
pub(crate) fn check(condition: bool, expected: &str, seen: impl Debug) -> Verdict {
    if condition { Ok(()) } else { failed(expected, format!("{seen:?}")) }
}

/// Fails the rule unless the values of `what` are equal.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, expected: &T, seen: &T) -> Verdict {
    if expected == seen { Ok(()) } else { failed(format!("{what}: {expected:?}"), format!("{seen:?}")) }
}

/// Fails the rule unless the contents are equal. The report has the first byte that differs, not the contents.
pub(crate) fn same_bytes(what: &str, expected: &[u8], seen: &[u8]) -> Verdict {
    if expected == seen {
        return Ok(());
    }
    let at = expected.iter().zip(seen).take_while(|(one, other)| one == other).count();
    failed(
        format!("{what}: the {} bytes that were sent", expected.len()),
        format!("{} bytes, different from byte {at} on", seen.len()),
    )
}

/// Fails the rule unless the operation, which the rule tests, succeeded.
pub(crate) fn worked<T>(what: &str, result: Result<T>) -> Verdict<T> {
    result.or_else(|error| failed(format!("{what} succeeds"), described(&error)))
}

/// Blocks the rule unless the operation, without which the rule cannot be checked, succeeded.
pub(crate) fn needed<T>(what: &str, result: Result<T>) -> Verdict<T> {
    result.map_err(|error| Stop::Blocked { by: format!("{what}: {}", described(&error)) })
}

/// Fails the rule unless the operation failed with one of `kinds` and one of `effects`.
pub(crate) fn rejected<T: Debug>(
    what: &str,
    result: Result<T>,
    kinds: &[ErrorKind],
    effects: &[Effect],
) -> Verdict<Error> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let effect_names: Vec<&str> = effects.iter().map(|effect| effect.as_str()).collect();
    let expected = format!("{what} fails as {} ({})", names.join(" or "), effect_names.join(" or "));
    match result {
        Err(error) if kinds.contains(&error.kind()) && effects.contains(&error.effect()) => Ok(error),
        Err(error) => failed(expected, described(&error)),
        Ok(value) => failed(expected, format!("success: {value:?}")),
    }
}

pub(crate) const UNSENT: &[Effect] = &[Effect::NotSent];
pub(crate) const NOTHING_CHANGED: &[Effect] = &[Effect::NotSent, Effect::Rejected];
/// The effects of an upload that broke in the middle. A backend need not know the effect, but it must not report
/// *applied*.
pub(crate) const NOT_APPLIED: &[Effect] = &[Effect::NotSent, Effect::Rejected, Effect::Unknown];

/// Returns the kind, the effect, the message and the causes of an error.
pub(crate) fn described(error: &Error) -> String {
    let mut text = format!("{} ({}): {error}", error.kind(), error.effect());
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("; because {cause}"));
        source = cause.source();
    }
    text
}
