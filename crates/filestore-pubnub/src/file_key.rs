//! [`FileKey`]: the identity of a file, converted from and to a reference.

use filestore_core::{Error, FileRef, Result, StoredFile};

use crate::channel::{check_channel, is_dot_segment};

pub(crate) const SCHEME: &str = "pubnub";

/// The channel, id and name of a file. Only all three together identify a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    pub(crate) channel: String,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl FileKey {
    /// Returns the key of a file in `channel`; `None` if no URL of the service can address the file.
    pub(crate) fn new(channel: &str, id: String, name: String) -> Option<Self> {
        let is_name = !name.is_empty() && !is_dot_segment(&name) && !name.contains(char::is_control);
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (is_name && is_id).then(|| Self { channel: channel.to_owned(), id, name })
    }

    /// Reads the key from `reference`. *Invalid input* if the reference cannot be of a PubNub file.
    pub(crate) fn of(reference: &FileRef) -> Result<Self> {
        let invalid =
            || Error::invalid("the reference does not name a PubNub file; use the form STORE:pubnub:CHANNEL/ID/NAME");
        if reference.scheme() != SCHEME {
            return Err(invalid());
        }
        let [channel, id, name] = <[String; 3]>::try_from(reference.components()).map_err(|_| invalid())?;
        check_channel(&channel)?;
        Self::new(&channel, id, name).ok_or_else(invalid)
    }

    pub(crate) fn reference(&self) -> FileRef {
        FileRef::new(SCHEME, [&self.channel, &self.id, &self.name])
    }

    /// Returns the metadata of the file as far as its key tells it.
    pub(crate) fn stored_file(&self) -> StoredFile {
        let mut file = StoredFile::new(self.reference(), &self.name);
        // Each upload gets an id of its own, and nothing replaces the content of an id. A listing has no ETag.
        file.version = Some(self.id.clone());
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_channel_id_and_name() {
        let key = FileKey { channel: "room 1/a".into(), id: "6b1c-11".into(), name: "ü#?%.txt".into() };
        assert_eq!(key.reference().to_string(), ":pubnub:room%201%2Fa/6b1c-11/%C3%BC%23%3F%25.txt");
        assert_eq!(FileKey::of(&key.reference()).unwrap(), key);
    }

    #[test]
    fn a_reference_that_cannot_be_a_path_of_the_service_is_rejected() {
        for text in [
            "s:pubnub:room/id",
            "s:pubnub:room/id/name/more",
            "s:pubnub:../id/name",
            "s:pubnub:room/../name",
            "s:pubnub:room/id/..",
            "s:pubnub:room/id/.",
            "s:pubnub:a%2Cb/id/name",
            "s:pubnub:room/i%2Fd/name",
            "s:pubnub:room/id/a%0Ab",
            "s:fs:room/id/name",
        ] {
            assert!(FileKey::of(&text.parse().unwrap()).is_err(), "{text}");
        }
    }
}
