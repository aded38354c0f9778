//! What a store can do, as data: native, emulated at a stated cost, or unsupported with a reason.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::{DigestAlgorithm, Error, Result, UrlKind};

/// What a store can do, asked before a request is sent instead of learnt from its failure.
///
/// Backends build it once; [layers](crate::Layer) change it to what holds with them in place.
///
/// ```
/// use filestore_core::{Capabilities, Feature, Support};
///
/// let capabilities = Capabilities::new("mem")
///     .native([Feature::List, Feature::Stat, Feature::Delete])
///     .emulated(Feature::IfExistsFail, "a stat before the upload; another writer may slip in between")
///     .unsupported(Feature::Url, "the files live in this process");
/// assert!(capabilities.supports(Feature::IfExistsFail));
/// assert_eq!(capabilities.support(Feature::Url).to_string(), "unsupported: the files live in this process");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The scheme of the store's references.
    pub scheme: Cow<'static, str>,
    /// Who chooses the address of a file.
    pub address: Address,
    /// What scopes are here.
    pub scope: ScopeKind,
    /// What a read does to the file.
    pub read_effect: ReadEffect,
    /// What a URL gives; `None` where there are none.
    pub url_kind: Option<UrlKind>,
    /// The longest lifetime of a URL; `None`: no limit is known.
    pub url_lifetime: Option<Duration>,
    /// The largest file in bytes of content; `None`: no limit is known.
    pub max_size: Option<u64>,
    /// What names may inspector like.
    pub names: NameRules,
    /// The order of a listing.
    pub list_order: ListOrder,
    /// Which digests [`StoredFile::digests`](crate::StoredFile::digests) has, and when.
    pub digests: Vec<DigestFact>,
    /// Whether a reference alone is enough to read the file: then its text is a secret.
    pub bearer_references: bool,
    /// Names of the provider options that uploads accept.
    pub options: Vec<&'static str>,
    features: Vec<(Feature, Support)>,
}

impl Capabilities {
    /// Of a store that can nothing but upload and download, by the caller's path, with free reads.
    pub fn new(scheme: impl Into<Cow<'static, str>>) -> Self {
        Self {
            scheme: scheme.into(),
            address: Address::CallerPath,
            scope: ScopeKind::Folder,
            read_effect: ReadEffect::None,
            url_kind: None,
            url_lifetime: None,
            max_size: None,
            names: NameRules::default(),
            list_order: ListOrder::Unspecified,
            digests: Vec::new(),
            bearer_references: false,
            options: Vec::new(),
            features: Vec::new(),
        }
    }

    /// The service does these itself.
    pub fn native(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        for feature in features {
            self.set(feature, Support::Native);
        }
        self
    }

    /// The backend makes `feature` out of others, at `cost`.
    pub fn emulated(mut self, feature: Feature, cost: impl Into<Cow<'static, str>>) -> Self {
        self.set(feature, Support::Emulated { cost: cost.into() });
        self
    }

    /// `feature` is not to be had, for `reason`.
    pub fn unsupported(mut self, feature: Feature, reason: impl Into<Cow<'static, str>>) -> Self {
        self.set(feature, Support::Unsupported { reason: reason.into() });
        self
    }

    /// Changes what is said of `feature`.
    pub fn set(&mut self, feature: Feature, support: Support) {
        self.features.retain(|(known, _)| *known != feature);
        self.features.push((feature, support));
    }

    /// What holds for `feature`.
    pub fn support(&self, feature: Feature) -> &Support {
        self.features.iter().find(|(known, _)| *known == feature).map_or(&NOT_STATED, |(_, support)| support)
    }

    /// Whether `feature` is there, natively or emulated.
    pub fn supports(&self, feature: Feature) -> bool {
        !matches!(self.support(feature), Support::Unsupported { .. })
    }

    /// *Unsupported*, with the reason, unless `feature` is there.
    pub fn check(&self, feature: Feature) -> Result<()> {
        match self.support(feature) {
            Support::Unsupported { reason } => {
                Err(Error::unsupported(format!("{feature} is not supported here: {reason}")))
            }
            Support::Native | Support::Emulated { .. } => Ok(()),
        }
    }

    /// Whether a read may take the file away.
    pub fn reads_consume(&self) -> bool {
        self.read_effect == ReadEffect::Consumes
    }

    /// All `requirements` at once: *unsupported*, naming every one that does not hold.
    ///
    /// Meant for the start of a program, so that a store that cannot serve it fails there.
    pub fn require(&self, requirements: &[Requirement]) -> Result<()> {
        let missing: Vec<String> = requirements.iter().filter_map(|requirement| self.problem(*requirement)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::unsupported(format!("the store does not fulfil what is required of it: {}", missing.join("; "))))
    }

    fn problem(&self, requirement: Requirement) -> Option<String> {
        match requirement {
            Requirement::Feature(feature) => match self.support(feature) {
                Support::Unsupported { reason } => Some(format!("{feature} is unsupported ({reason})")),
                Support::Native | Support::Emulated { .. } => None,
            },
            Requirement::Native(feature) => match self.support(feature) {
                Support::Native => None,
                other => Some(format!("{feature} is {other}")),
            },
            Requirement::FileSize(bytes) => self
                .max_size
                .filter(|max| *max < bytes)
                .map(|max| format!("files of {bytes} bytes are wanted, {max} is the largest")),
            Requirement::FreeReads => match self.read_effect {
                ReadEffect::None => None,
                ReadEffect::Counts | ReadEffect::Consumes => Some(format!("a read {}", self.read_effect)),
            },
        }
    }
}

const NOT_STATED: Support = Support::Unsupported { reason: Cow::Borrowed("the backend does not offer it") };

