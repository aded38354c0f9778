//! What a file or folder looks like to a caller, and what it looks like to a browser.

use http::HeaderValue;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::access::Caller;
use super::store::State;
use super::tree::Node;
use super::wire::Entity;

const OCTETS: &str = "application/octet-stream";

/// What RFC 5987 lets stand as it is.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// How an entity is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    permissions: String,
    with_priority_color: bool,
    pub(super) now: Timestamp,
}

impl View {
    pub(super) fn of(caller: &Caller, with_priority_color: bool, now: Timestamp) -> Self {
        View { permissions: caller.user.permissions.clone(), with_priority_color, now }
    }
}

impl State {
    /// The digests of a file show some time after its upload.
    pub(super) fn entity<'e>(&'e self, node: &'e Node, path: String, view: &'e View) -> Entity<'e> {
        let content = node.content.as_ref().and_then(|id| self.contents.get(id));
        let digests = content.and_then(|content| {
            let shown = content.stored.checked_add(self.settings.digest_delay).is_ok_and(|from| view.now >= from);
            content.digests.as_ref().filter(|_| shown)
        });
        let by = (node.created_by > 0).then_some(node.created_by);
        Entity {
            path,
            created_by_id: by,
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
            last_modified_by_id: by,
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

/// By the extension, as the service guesses it.
pub(super) fn mime_type(name: &str) -> String {
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("gz") => "application/x-gzip".to_owned(),
        Some("text" | "go") => OCTETS.to_owned(),
        _ => mime_guess::from_path(name).first_raw().unwrap_or(OCTETS).to_owned(),
    }
}

pub(super) fn disposition(name: &str) -> HeaderValue {
    let plain: String =
        name.chars().map(|c| if c.is_ascii() && !c.is_control() && c != '"' { c } else { '_' }).collect();
    let text = if plain == name {
        format!("attachment; filename=\"{name}\"")
    } else {
        format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, EXTENDED))
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_as_the_service_does() {
        for (name, expected) in [
            ("a.txt", "text/plain"),
            ("a.tar.gz", "application/x-gzip"),
            ("a.text", OCTETS),
            ("main.go", OCTETS),
            ("a.unknown", OCTETS),
            ("a", OCTETS),
            ("a.PDF", "application/pdf"),
        ] {
            assert_eq!(mime_type(name), expected, "{name}");
        }
    }

    #[test]
    fn no_name_escapes_its_quotes() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("é\"\r\n.txt"),
            "attachment; filename=\"____.txt\"; filename*=UTF-8''%C3%A9%22%0D%0A.txt"
        );
    }
}
