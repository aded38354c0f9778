//! The capabilities of an OpenDAL operator, and its metadata of files, as types of `filestore-core`.

use std::time::Duration;

use filestore_core::{Capabilities, Feature, FileRef, ListOrder, NameRules, StoredFile, UrlKind};
use jiff::Timestamp;
use opendal::{Capability, Metadata};

/// The traits of a service on which the flow of the operations depends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceTraits {
    /// `true` if there are folders, and files can be renamed: an upload is written to a temporary file first.
    pub(crate) folders: bool,
    /// `true` if the service itself can reject the replacement of a file.
    pub(crate) conditional_write: bool,
    /// `true` if listings are in the order of the paths and can begin at any path.
    pub(crate) ordered: bool,
    /// `true` if a file can be written in several chunks.
    pub(crate) chunks: bool,
    /// `true` if the chunks are parts of a multipart upload: few and large, not many and small.
    pub(crate) parts: bool,
    /// `true` if a read can have the ETag of the file as its precondition.
    pub(crate) reads_if_match: bool,
    /// `true` if this crate's transport sends the content of a file as the body of one request.
    pub(crate) streams_body: bool,
    /// `true` if the service keeps the media type of a file.
    pub(crate) content_type: bool,
    /// `true` if the names of metadata must be identifiers.
    pub(crate) identifier_metadata: bool,
    /// `true` if files are in a bucket or container, which may be missing.
    pub(crate) container: bool,
    /// `true` if the parts and ranges of one file are transferred at the same time.
    pub(crate) parallel: bool,
    /// `true` if a conditional upload sends one part after the other.
    pub(crate) sequential_if_new: bool,
    /// `true` if the modification time is metadata of the file, which listings do not have.
    pub(crate) metadata_times: bool,
    /// `true` for S3, whose ETags are digests of the content.
    #[cfg(feature = "http")]
    pub(crate) digest_etags: bool,
}

impl ServiceTraits {
    /// `transport`: all requests go through this crate's transport.
    pub(crate) fn of(scheme: &str, capability: &Capability, transport: bool) -> Self {
        // Services that rename have a tree of folders; key-value and object stores do not.
        let folders = capability.rename;
        Self {
            folders,
            conditional_write: capability.write_with_if_not_exists && !folders,
            ordered: capability.list_with_start_after,
            chunks: capability.write_can_multi,
            parts: capability.write_can_multi && !folders,
            reads_if_match: capability.read_with_if_match,
            streams_body: transport && scheme == "webdav",
            content_type: capability.write_with_content_type,
            identifier_metadata: scheme == "azblob",
            container: matches!(scheme, "s3" | "gcs" | "azblob"),
            parallel: transport && matches!(scheme, "s3" | "gcs" | "azblob"),
            sequential_if_new: scheme == "gcs",
            metadata_times: matches!(scheme, "s3" | "gcs" | "azblob") && capability.write_with_user_metadata,
            #[cfg(feature = "http")]
            digest_etags: scheme == "s3",
        }
    }
}

/// Returns the capabilities of a store over OpenDAL's service `scheme`.
pub(crate) fn capabilities(scheme: &str, capability: &Capability, traits: ServiceTraits) -> Capabilities {
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
        all.unsupported(Feature::Url, "the service has no presigned URLs, or the store no credentials to sign them")
    } else {
        all.unsupported(Feature::Url, "the files are in the memory of this process")
    };
    all = if traits.chunks || traits.streams_body {
        all.native([Feature::UnknownLength])
    } else {
        all.emulated(Feature::UnknownLength, "the whole file is held in memory, as for every upload to this service")
    };
    all = if scheme == "webdav" {
        all.emulated(
            Feature::IfExistsFail,
            "a stat, then a MOVE with Overwrite: F; if the server ignores it, another writer may come in between",
        )
    } else if !traits.conditional_write {
        all.emulated(Feature::IfExistsFail, "a stat before the upload; another writer may come in between")
    } else if scheme == "s3" {
        all.emulated(
            Feature::IfExistsFail,
            "a stat, then a conditional write; if the server ignores the condition, another writer may come in between",
        )
    } else {
        all.native([Feature::IfExistsFail])
    };
    all = if !remote {
        all.unsupported(Feature::Resume, "reads of memory are not interrupted")
    } else if traits.reads_if_match && !traits.folders {
        all.native([Feature::Resume])
    } else if traits.reads_if_match {
        all.emulated(Feature::Resume, "with a weak ETag, only the length shows that the file was replaced in between")
    } else {
        all.emulated(Feature::Resume, "only the length shows that the file was replaced in between")
    };
    let mut add = |feature, native: bool, reason: &'static str| {
        let others = std::mem::replace(&mut all, Capabilities::new(""));
        all = if native { others.native([feature]) } else { others.unsupported(feature, reason) };
    };
    add(Feature::EmptyFile, capability.write_can_empty, "OpenDAL does not store empty files on this service");
    add(Feature::ContentType, capability.write_with_content_type, "the service does not store media types");
    let lacks_metadata = "the service does not store metadata, or an option of the store turns it off";
    add(Feature::Metadata, capability.write_with_user_metadata && scheme != "webdav", lacks_metadata);
    add(Feature::Expiry, false, "OpenDAL cannot set it; use lifecycle rules if the service has them");
    let no_digest = match scheme {
        "memory" => "the content does not leave this process",
        _ => "the service reports no digests, or the configuration turns it off",
    };
    add(Feature::Verify, false, no_digest);
    add(Feature::Modified, false, "the service sets it, or OpenDAL cannot set it");
    if traits.metadata_times {
        all = all.emulated(Feature::Modified, "the metadata `mtime`, as rclone has it; listings do not show it");
    }

    if capability.write_with_user_metadata && scheme == "webdav" {
        all = all.emulated(
            Feature::Metadata,
            "a PROPPATCH after the upload; some servers lack it, such as nginx: set enable_user_metadata = \"false\"",
        );
    }
    all.url_kind = capability.presign_read.then_some(UrlKind::Signed);
    all.url_lifetime = max_url_lifetime(scheme);
    all.max_size = capability.write_total_max_size.map(|size| size as u64);
    // Object stores limit the whole path.
    all.names =
        NameRules { max_bytes: (!traits.container).then_some(255), no_outer_space: true, ..NameRules::default() };
    all.list_order = ListOrder::Path;
    all
}

