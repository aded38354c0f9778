//! The error of [`Emulator::start`](crate::Emulator::start).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::credentials::CredentialsError;
use crate::faults::FaultPlanError;

/// The error of an emulator that cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Other machines can reach the address, and the fixed credentials are public.
    #[error(
        "cannot listen on {0}: other machines can reach it; give a credentials file and a control token, or listen on \
         127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// The public URL cannot be the base of links.
    #[error("the public URL {0:?} is invalid: it must be an http or https URL without query and fragment")]
    PublicUrl(String),
    /// The public URL has a user or a password, which every link would show.
    #[error("the public URL must not hold a user or a password, because links begin with it")]
    PublicUser,
    /// The control token cannot be sent in a header.
    #[error("the control token is invalid: it must be printable ASCII without spaces, and not empty")]
    ControlToken,
    /// The emulator cannot listen on the address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address in the options.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The fault file is invalid or cannot be read.
    #[error("fault file {}: {source}", path.display())]
    Faults {
        /// The file.
        path: PathBuf,
        /// The problem with it.
        source: FaultPlanError,
    },
    /// The credentials file is invalid or cannot be read.
    #[error("credentials file {}: {source}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// The problem with it.
        source: CredentialsError,
    },
    /// The data directory cannot be used.
    #[error("data directory {}: {source}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another emulator uses the data directory.
    #[error("data directory {}: another emulator is using it; stop that one or use another directory", .0.display())]
    InUse(PathBuf),
    /// The temporary folder for large files cannot be created or used.
    #[error("cannot use a temporary folder for large files: {0}")]
    TemporaryFolder(io::Error),
    /// The ready file or the configuration file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}
