//! The causes of an error of the HTTP library.

use std::error::Error;
use std::io;

/// Returns the error and all its causes, the innermost last.
pub(crate) fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |cause| (*cause).source())
}

/// Returns the text of the innermost cause. The outer ones say only that something failed.
pub(crate) fn root(error: &reqwest::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Returns `true` if a timeout of the HTTP library or of the operating system ended the exchange.
pub(crate) fn is_timeout(error: &reqwest::Error) -> bool {
    let of_system = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    error.is_timeout() || causes(error).any(of_system)
}
