//! [`Stopped`]: the source of the error of a transfer that was stopped.

use std::fmt;

/// The source of the error of a transfer that [`Outcomes::stop`](crate::Outcomes::stop) has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped;

impl std::error::Error for Stopped {}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller has stopped it")
    }
}
