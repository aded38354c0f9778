//! The number of files that this process may have open, and of the transfers that fit into it.

/// The files that one transfer may have open: a connection, the local file, its folder and a temporary file.
const OF_A_TRANSFER: u64 = 4;

/// The files that the program has open besides.
const OF_THE_PROGRAM: u64 = 32;

/// Raises the limit of open files to the highest that the system allows.
pub(crate) fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Without it, fewer files are transferred at once.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Returns the limit. `None`: there is none.
pub(crate) fn limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}

/// Returns the number of transfers at once that so many open files allow.
pub(crate) fn transfers(files: u64) -> usize {
    usize::try_from(files.saturating_sub(OF_THE_PROGRAM) / OF_A_TRANSFER).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_all_transfers_are_within_the_limit() {
        for (files, expected) in [(0, 1), (32, 1), (64, 8), (256, 56), (1024, 248)] {
            assert_eq!(transfers(files), expected, "{files}");
        }
    }
}
