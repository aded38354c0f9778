//! The emulated services and their operations, as fault rules, the journal and routing name them.

use serde::Deserialize;

/// An emulated service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceName {
    Pubnub,
    Filescom,
    Fileio,
}

impl ServiceName {
    pub(crate) const ALL: [ServiceName; 3] = [ServiceName::Pubnub, ServiceName::Filescom, ServiceName::Fileio];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ServiceName::Pubnub => "pubnub",
            ServiceName::Filescom => "filescom",
            ServiceName::Fileio => "fileio",
        }
    }

    /// Returns the operations of the service.
    pub(crate) fn operations(self) -> &'static [Operation] {
        match self {
            ServiceName::Pubnub => PUBNUB,
            ServiceName::Filescom => FILESCOM,
            ServiceName::Fileio => FILEIO,
        }
    }
}

/// An operation of a service, under the name that fault rules and the journal use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The names of its requests, if it takes several.
    pub(crate) steps: &'static [&'static str],
    /// `true` if its path contains a key.
    pub(crate) has_key: bool,
    /// `true` if its requests carry the content of a file.
    pub(crate) carries_content: bool,
    /// `true` if its requests can belong to one part of an upload.
    pub(crate) has_parts: bool,
}

impl Operation {
    pub(crate) const fn new(name: &'static str) -> Self {
        Operation { name, steps: &[], has_key: false, carries_content: false, has_parts: false }
    }

    pub(crate) const fn with_key(self) -> Self {
        Operation { has_key: true, ..self }
    }

    pub(crate) const fn with_steps(self, steps: &'static [&'static str]) -> Self {
        Operation { steps, ..self }
    }

    pub(crate) const fn with_content(self) -> Self {
        Operation { carries_content: true, ..self }
    }

    pub(crate) const fn with_parts(self) -> Self {
        Operation { has_parts: true, ..self }
    }
}

const PUBNUB: &[Operation] = &[
    Operation::new("upload").with_steps(&["generate-upload-url", "form", "publish"]).with_content(),
    Operation::new("list"),
    Operation::new("download").with_steps(&["url", "content"]).with_key(),
    Operation::new("delete").with_key(),
    Operation::new("publish"),
    Operation::new("subscribe"),
    Operation::new("presence"),
    Operation::new("history"),
    Operation::new("time"),
    Operation::new("preflight"),
    Operation::new("other"),
];

const FILESCOM: &[Operation] = &[
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

const FILEIO: &[Operation] = &[
    Operation::new("upload").with_content(),
    Operation::new("list"),
    Operation::new("me"),
    Operation::new("download").with_key(),
    Operation::new("head").with_key(),
    Operation::new("replace").with_key().with_content(),
    Operation::new("update").with_key().with_content(),
    Operation::new("delete").with_key(),
    Operation::new("landing").with_key(),
    Operation::new("help"),
    Operation::new("preflight"),
    Operation::new("other"),
];

/// The operation that a request belongs to, known before it is served.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) service: ServiceName,
    pub(crate) operation: &'static str,
    /// The step, for an operation that takes several requests.
    pub(crate) step: Option<&'static str>,
    /// The part number of a multipart upload, from 1.
    pub(crate) part: Option<u32>,
    /// The key in the path.
    pub(crate) key: Option<String>,
}
