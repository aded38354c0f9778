//! [`Job`]: the task of one run of a client, and [`Scenario`], its kind.

use std::path::Path;

use clap::ValueEnum;

use crate::content::Content;
use crate::servers::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// One large file to the service.
    Up,
    /// One large file from the service.
    Down,
    /// A folder of small files to the service.
    UpTree,
    /// A folder of small files from the service.
    DownTree,
    /// A folder of small files is deleted.
    DeleteTree,
    /// Small files are deleted by their names.
    DeleteList,
    /// Many large files to S3 at once.
    Memory,
}

/// One job of a client.
pub(crate) struct Job<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) server: &'a Server,
    /// The folder of the service.
    pub(crate) scope: &'a str,
    pub(crate) content: &'a Content,
    /// The local folder for downloads.
    pub(crate) destination: &'a Path,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::UpTree => "up-tree",
            Self::DownTree => "down-tree",
            Self::DeleteTree => "delete-tree",
            Self::DeleteList => "delete-list",
            Self::Memory => "memory",
        }
    }

    /// The files are on the server before the client runs.
    pub(crate) fn begins_with_files(self) -> bool {
        !matches!(self, Self::Up | Self::UpTree | Self::Memory)
    }

    /// The client changes nothing on the server.
    pub(crate) fn is_download(self) -> bool {
        matches!(self, Self::Down | Self::DownTree)
    }
}
