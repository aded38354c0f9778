//! [`FileKey`]: where a file is, read from references and written into them.

use filestore_core::{Error, FileRef, Result};

use crate::channel::{check_channel, is_dots};

pub(crate) const SCHEME: &str = "pubnub";

/// Channel, id and name: only together they identify a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    pub(crate) channel: String,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl FileKey {
    /// *Invalid input* if the reference cannot be of a file here.
    pub(crate) fn of(reference: &FileRef) -> Result<Self> {
        let wrong = || Error::invalid("the reference names no PubNub file; one reads STORE:pubnub:CHANNEL/ID/NAME");
        if reference.scheme() != SCHEME {
            return Err(wrong());
        }
        let [channel, id, name] = <[String; 3]>::try_from(reference.components()).map_err(|_| wrong())?;
        check_channel(&channel)?;
        let is_impossible = |text: &str| text.is_empty() || is_dots(text) || text.contains(char::is_control);
        if is_impossible(&name) || id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(wrong());
        }
        Ok(Self { channel, id, name })
    }

    pub(crate) fn reference(&self) -> FileRef {
        FileRef::new(SCHEME, [&self.channel, &self.id, &self.name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_channel_id_and_name() {
        let place = FileKey { channel: "room 1/a".into(), id: "6b1c-11".into(), name: "ü#?%.txt".into() };
        assert_eq!(place.reference().to_string(), ":pubnub:room%201%2Fa/6b1c-11/%C3%BC%23%3F%25.txt");
        assert_eq!(FileKey::of(&place.reference()).unwrap(), place);
    }

    #[test]
    fn what_cannot_be_a_path_of_the_service_is_rejected() {
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
