//! What an OpenDAL operator can do and says of a file, in the words of the core.

use std::time::Duration;

use filestore_core::{Capabilities, Feature, FileRef, ListOrder, NameRules, StoredFile, UrlKind};
use opendal::{Capability, Metadata};

/// What the flow of the operations depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceTraits {
    /// There are folders, and files can be renamed: uploads are written aside.
    pub(crate) folders: bool,
    /// The service rejects to replace a file by itself.
    pub(crate) rejects: bool,
    /// Listings come in order and begin anywhere.
    pub(crate) ordered: bool,
    /// A file can be sent in several pieces.
    pub(crate) pieces: bool,
    /// Pieces are parts of a multipart upload: few and large, not many and small.
    pub(crate) parts: bool,
    /// A read can be tied to the file that was looked at.
    pub(crate) reads_if_match: bool,
    /// Files are in a bucket or container, which may be missing.
    pub(crate) container: bool,
}

impl ServiceTraits {
    pub(crate) fn of(scheme: &str, capability: &Capability) -> Self {
        // Services that rename have a tree of folders; key-value and object stores do not.
        let folders = capability.rename;
        Self {
            folders,
            rejects: capability.write_with_if_not_exists && !folders,
            ordered: capability.list_with_start_after,
            pieces: capability.write_can_multi,
            parts: capability.write_can_multi && !folders,
            reads_if_match: capability.read_with_if_match,
            container: matches!(scheme, "s3" | "gcs" | "azblob"),
        }
    }
}

/// The capabilities of a store over a service of OpenDAL called `scheme`.
pub(crate) fn capabilities(scheme: &str, capability: &Capability) -> Capabilities {
    let traits = ServiceTraits::of(scheme, capability);
    let remote = scheme != "memory";
    let mut all = Capabilities::new(reference_scheme(scheme)).native([
        Feature::Stat,
        Feature::Delete,
        Feature::Range,
        Feature::Replace,
    ]);

    all = match (capability.list, traits.ordered) {
        (false, _) => all
            .unsupported(Feature::List, "OpenDAL cannot list this service")
            .unsupported(Feature::RecursiveList, "OpenDAL cannot list this service"),
        (true, true) => all.native([Feature::List, Feature::RecursiveList]),
        (true, false) => all
            .emulated(Feature::List, "every page reads the listing of the whole folder")
            .emulated(Feature::RecursiveList, "every page reads the listings of all folders"),
    };
    all = if capability.presign_read {
        all.native([Feature::Url])
    } else if remote {
        all.unsupported(Feature::Url, "the service has no signed URLs")
    } else {
        all.unsupported(Feature::Url, "the files live in the memory of this process")
    };
    all = if traits.pieces {
        all.native([Feature::UnknownLength])
    } else {
        all.emulated(Feature::UnknownLength, "the whole file is held in memory, as for every upload here")
    };
    all = if scheme == "webdav" {
        all.emulated(
            Feature::IfExistsFail,
            "a stat, then a MOVE that must not overwrite; on servers that ignore this another writer may slip in between",
        )
    } else if !traits.rejects {
        all.emulated(Feature::IfExistsFail, "a stat before the upload; another writer may slip in between")
    } else if scheme == "s3" {
        all.emulated(
            Feature::IfExistsFail,
            "a stat, then a conditional write; on S3 servers that ignore the condition another writer may slip in between",
        )
    } else {
        all.native([Feature::IfExistsFail])
    };
    all = if !remote {
        all.unsupported(Feature::Resume, "reading memory does not break")
    } else if traits.reads_if_match {
        all.native([Feature::Resume])
    } else {
        all.emulated(Feature::Resume, "nothing but the length shows that the file was replaced in between")
    };
    let mut depends = |feature, native: bool, reason: &'static str| {
        let known = std::mem::replace(&mut all, Capabilities::new(""));
        all = if native { known.native([feature]) } else { known.unsupported(feature, reason) };
    };
    depends(Feature::EmptyFile, capability.write_can_empty, "OpenDAL does not store empty files on this service");
    depends(Feature::ContentType, capability.write_with_content_type, "the service does not keep media types");
    depends(Feature::Metadata, capability.write_with_user_metadata, "the service does not keep metadata");
    depends(Feature::Expiry, false, "OpenDAL cannot set it; use lifecycle rules of the service where it has them");
    depends(Feature::Modified, false, "the service sets it");

    all.url_kind = capability.presign_read.then_some(UrlKind::Signed);
    all.url_lifetime = longest_signature(scheme);
    all.max_size = capability.write_total_max_size.map(|size| size as u64);
    all.names = NameRules { max_bytes: Some(255), no_outer_space: true, ..NameRules::default() };
    all.list_order = ListOrder::Path;
    all
}

/// References have schemes of lower-case letters and digits only.
fn reference_scheme(scheme: &str) -> String {
    scheme.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).collect()
}

/// OpenDAL does not know it: the limit of signatures of version 4, which both services have.
fn longest_signature(scheme: &str) -> Option<Duration> {
    matches!(scheme, "s3" | "gcs").then(|| Duration::from_secs(7 * 24 * 60 * 60))
}

/// What `metadata` says of the file at `components`.
pub(crate) fn stored_file(reference: FileRef, components: &[String], metadata: &Metadata) -> StoredFile {
    let mut file = StoredFile::new(reference, components.last().cloned().unwrap_or_default());
    file.size = Some(metadata.content_length());
    file.stored_size = file.size;
    file.modified = metadata.last_modified().map(|time| time.into_inner());
    file.content_type = metadata.content_type().map(str::to_owned);
    if let Some(pairs) = metadata.user_metadata() {
        file.metadata = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }
    file
}
