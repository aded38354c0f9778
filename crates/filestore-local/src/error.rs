//! Errors of the file system, as kinds and effects of [`Error`].

use std::io;
use std::path::Path;

use filestore_core::{Effect, Error, ErrorKind};

/// Converts the error of an `action` ("read", "rename to", ...) on `path` that changed no file. Another effect is set
/// by the caller.
pub(crate) fn of_file_system(error: io::Error, action: &str, path: &Path) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, ""),
        io::ErrorKind::PermissionDenied => (ErrorKind::Permission, "; grant the user of this program the permission"),
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Permission, "; choose a writable root"),
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
    Error::new(kind, Effect::Rejected, format!("cannot {action} {}: {error}{advice}", path.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_quota_and_a_read_only_disk_is_permission() {
        let kind = |kind: io::ErrorKind| of_file_system(kind.into(), "write", Path::new("x")).kind();
        assert_eq!(kind(io::ErrorKind::StorageFull), ErrorKind::Quota);
        assert_eq!(kind(io::ErrorKind::ReadOnlyFilesystem), ErrorKind::Permission);
        assert_eq!(kind(io::ErrorKind::PermissionDenied), ErrorKind::Permission);
        assert_eq!(kind(io::ErrorKind::NotFound), ErrorKind::NotFound);
    }
}
