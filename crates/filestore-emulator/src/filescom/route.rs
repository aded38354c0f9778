//! The paths and methods of Files.com.

use http::request::Parts;

use crate::service::{Operation, ServiceName, Target};

/// What can be asked, in the words of fault rules and of the journal.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("upload").with_steps(&["begin", "part", "finish"]).with_key().with_content().with_parts(),
    Operation::new("download").with_steps(&["url", "content"]).with_key(),
    Operation::new("stat").with_key(),
    Operation::new("list").with_key(),
    Operation::new("update").with_key(),
    Operation::new("delete").with_key(),
    Operation::new("mkdir").with_key(),
    Operation::new("copy").with_key(),
    Operation::new("move").with_key(),
    Operation::new("migration"),
    Operation::new("session"),
    Operation::new("bundle"),
    Operation::new("other"),
];

/// One request's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Unknown,
}

impl Route {
    pub(crate) fn of(_head: &Parts) -> Self {
        Route::Unknown
    }

    pub(crate) fn target(&self) -> Target {
        Target { service: ServiceName::Filescom, operation: "other", step: None, part: None, key: None }
    }
}
