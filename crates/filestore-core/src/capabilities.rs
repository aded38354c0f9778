//! [`Capabilities`]: the features and limits of a store. A feature is native, emulated at a stated cost, or
//! unsupported for a stated reason.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::{Account, DigestAlgorithm, Error, FileRef, Result, UrlKind};

/// The features and limits of a store. Callers can check them before they send a request.
///
/// A backend builds them once. A [layer](crate::Layer) adjusts them to its own effect.
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
    /// The source of a file's address: of the path, key or id in its reference.
    pub addressing: Addressing,
    /// The reference of the root of the store, without the name of a store. Where callers choose paths, it is the
    /// beginning of every [`Store::reference`](crate::Store::reference).
    pub root: FileRef,
    /// The kind of scope that the store has.
    pub scope: ScopeKind,
    /// The effect of a read on the file.
    pub read_effect: ReadEffect,
    /// The kind of the store's URLs; `None` if it has none.
    pub url_kind: Option<UrlKind>,
    /// The longest lifetime of a URL; `None` if no limit is known.
    pub url_lifetime: Option<Duration>,
    /// The largest file, in bytes of content; `None` if no limit is known.
    pub max_size: Option<u64>,
    /// The limits of names.
    pub names: NameRules,
    /// The order of a listing.
    pub list_order: ListOrder,
    /// The digests that [`StoredFile::digests`](crate::StoredFile::digests) holds, and when they are known.
    pub digests: Vec<DigestSupport>,
    /// `true` if a reference alone is enough to read the file. Its text is then a secret.
    pub bearer_references: bool,
    /// The names of the provider options that uploads accept.
    pub options: Vec<&'static str>,
    /// The account, if the service itself can copy a file from one store of the account to another; see
    /// [`Body::of_stored`](crate::Body::of_stored).
    pub account: Option<Account>,
    features: Vec<(Feature, Support)>,
}

impl Capabilities {
    /// Creates the capabilities of a store that supports only upload and download. The caller chooses the path, scopes
    /// are folders, and reads have no effect on the file.
    pub fn new(scheme: impl Into<Cow<'static, str>>) -> Self {
        let scheme = scheme.into();
        let root = FileRef::new(&scheme, [""; 0]);
        Self {
            scheme,
            addressing: Addressing::CallerPath,
            root,
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
            account: None,
            features: Vec::new(),
        }
    }

    /// Marks `features` as provided by the service itself.
    pub fn native(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        for feature in features {
            self.set(feature, Support::Native);
        }
        self
    }

    /// Marks `feature` as built by the backend from other requests, at `cost`.
    pub fn emulated(mut self, feature: Feature, cost: impl Into<Cow<'static, str>>) -> Self {
        self.set(feature, Support::Emulated { cost: cost.into() });
        self
    }

    /// Marks `feature` as unsupported, for `reason`.
    pub fn unsupported(mut self, feature: Feature, reason: impl Into<Cow<'static, str>>) -> Self {
        self.set(feature, Support::Unsupported { reason: reason.into() });
        self
    }

    /// Sets the support of `feature`.
    pub fn set(&mut self, feature: Feature, support: Support) {
        self.features.retain(|(known, _)| *known != feature);
        self.features.push((feature, support));
    }

    /// Returns the support of `feature`. A feature that was never set is unsupported.
    pub fn support(&self, feature: Feature) -> &Support {
        self.features.iter().find(|(known, _)| *known == feature).map_or(&NOT_STATED, |(_, support)| support)
    }

    /// Returns `true` if `feature` is supported, natively or emulated.
    pub fn supports(&self, feature: Feature) -> bool {
        !matches!(self.support(feature), Support::Unsupported { .. })
    }

    /// Fails with *unsupported* and the reason if `feature` is not supported.
    pub fn check(&self, feature: Feature) -> Result<()> {
        match self.support(feature) {
            Support::Unsupported { reason } => {
                Err(Error::unsupported(format!("{feature} is not supported here: {reason}")))
            }
            Support::Native | Support::Emulated { .. } => Ok(()),
        }
    }

    /// Returns `true` if a read may remove the file.
    pub fn reads_consume(&self) -> bool {
        self.read_effect == ReadEffect::Consumes
    }

