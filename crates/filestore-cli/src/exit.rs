//! The exit code of each error: a contract with scripts, printed by `--help`.

use filestore::{Effect, Error, ErrorKind};

use crate::output;

/// The exit code of a program whose reader has closed its standard output: that of the signal SIGPIPE, which ends other
/// programs then.
const CLOSED_BY_READER: u8 = 128 + 13;

/// Returns the exit code for `error`.
pub(crate) fn code(error: &Error) -> u8 {
    use ErrorKind::*;
    if output::is_closed_by_reader(error) {
        return CLOSED_BY_READER;
    }
    match error.kind() {
        Integrity => 7,
        // Before the kinds: a script must not take a failure that may have had an effect for a harmless one.
        _ if matches!(error.effect(), Effect::Unknown | Effect::Applied) => 8,
        Incomplete => 8,
        InvalidInput | RangeNotSatisfiable | Config => 2,
        NotFound => 3,
        Permission | Unauthenticated => 4,
        Unsupported | TooLarge | Quota | AlreadyExists => 5,
        _ if error.is_safe_to_retry() => 6,
        _ => 1,
    }
}

/// The exit code of a command with several inputs.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    code: u8,
    added: bool,
}

impl Outcomes {
    /// Records that one input failed. Another failure never hides missing bytes, or an effect that is unknown or
    /// incomplete; of the other failures the first one counts.
    pub(crate) fn failed(&mut self, error: &Error) {
        let rank = |code| match code {
            7 => 3,
            8 => 2,
            0 => 0,
            _ => 1,
        };
        let code = code(error);
        if rank(code) > rank(self.code) {
            self.code = code;
        }
    }

    /// Records that one input was stored, and that a retry of the command would store it once more under another
    /// reference, or reject it.
    pub(crate) fn added(&mut self) {
        self.added = true;
    }

    /// Returns the exit code. A command that would store some of the inputs twice is not safe to retry.
    pub(crate) fn code(&self) -> u8 {
        if self.added && self.code == 6 { 1 } else { self.code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_effect_has_its_exit_code() {
        for (kind, effect, expected) in [
            (ErrorKind::InvalidInput, Effect::NotSent, 2),
            (ErrorKind::Config, Effect::NotSent, 2),
            (ErrorKind::NotFound, Effect::Rejected, 3),
            (ErrorKind::Permission, Effect::Rejected, 4),
            (ErrorKind::Unauthenticated, Effect::Rejected, 4),
            (ErrorKind::Unsupported, Effect::NotSent, 5),
            (ErrorKind::TooLarge, Effect::Rejected, 5),
            (ErrorKind::Quota, Effect::NotSent, 5),
            (ErrorKind::AlreadyExists, Effect::Rejected, 5),
            (ErrorKind::RateLimited, Effect::Rejected, 6),
            (ErrorKind::Timeout, Effect::NotSent, 6),
            (ErrorKind::Unavailable, Effect::Rejected, 6),
            (ErrorKind::Integrity, Effect::Applied, 7),
            (ErrorKind::Integrity, Effect::Unknown, 7),
            (ErrorKind::Timeout, Effect::Unknown, 8),
            (ErrorKind::Permission, Effect::Unknown, 8),
            (ErrorKind::Unauthenticated, Effect::Unknown, 8),
            (ErrorKind::NotFound, Effect::Unknown, 8),
            (ErrorKind::InvalidInput, Effect::Unknown, 8),
            (ErrorKind::Config, Effect::Unknown, 8),
            (ErrorKind::Unsupported, Effect::Unknown, 8),
            (ErrorKind::Unavailable, Effect::Unknown, 8),
            (ErrorKind::Quota, Effect::Unknown, 8),
            (ErrorKind::Incomplete, Effect::Applied, 8),
            (ErrorKind::Io, Effect::Applied, 8),
            (ErrorKind::Quota, Effect::Applied, 8),
            (ErrorKind::Timeout, Effect::Applied, 8),
            (ErrorKind::NotFound, Effect::Applied, 8),
            (ErrorKind::Permission, Effect::Applied, 8),
            (ErrorKind::InvalidInput, Effect::Applied, 8),
            (ErrorKind::Protocol, Effect::Applied, 8),
            (ErrorKind::Protocol, Effect::Rejected, 1),
            (ErrorKind::Io, Effect::NotSent, 1),
        ] {
            assert_eq!(code(&Error::new(kind, effect, "")), expected, "{kind} {effect}");
        }
    }

    #[test]
    fn the_gravest_of_several_failures_is_the_exit_code() {
        let error = |code: u8| match code {
            2 => Error::new(ErrorKind::InvalidInput, Effect::NotSent, ""),
            3 => Error::new(ErrorKind::NotFound, Effect::Rejected, ""),
            6 => Error::new(ErrorKind::Unavailable, Effect::NotSent, ""),
            7 => Error::new(ErrorKind::Integrity, Effect::Applied, ""),
            _ => Error::new(ErrorKind::Timeout, Effect::Unknown, ""),
        };
        for (codes, expected, after_an_addition) in [
            (&[][..], 0, 0),
            (&[3, 2], 3, 3),
            (&[2, 8], 8, 8),
            (&[6, 8], 8, 8),
            (&[8, 2], 8, 8),
            (&[8, 7], 7, 7),
            (&[7, 8], 7, 7),
            (&[3, 8, 7, 2], 7, 7),
            (&[6], 6, 1),
            (&[6, 3], 6, 1),
            (&[3, 6], 3, 3),
        ] {
            let mut outcomes = Outcomes::default();
            codes.iter().for_each(|code| outcomes.failed(&error(*code)));
            assert_eq!(outcomes.code(), expected, "{codes:?}");
            outcomes.added();
            assert_eq!(outcomes.code(), after_an_addition, "{codes:?} and an input that was added");
        }
    }
}
