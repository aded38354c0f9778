//! What can be wrong with the options of an emulator, or with the machine it starts on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::credentials::CredentialsError;
use crate::faults::FaultPlanError;

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Anybody could use it with credentials that everybody knows.
    #[error(
        "{0} can be reached from other machines: this needs a credentials file and a control token, or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// The public URL is not one that links can begin with.
    #[error("the public URL {0:?} must be http or https, without query and fragment")]
    PublicUrl(String),
    /// Every link would carry the password.
    #[error("the public URL must not hold a user or a password: links begin with it")]
    PublicUser,
    /// The control token cannot be sent in a header.
    #[error("the control token must be printable ASCII without spaces, and not empty")]
    ControlToken,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The fault file is wrong.
    #[error("fault file {}: {source}", path.display())]
    Faults {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FaultPlanError,
    },
    /// The credentials file is wrong.
    #[error("credentials file {}: {source}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CredentialsError,
    },
    /// The data directory cannot be used.
    #[error("data directory {}: {source}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another emulator uses the data directory.
    #[error("data directory {}: another emulator is using it", .0.display())]
    InUse(PathBuf),
    /// No temporary folder can be made for large files.
    #[error("no temporary folder for large files: {0}")]
    TemporaryFolder(io::Error),
    /// The ready file or the configuration cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