/// Returns what is not proven where content is compared with the digests of `scheme`.
#[cfg(feature = "http")]
pub(crate) fn unproven(scheme: &str) -> &'static str {
    match scheme {
        "s3" => {
            "an ETag is no digest if S3 encrypts with a key of KMS or of the customer, in directory buckets, and of files \
             that other programs uploaded in parts"
        }
        _ => "the service has no digest of a file that was uploaded in parts",
    }
}

/// Returns the scheme of references: OpenDAL's scheme with only its lower-case letters and digits.
fn reference_scheme(scheme: &str) -> String {
    scheme.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).collect()
}

/// Returns the longest lifetime of a presigned URL: 7 days, the limit of signature version 4. OpenDAL does not have it.
fn max_url_lifetime(scheme: &str) -> Option<Duration> {
    matches!(scheme, "s3" | "gcs").then(|| Duration::from_secs(7 * 24 * 60 * 60))
}

/// The name of the metadata of a file of S3 that was uploaded in parts: the size of its parts, in bytes. It is not part of
/// the metadata of a [`StoredFile`].
///
/// The ETag of such a file is the digest of the digests of its parts, so without their size it proves nothing.
pub(crate) const PART_SIZE_KEY: &str = "filestore-part-size";

/// The name of the metadata with the modification time: seconds since 1970 with a fraction, as rclone writes it. It is not
/// part of the metadata of a [`StoredFile`].
pub(crate) const MODIFIED_KEY: &str = "mtime";

