//! Files and folders in responses: their JSON for API callers, and their media type and disposition for browsers.

use http::HeaderValue;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::access::Caller;
use super::store::State;
use super::tree::Node;
use super::wire::Entity;

/// The media type of unknown content.
const OCTET_STREAM: &str = "application/octet-stream";

/// The characters to percent-encode in an extended parameter value of RFC 5987.
const EXT_VALUE_ENCODE_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The parts of an entity that depend on the request.
#[derive(Clone, Debug)]
pub(super) struct View {
    permissions: String,
    with_priority_color: bool,
    pub(super) now: Timestamp,
}

impl View {
    pub(super) fn new(caller: &Caller, with_priority_color: bool, now: Timestamp) -> Self {
        View { permissions: caller.user.permissions.clone(), with_priority_color, now }
    }
}

impl State {
    /// Returns the JSON of a node. The digests of a file are null until [`Settings::digest_delay`] has passed.
    ///
    /// [`Settings::digest_delay`]: super::settings::Settings::digest_delay
    pub(super) fn entity<'e>(&'e self, node: &'e Node, path: String, view: &'e View) -> Entity<'e> {
        let content = node.content.as_ref().and_then(|id| self.contents.get(id));
        let digests = content.and_then(|content| {
            let is_due = content.stored.checked_add(self.settings.digest_delay).is_ok_and(|due| view.now >= due);
            content.digests.as_ref().filter(|_| is_due)
        });
        let creator = (node.created_by > 0).then_some(node.created_by);
        Entity {
            path,
            created_by_id: creator,
            created_by_api_key_id: None,
            created_by_as2_incoming_message_id: None,
            created_by_automation_id: None,
            created_by_bundle_registration_id: None,
            created_by_inbox_id: None,
            created_by_remote_server_id: None,
            created_by_sync_id: None,
            custom_metadata: &node.custom_metadata,
            display_name: &node.name,
            kind: if node.is_file() { "file" } else { "directory" },
            size: content.map(|content| content.size),
            created_at: node.created_at,
            last_modified_by_id: creator,
            last_modified_by_api_key_id: None,
            last_modified_by_automation_id: None,
            last_modified_by_bundle_registration_id: None,
            last_modified_by_remote_server_id: None,
            last_modified_by_sync_id: None,
            mtime: node.mtime,
            provided_mtime: node.provided_mtime,
            crc32: digests.map(|digests| format!("{:x}", digests.crc32)),
            md5: digests.map(|digests| digests.md5.clone()),
            sha1: None,
            sha256: None,
            mime_type: content.map(|_| mime_type(&node.name)),
            region: content.map(|_| "us-east-1"),
            permissions: &view.permissions,
            subfolders_locked: content.is_none().then_some(false),
            is_locked: content.is_none().then_some(false),
            priority_color: view.with_priority_color.then_some(&node.priority_color),
            download_uri: None,
        }
    }
}

/// Guesses the media type from the extension, as the service does.
pub(super) fn mime_type(name: &str) -> String {
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("gz") => "application/x-gzip".to_owned(),
        Some("text" | "go") => OCTET_STREAM.to_owned(),
        _ => mime_guess::from_path(name).first_raw().unwrap_or(OCTET_STREAM).to_owned(),
    }
}

/// Returns the `Content-Disposition` of a download.
pub(super) fn disposition(name: &str) -> HeaderValue {
    let ascii: String =
        name.chars().map(|c| if c.is_ascii() && !c.is_control() && c != '"' { c } else { '_' }).collect();
    let text = if ascii == name {
        format!("attachment; filename=\"{name}\"")
    } else {
        format!(
            "attachment; filename=\"{ascii}\"; filename*=UTF-8''{}",
            utf8_percent_encode(name, EXT_VALUE_ENCODE_SET)
        )
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_guessed_as_the_service_guesses_them() {
        for (name, expected) in [
            ("a.txt", "text/plain"),
            ("a.tar.gz", "application/x-gzip"),
            ("a.text", OCTET_STREAM),
            ("main.go", OCTET_STREAM),
            ("a.unknown", OCTET_STREAM),
            ("a", OCTET_STREAM),
            ("a.PDF", "application/pdf"),
        ] {
            assert_eq!(mime_type(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_cannot_end_the_quoted_filename() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("é\"\r\n.txt"),
            "attachment; filename=\"____.txt\"; filename*=UTF-8''%C3%A9%22%0D%0A.txt"
        );
    }
}
