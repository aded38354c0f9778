//! What core calls the service's facts: entries as stored files, and what this store can do.

use std::time::Duration;

use filestore_core::{
    Address, Capabilities, Digest, DigestAlgorithm, DigestFact, DigestWhen, Expiry, Feature, FileRef, ListOrder,
    NameRules, ReadEffect, ScopeKind, StoredFile, UrlKind,
};

use crate::path::{LONGEST_NAME, SCHEME, SitePath};
use crate::wire::Entry;

/// The largest object of the storage.
pub(crate) const LARGEST_FILE: u64 = 5 << 40;

/// How long the address of a file's content works.
pub(crate) const URL_LIFETIME: Duration = Duration::from_secs(60);

/// The file of an entry.
pub(crate) fn stored(path: &SitePath, entry: Entry) -> StoredFile {
    file(path.reference(), path.name(), entry)
}

/// The same, of which reference and name are known.
pub(crate) fn file(reference: FileRef, name: &str, entry: Entry) -> StoredFile {
    let mut file = StoredFile::new(reference, name);
    file.size = entry.size;
    file.stored_size = entry.size;
    file.created = entry.created_at;
    file.modified = entry.modified();
    // Those that the service has computed so far.
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

pub(crate) fn capabilities() -> Capabilities {
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
            "a request for every folder; what moves meanwhile may be missed or seen twice",
        )
        .emulated(
            Feature::IfExistsFail,
            "a look first, then an upload under a name of its own that is moved into place: two requests more, and a \
             process that dies between the two leaves a file .filestore-...",
        )
        .unsupported(Feature::Expiry, "files stay; folders may have rules of the site that delete them")
        .unsupported(Feature::ContentType, "the service derives it from the name");
    capabilities.address = Address::CallerPath;
    capabilities.scope = ScopeKind::Folder;
    capabilities.names = NameRules { max_chars: Some(LONGEST_NAME), forbidden: "\u{200B}", ..NameRules::default() };
    capabilities.read_effect = ReadEffect::None;
    capabilities.url_kind = Some(UrlKind::Signed);
    capabilities.url_lifetime = Some(URL_LIFETIME);
    capabilities.max_size = Some(LARGEST_FILE);
    capabilities.list_order = ListOrder::Collated;
    capabilities.digests = [DigestAlgorithm::Crc32, DigestAlgorithm::Md5]
        .map(|algorithm| DigestFact { algorithm, when: DigestWhen::Later })
        .into();
    capabilities.options = vec!["filescom"];
    capabilities
}