    /// Returns the groups of `files`, each given by its scope and name, that are one file in this store: an upload of one
    /// replaces the others. There is no group if uploads never replace files, because the service adds an id or chooses
    /// a key.
    ///
    /// ```
    /// use filestore_core::Capabilities;
    ///
    /// let capabilities = Capabilities::new("mem");
    /// let files = [(None, "a.txt"), (None, "b.txt"), (Some("in"), "a.txt"), (None, "a.txt")];
    /// assert_eq!(capabilities.collisions(files), [[(None, "a.txt"), (None, "a.txt")]]);
    /// ```
    pub fn collisions<'a>(
        &self,
        files: impl IntoIterator<Item = (Option<&'a str>, &'a str)>,
    ) -> Vec<Vec<(Option<&'a str>, &'a str)>> {
        if self.addressing != Addressing::CallerPath {
            return Vec::new();
        }
        let mut groups = Vec::<Vec<_>>::new();
        let mut group_of = HashMap::new();
        for (scope, name) in files {
            let components = scope.into_iter().flat_map(|scope| scope.split('/')).chain([name]);
            let path: Vec<_> = components.map(|component| self.names.equality.folded(component)).collect();
            let group = *group_of.entry(path).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push((scope, name));
        }
        groups.retain(|group| group.len() > 1);
        groups
    }

    /// Checks all `requirements` together. Fails with *unsupported* and names every requirement that is not met.
    ///
    /// Call it at the start of a program, so that an unsuitable store fails there.
    pub fn require(&self, requirements: &[Requirement]) -> Result<()> {
        let missing: Vec<String> = requirements.iter().filter_map(|requirement| self.problem(*requirement)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::unsupported(format!("the store does not meet the requirements: {}", missing.join("; "))))
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
                .map(|max| format!("files of {bytes} bytes are required, but the store accepts at most {max} bytes")),
            Requirement::FreeReads => match self.read_effect {
                ReadEffect::None => None,
                ReadEffect::Counts | ReadEffect::Consumes => Some(format!("a read {}", self.read_effect)),
            },
        }
    }
}

const NOT_STATED: Support = Support::Unsupported { reason: Cow::Borrowed("the backend does not offer it") };

/// A feature that a store may support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Feature {
    /// Listing a scope: a folder or a channel.
    List,
    /// Listing a scope with all folders below it.
    RecursiveList,
    /// Reading the metadata of a file without its content.
    Stat,
    /// Deleting a file.
    Delete,
    /// Creating a URL at which others can read the file.
    Url,
    /// Reading a range of bytes of a file.
    Range,
    /// Uploading a body of unknown length.
    UnknownLength,
    /// Files of zero bytes.
    EmptyFile,
    /// Resuming an interrupted download where it stopped.
    Resume,
    /// Replacing a file of the same name.
    Replace,
    /// Failing with *already exists* instead of replacing a file of the same name.
    IfExistsFail,
    /// Files that expire: the service removes them by itself.
    Expiry,
    /// A media type that the caller sets.
    ContentType,
    /// A modification time that the caller sets.
    Modified,
    /// Custom metadata: pairs of a key and a value.
    Metadata,
    /// Comparing the content of whole files with a digest of the service, in both directions. A difference is an
    /// *integrity* error. Lengths are always compared.
    Verify,
}

impl Feature {
    /// All features, in the order of the documentation.
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
        Self::Verify,
    ];

    /// Returns the name, such as `unknown-length`.
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
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The support of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// The service provides the feature itself.
    Native,
    /// The backend builds the feature from other requests.
    Emulated {
        /// The cost or the risk.
        cost: Cow<'static, str>,
    },
    /// The feature is not available.
    Unsupported {
        /// The reason.
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

/// A property that an application needs from a store; see [`Capabilities::require`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// The feature, natively or emulated.
    Feature(Feature),
    /// The feature, natively.
    Native(Feature),
    /// Files of up to this many bytes.
    FileSize(u64),
    /// Reads that are not counted and do not consume the file.
    FreeReads,
}

impl From<Feature> for Requirement {
    fn from(feature: Feature) -> Self {
        Self::Feature(feature)
    }
}

/// The source of a file's address: of the path, key or id by which its reference finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addressing {
    /// The caller: scope and name are the path.
    CallerPath,
    /// Both: the caller chooses channel and name, and the service adds an id.
    CallerNameServerId,
    /// The service: it chooses a key.
    ServerKey,
}