/// Something that a store may or may not be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Feature {
    /// Listing a scope.
    List,
    /// Listing with all folders below.
    RecursiveList,
    /// The facts of a file without reading it.
    Stat,
    /// Deleting a file.
    Delete,
    /// An address for others.
    Url,
    /// Reading some bytes of a file.
    Range,
    /// Uploading a body of unknown length.
    UnknownLength,
    /// Files of zero bytes.
    EmptyFile,
    /// Going on with a broken download where it stopped.
    Resume,
    /// Replacing a file of the same name.
    Replace,
    /// Rejecting to replace a file of the same name.
    IfExistsFail,
    /// Files that go away by themselves.
    Expiry,
    /// A media type that the caller chooses.
    ContentType,
    /// A time of last change that the caller chooses.
    Modified,
    /// Pairs of metadata.
    Metadata,
}

impl Feature {
    /// All of them, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::List,
        Self::RecursiveList,
        Self::Stat,
        Self::Delete,
        Self::Url,
        Self::Range,
        Self::UnknownLength,
        Self::EmptyFile,
        Self::Resume,
        Self::Replace,
        Self::IfExistsFail,
        Self::Expiry,
        Self::ContentType,
        Self::Modified,
        Self::Metadata,
    ];

    /// The name, such as `unknown-length`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::RecursiveList => "recursive-list",
            Self::Stat => "stat",
            Self::Delete => "delete",
            Self::Url => "url",
            Self::Range => "range",
            Self::UnknownLength => "unknown-length",
            Self::EmptyFile => "empty-file",
            Self::Resume => "resume",
            Self::Replace => "replace",
            Self::IfExistsFail => "if-exists-fail",
            Self::Expiry => "expiry",
            Self::ContentType => "content-type",
            Self::Modified => "modified",
            Self::Metadata => "metadata",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a feature is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// The service does it itself.
    Native,
    /// The backend makes it out of other requests.
    Emulated {
        /// What that costs or risks.
        cost: Cow<'static, str>,
    },
    /// Not at all.
    Unsupported {
        /// Why not.
        reason: Cow<'static, str>,
    },
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Emulated { cost } => write!(f, "emulated: {cost}"),
            Self::Unsupported { reason } => write!(f, "unsupported: {reason}"),
        }
    }
}

/// Something that an application needs; see [`Capabilities::require`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// The feature, natively or emulated.
    Feature(Feature),
    /// The feature, natively.
    Native(Feature),
    /// Files of so many bytes.
    FileSize(u64),
    /// Reads that neither count nor consume.
    FreeReads,
}

impl From<Feature> for Requirement {
    fn from(feature: Feature) -> Self {
        Self::Feature(feature)
    }
}

/// Who chooses the address of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// The caller: scope and name are the path.
    CallerPath,
    /// Both: the caller's name in the caller's channel, with an id of the server.
    CallerNameServerId,
    /// The server: a key of its own.
    ServerKey,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CallerPath => "the caller's path",
            Self::CallerNameServerId => "the caller's name and an id of the service",
            Self::ServerKey => "a key of the service",
        })
    }
}

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScopeKind {
    /// There are none; giving one is rejected.
    None,
    /// A folder below the root, components separated by `/`.
    Folder,
    /// A channel: one flat name.
    Channel,
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Folder => "a folder",
            Self::Channel => "a channel",
        })
    }
}

/// What a read does to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadEffect {
    /// Nothing.
    None,
    /// It is counted, and rejected when the count is used up.
    Counts,
    /// It may take the file away: nothing reads except a download that was asked for.
    Consumes,
}

impl fmt::Display for ReadEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "is free",
            Self::Counts => "counts",
            Self::Consumes => "may consume the file",
        })
    }
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListOrder {
    /// Not stated.
    Unspecified,
    /// By the bytes of the path.
    Path,
    /// By the service's collation of the path.
    Collated,
    /// By the service's id: random in time.
    Id,
    /// The newest first.
    NewestFirst,
}

impl fmt::Display for ListOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Path => "by path",
            Self::Collated => "by path, in the service's collation",
            Self::Id => "by id, random in time",
            Self::NewestFirst => "newest first",
        })
    }
}

/// Limits of names, beyond the rules of [`validate_name`](crate::validate_name).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "written out by every backend with `..NameRules::default()`")]
pub struct NameRules {
    /// At most so many bytes of UTF-8 a component.
    pub max_bytes: Option<usize>,
    /// At most so many characters a component.
    pub max_chars: Option<usize>,
    /// Whether white space at the beginning or end is rejected.
    pub no_outer_space: bool,
    /// Characters that are rejected, because the service would drop or change them.
    pub forbidden: &'static str,
}

impl NameRules {
    pub(crate) fn problem(&self, name: &str) -> Option<String> {
        let (bytes, chars) = (name.len(), name.chars().count());
        if let Some(max) = self.max_bytes.filter(|max| bytes > *max) {
            Some(format!("has {bytes} bytes, {max} are allowed here"))
        } else if let Some(max) = self.max_chars.filter(|max| chars > *max) {
            Some(format!("has {chars} characters, {max} are allowed here"))
        } else if let Some(found) = name.chars().find(|c| self.forbidden.contains(*c)) {
            Some(format!("holds {found}, which this store would not keep"))
        } else if self.no_outer_space && name.trim() != name {
            Some("begins or ends with white space, which this store would drop".into())
        } else {
            None
        }
    }
}

/// Which digest a store knows, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a fact is these two")]
pub struct DigestFact {
    /// Which digest.
    pub algorithm: DigestAlgorithm,
    /// When it is known.
    pub when: DigestWhen,
}

/// When a digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestWhen {
    /// In the answer to the upload.
    Upload,
    /// Some time after the upload.
    Later,
}
