//! Errors to exit codes: a contract with scripts, printed by `--help`.

use filestore::{Effect, Error, ErrorKind};

/// The exit code for `error`.
pub(crate) fn code(error: &Error) -> u8 {
    use ErrorKind::*;
    match error.kind() {
        Integrity => 7,
        // Before the kinds: whoever acts on these codes must not take it for harmless.
        _ if error.effect() == Effect::Unknown => 8,
        Incomplete => 8,
        InvalidInput | Config => 2,
        NotFound => 3,
        Permission | Unauthenticated => 4,
        Unsupported | TooLarge | Quota | AlreadyExists => 5,
        _ if error.is_safe_to_retry() => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_exit_codes_holds() {
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
            (ErrorKind::Protocol, Effect::Rejected, 1),
            (ErrorKind::Io, Effect::NotSent, 1),
        ] {
            assert_eq!(code(&Error::new(kind, effect, "")), expected, "{kind} {effect}");
        }
    }
}
