//! The emulated services, as rules, journal and routing name them.

use serde::Deserialize;

use crate::fileio;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceName {
    Fileio,
}

impl ServiceName {
    pub(crate) const ALL: [ServiceName; 1] = [ServiceName::Fileio];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ServiceName::Fileio => "fileio",
        }
    }

    /// What can be asked of the service.
    pub(crate) fn operations(self) -> &'static [&'static str] {
        match self {
            ServiceName::Fileio => fileio::OPERATIONS,
        }
    }
}

/// What a request asks for, known before anything is done about it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) service: ServiceName,
    pub(crate) operation: &'static str,
    /// The request of an operation that takes several.
    pub(crate) step: Option<&'static str>,
    /// The part of an upload in parts, from 1.
    pub(crate) part: Option<u32>,
    /// What the path addresses.
    pub(crate) key: Option<String>,
}
