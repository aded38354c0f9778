//! Stored files from the service's entries, and the capabilities of this store.

use std::time::Duration;

use filestore_core::{
    Addressing, Capabilities, Digest, DigestAlgorithm, DigestSupport, DigestWhen, Expiry, Feature, FileRef, ListOrder,
    NameRules, ReadEffect, ScopeKind, StoredFile, UrlKind,
};

use crate::compare;
use crate::config::Verify;
use crate::path::{MAX_NAME_CHARS, SCHEME, SitePath};
use crate::wire::Entry;

/// The maximum size of a file: 5 TiB, the largest object of the storage.
pub(crate) const MAX_FILE_SIZE: u64 = 5 << 40;

/// The lifetime of a presigned URL of a file.
pub(crate) const URL_LIFETIME: Duration = Duration::from_secs(60);

/// Returns the stored file of the entry at `path`, with the spelling of the service.
pub(crate) fn stored(path: &SitePath, entry: Entry) -> StoredFile {
    let path = entry.spelling_of(path);
    file(path.reference(), path.name(), entry)
}

/// Returns the stored file of an entry with this reference and name.
pub(crate) fn file(reference: FileRef, name: &str, entry: Entry) -> StoredFile {
    let mut file = StoredFile::new(reference, name);
    file.size = entry.size;
    file.stored_size = entry.size;
    file.created = entry.created_at;
    file.modified = entry.modified();
    file.version = entry.size.zip(entry.crc32.as_deref()).and_then(|(size, crc32)| version(size, crc32));
    // The service computes digests after the upload, so any may be missing.
    let digests = [
        (DigestAlgorithm::Crc32, entry.crc32),
        (DigestAlgorithm::Md5, entry.md5),
        (DigestAlgorithm::Sha1, entry.sha1),
        (DigestAlgorithm::Sha256, entry.sha256),
    ];
    let known = |(algorithm, hex): (DigestAlgorithm, Option<String>)| Some(Digest::new(algorithm, hex?));
    file.digests.extend(digests.into_iter().filter_map(known));
    file.content_type = entry.mime_type;
    file.metadata = entry.custom_metadata;
    file.expiry = Expiry::Never;
    file
}

/// Returns the version of a content of `size` bytes. `None` if `crc32` is no CRC-32.
///
/// The times of the service have whole seconds, so two uploads may have the same. Of the digests, an upload in parts
/// computes only this one of the whole content.
pub(crate) fn version(size: u64, crc32: &str) -> Option<String> {
    Some(format!("{:08x}-{size}", u32::from_str_radix(crc32, 16).ok()?))
}

pub(crate) fn capabilities(root: &SitePath, verify: Verify) -> Capabilities {
    let mut capabilities = Capabilities::new(SCHEME)
        .native([
            Feature::List,
            Feature::Stat,
            Feature::Delete,
            Feature::Url,
            Feature::Range,
            Feature::UnknownLength,
            Feature::EmptyFile,
            Feature::Resume,
            Feature::Replace,
            Feature::Modified,
            Feature::Metadata,
        ])
        .emulated(
            Feature::RecursiveList,
            "one request or more for each folder; entries that move during the listing may be missed or listed twice",
        )
        .emulated(
            Feature::IfExistsFail,
            "a check, then an upload under a temporary name and a move: two additional requests; a process that ends \
             before the move leaves a file .filestore-...",
        )
        .unsupported(Feature::Expiry, "files do not expire; the site may have rules for a folder that delete them")
        .unsupported(Feature::ContentType, "the service derives it from the name");
    capabilities = match verify {
        Verify::None => capabilities.unsupported(Feature::Verify, "the configuration turns it off"),
        _ => capabilities.native([Feature::Verify]),
    };
    capabilities.addressing = Addressing::CallerPath;
    capabilities.root = root.reference();
    capabilities.scope = ScopeKind::Folder;
    capabilities.names = NameRules {
        max_chars: Some(MAX_NAME_CHARS),
        forbidden: "\u{200B}",
        equality: compare::EQUALITY,
        ..NameRules::default()
    };
    capabilities.read_effect = ReadEffect::None;
    capabilities.url_kind = Some(UrlKind::Signed);
    capabilities.url_lifetime = Some(URL_LIFETIME);
    capabilities.max_size = Some(MAX_FILE_SIZE);
    capabilities.list_order = ListOrder::Collated;
    capabilities.digests = [DigestAlgorithm::Crc32, DigestAlgorithm::Md5]
        .map(|algorithm| DigestSupport { algorithm, when: DigestWhen::Later })
        .into();
    capabilities.options = vec!["filescom"];
    capabilities
}