/// Returns the value of [`MODIFIED_KEY`].
pub(crate) fn metadata_of_time(time: Timestamp) -> String {
    let nanoseconds = time.as_nanosecond();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let nanoseconds = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

/// Returns the time in a value of [`MODIFIED_KEY`]. `None`: it is no time. Digits beyond nanoseconds are cut off.
fn time_of_metadata(value: &str) -> Option<Timestamp> {
    let (sign, digits) = value.strip_prefix('-').map_or((1, value), |digits| (-1, digits));
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let fraction = format!("{fraction:0<9}");
    let nanoseconds = seconds.parse::<i128>().ok()? * 1_000_000_000 + fraction[..9].parse::<i128>().ok()?;
    Timestamp::from_nanosecond(sign * nanoseconds).ok()
}

/// Converts an entry of a listing, which has no user metadata.
pub(crate) fn listed_file(
    reference: FileRef,
    components: &[String],
    metadata: &Metadata,
    traits: ServiceTraits,
) -> StoredFile {
    let mut file = stored_file(reference, components, metadata, traits);
    if traits.metadata_times {
        file.modified = None;
    }
    file
}

/// Converts the `metadata` of the file at `components`.
pub(crate) fn stored_file(
    reference: FileRef,
    components: &[String],
    metadata: &Metadata,
    traits: ServiceTraits,
) -> StoredFile {
    let mut file = StoredFile::new(reference, components.last().cloned().unwrap_or_default());
    file.size = Some(metadata.content_length());
    file.stored_size = file.size;
    file.modified = metadata.last_modified().map(|time| time.into_inner());
    file.version = version(&file.reference, metadata);
    file.content_type = metadata.content_type().map(str::to_owned);
    if let Some(pairs) = metadata.user_metadata() {
        let pairs = pairs.into_iter().filter(|(key, _)| *key != PART_SIZE_KEY);
        file.metadata = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }
    if traits.metadata_times {
        // The service has the time at which the file was stored.
        file.created = file.modified;
        if let Some(time) = file.metadata.get(MODIFIED_KEY).and_then(|value| time_of_metadata(value)) {
            file.metadata.remove(MODIFIED_KEY);
            file.modified = Some(time);
        }
    }
    file
}

/// The longest version, in bytes. No service has an ETag of nearly this length.
const MAX_VERSION: usize = 1024;

/// Returns the version of the content of a file from its `metadata`. If the service has neither a generation nor an
/// ETag, it is the modification time with the size.
pub(crate) fn version(reference: &FileRef, metadata: &Metadata) -> Option<String> {
    version_of_write(reference, metadata).or_else(|| {
        let modified = metadata.last_modified().filter(|_| metadata.etag().is_none())?;
        Some(format!("{}-{}", modified.into_inner().as_nanosecond(), metadata.content_length()))
    })
}

/// Returns the version of a file that was stored, from the `metadata` in the response. A response with a time need not
/// have the ETag that later responses have.
pub(crate) fn version_of_write(reference: &FileRef, metadata: &Metadata) -> Option<String> {
    // Google's two APIs have different ETags, and one for each change of the metadata.
    let generation = metadata.version().filter(|_| reference.scheme() == "gcs");
    // A file may have a weak ETag within a second of its last change, and later the same as a strong one.
    let opaque_tag = |etag| str::trim_matches(str::strip_prefix(etag, "W/").unwrap_or(etag), '"');
    let version = generation.or_else(|| metadata.etag().map(opaque_tag))?;
    let is_valid = !version.is_empty()
        && version.len() <= MAX_VERSION
        && version.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    is_valid.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use opendal::MetadataBuilder;

    use super::*;

    #[test]
    fn a_time_in_metadata_has_the_form_of_rclone() {
        for (text, time) in [
            ("1354040105.123456789", "2012-11-27T18:15:05.123456789Z"),
            ("0.000000000", "1970-01-01T00:00:00Z"),
            ("-1.500000000", "1969-12-31T23:59:58.5Z"),
        ] {
            let time: Timestamp = time.parse().unwrap();
            assert_eq!(metadata_of_time(time), text);
            assert_eq!(time_of_metadata(text), Some(time));
        }
        let time = |text: &str| text.parse::<Timestamp>().ok();
        assert_eq!(time_of_metadata("1354040105"), time("2012-11-27T18:15:05Z"));
        assert_eq!(time_of_metadata("1354040105.1"), time("2012-11-27T18:15:05.1Z"));
        assert_eq!(time_of_metadata("1354040105.12345678999"), time("2012-11-27T18:15:05.123456789Z"));
        for garbage in ["", ".", "1.", ".5", "-", "+1", "1e9", "1 ", "99999999999999999999", "2012-11-27", "--1"] {
            assert_eq!(time_of_metadata(garbage), None, "{garbage}");
        }
    }

    fn metadata(etag: Option<&str>, generation: Option<&str>, time: Option<&str>) -> Metadata {
        let mut builder = MetadataBuilder::file(9);
        etag.map(|etag| builder.etag(etag));
        generation.map(|generation| builder.version(generation));
        time.map(|time| builder.last_modified(time.parse::<opendal::raw::Timestamp>().unwrap()));
        builder.build()
    }

    fn version_in(scheme: &str, metadata: &Metadata) -> Option<String> {
        version(&FileRef::new(scheme, ["a"]), metadata)
    }

    #[test]
    fn the_version_is_the_etag_in_every_spelling_of_a_service() {
        // Azure has the tag without quotes in listings; Apache has a weak one of a file that was just written.
        for etag in ["\"0x8D1\"", "0x8D1", "W/\"0x8D1\""] {
            let metadata = metadata(Some(etag), Some("of a versioned bucket"), Some("2026-03-01T10:00:00Z"));
            assert_eq!(version_in("s3", &metadata).as_deref(), Some("0x8D1"), "{etag}");
        }
        assert_eq!(version_in("gcs", &metadata(Some("CKWa=="), Some("17"), None)).as_deref(), Some("17"));
    }

    #[test]
    fn without_an_etag_the_version_is_the_time_and_the_size() {
        let by_time = metadata(None, None, Some("2026-03-01T10:00:00Z"));
        assert_eq!(version_in("sftp", &by_time).as_deref(), Some("1772359200000000000-9"));
        assert_eq!(version_in("memory", &metadata(None, None, None)), None);
        assert_eq!(version_of_write(&FileRef::new("s3", ["a"]), &by_time), None);
    }

    #[test]
    fn an_etag_that_cannot_be_one_of_another_server_is_no_version() {
        let long = "x".repeat(MAX_VERSION + 1);
        for etag in ["", "\"\"", "\"a b\"", "\"a\"b\"", "\"ä\"", &long] {
            let metadata = metadata(Some(etag), None, Some("2026-03-01T10:00:00Z"));
            assert_eq!(version_in("webdav", &metadata), None, "{etag}");
        }
    }
}
