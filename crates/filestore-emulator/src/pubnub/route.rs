//! The paths and methods of PubNub.

use http::request::Parts;

use crate::service::{Operation, ServiceName, Target};

/// What can be asked, in the words of fault rules and of the journal.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("upload").with_steps(&["generate-upload-url", "form", "publish"]).with_content(),
    Operation::new("list"),
    Operation::new("download").with_steps(&["url", "content"]).with_key(),
    Operation::new("delete").with_key(),
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
        Target { service: ServiceName::Pubnub, operation: "other", step: None, part: None, key: None }
    }
}