impl fmt::Display for Addressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CallerPath => "the caller's path",
            Self::CallerNameServerId => "the caller's name and an id of the service",
            Self::ServerKey => "a key of the service",
        })
    }
}

/// The kind of scope that a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScopeKind {
    /// The store has no scopes. A request with a scope is rejected.
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

/// The effect of a read on the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadEffect {
    /// No effect.
    None,
    /// The service counts each read. When the allowed number is used up, it rejects reads.
    Counts,
    /// A read may remove the file. Only a download that the caller requests reads it.
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
    /// No stated order.
    Unspecified,
    /// By the bytes of the path.
    Path,
    /// By the service's collation of the path.
    Collated,
    /// By the service's id, which says nothing about the time.
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
    /// The largest number of UTF-8 bytes in a component.
    pub max_bytes: Option<usize>,
    /// The largest number of characters in a component.
    pub max_chars: Option<usize>,
    /// `true` if white space at the beginning or end of a component is rejected.
    pub no_outer_space: bool,
    /// Characters that are rejected, because the service would drop or change them.
    pub forbidden: &'static str,
    /// The comparison of names.
    pub equality: NameEquality,
}

/// The comparison of names: it decides which spellings are one file.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum NameEquality {
    /// Names are equal if all their characters are.
    #[default]
    Exact,
    /// Names are equal if their folded forms are.
    Folded {
        /// The differences that do not count, such as `case and accents`.
        ignores: &'static str,
        /// The function that returns the folded form of a name.
        fold: fn(&str) -> String,
    },
}

impl NameEquality {
    /// Returns the folded form of a name. Two names are equal if these forms are.
    pub fn folded<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self {
            Self::Exact => name.into(),
            Self::Folded { fold, .. } => fold(name).into(),
        }
    }
}

impl PartialEq for NameEquality {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact, Self::Exact) => true,
            (Self::Folded { ignores, fold }, Self::Folded { ignores: others, fold: other }) => {
                ignores == others && std::ptr::fn_addr_eq(*fold, *other)
            }
            _ => false,
        }
    }
}

impl Eq for NameEquality {}

impl fmt::Display for NameEquality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exactly"),
            Self::Folded { ignores, .. } => write!(f, "without regard to {ignores}"),
        }
    }
}

impl NameRules {
    pub(crate) fn problem(&self, name: &str) -> Option<String> {
        let (bytes, chars) = (name.len(), name.chars().count());
        if let Some(max) = self.max_bytes.filter(|max| bytes > *max) {
            Some(format!("has {bytes} bytes, but this store allows at most {max} bytes"))
        } else if let Some(max) = self.max_chars.filter(|max| chars > *max) {
            Some(format!("has {chars} characters, but this store allows at most {max} characters"))
        } else if let Some(found) = name.chars().find(|c| self.forbidden.contains(*c)) {
            Some(format!("contains {found}, which this store would drop or change"))
        } else if self.no_outer_space && name.trim() != name {
            Some("begins or ends with white space, which this store would drop".into())
        } else {
            None
        }
    }
}

/// A digest that a store knows, and when it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "these two describe a digest")]
pub struct DigestSupport {
    /// The algorithm of the digest.
    pub algorithm: DigestAlgorithm,
    /// The time at which the digest is known.
    pub when: DigestWhen,
}

/// The time at which a digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestWhen {
    /// In the response to the upload.
    Upload,
    /// Some time after the upload.
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_whose_scopes_and_names_have_one_folded_form_collide() {
        let mut capabilities = Capabilities::new("mem");
        let files = [(None, "a"), (Some("x/Y"), "a"), (None, "A"), (Some("X/y"), "A"), (None, "b")];
        assert!(capabilities.collisions(files).is_empty());
        capabilities.names.equality = NameEquality::Folded { ignores: "case", fold: str::to_lowercase };
        let groups = [[(None, "a"), (None, "A")], [(Some("x/Y"), "a"), (Some("X/y"), "A")]];
        assert_eq!(capabilities.collisions(files), groups);
    }

    #[test]
    fn nothing_collides_where_every_upload_is_a_new_file() {
        let mut capabilities = Capabilities::new("mem");
        for addressing in [Addressing::CallerNameServerId, Addressing::ServerKey] {
            capabilities.addressing = addressing;
            assert!(capabilities.collisions([(None, "a"), (None, "a")]).is_empty());
        }
    }
}
