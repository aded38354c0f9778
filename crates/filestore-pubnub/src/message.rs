//! File messages: published, and read.

use filestore_core::{Error, ErrorKind, FileRef, Result};
use filestore_http::OBJECT_LIMIT;
use serde_json::Value;

use crate::blocks::undecryptable;
use crate::error::{Responder, rejected_by};
use crate::file_key::FileKey;
use crate::keyset::Call;
use crate::{PubNubSend, PubNubStore, wire};

/// A message that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// When, in units of 100 ns since 1970: 17 digits. It identifies the message in its channel.
    pub timetoken: String,
}

/// What a file message says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileMessage {
    /// The file, not stamped with the name of a store.
    pub file: FileRef,
    /// What it is called.
    pub name: String,
    /// What the sender says besides; `null` if nothing.
    pub message: Value,
}

impl PubNubStore {
    /// Publishes the message that announces `file`, as an upload does.
    ///
    /// It finishes an upload whose error was *incomplete*; nobody checks that the file exists. It is
    /// repeated like a delete is: a message that comes twice names the same file twice, which receivers
    /// can see, while a file of which nobody hears is lost to them. Errors: *invalid input* (a reference
    /// of another service, a URL of more than 32 KiB), *permission*, *unauthenticated*, and those of a
    /// service that fails, with the effect *unknown* if it may have been published.
    ///
    /// ```no_run
    /// # async fn example(store: filestore_pubnub::PubNubStore, error: filestore_core::Error) -> filestore_core::Result<()> {
    /// use filestore_pubnub::PubNubSend;
    ///
    /// if let Some(file) = error.stored() {
    ///     let published = store.publish_file_message(file.reference(), &PubNubSend::new()).await?;
    ///     println!("{}", published.timetoken);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_file_message(&self, file: &FileRef, send: &PubNubSend) -> Result<Published> {
        let place = FileKey::of(file)?;
        send.check()?;
        self.publish(&place, send).await
    }

    pub(crate) async fn publish(&self, place: &FileKey, send: &PubNubSend) -> Result<Published> {
        let (mut answer, request_id) = self.send(&self.announcement(place, send)?).await?;
        if answer.status().as_u16() != 200 {
            return Err(self.rejected(answer, request_id).await);
        }
        let body = answer.bytes(OBJECT_LIMIT).await?;
        let answered: Value = answer.parse_json(&body)?;
        match (answered[0].as_u64(), answered[2].as_str()) {
            (Some(1), Some(timetoken)) if is_timetoken(timetoken) => Ok(Published { timetoken: timetoken.to_owned() }),
            // A rejection in spite of its status.
            (Some(0), _) => {
                let (error, _) = rejected_by(&answer, Responder::Service, &body, &self.secrets());
                let kind = if error.kind() == ErrorKind::Protocol { ErrorKind::InvalidInput } else { error.kind() };
                // It rejects this attempt; an earlier one may have published.
                let effect = answer.effect_if_rejected();
                let rejection = Error::new(kind, effect, error.message()).with_attempts(answer.attempts());
                Err(rejection.with_http_status(200).with_request_id(request_id))
            }
            _ => Err(answer.unexpected("the timetoken of the message").with_request_id(request_id)),
        }
    }

    /// The request that publishes the message. *Invalid input* if it would be too long.
    pub(crate) fn announcement(&self, place: &FileKey, send: &PubNubSend) -> Result<Call> {
        let cipher = self.cipher_of(send)?;
        let message = send.whole_message(cipher.is_some())?;
        let file = wire::FileId { id: place.id.clone(), name: place.name.clone() };
        let text = json(&wire::Announcement { message: message.as_ref(), file })?;
        // Encrypted, all of it is one text: that is how receivers tell.
        let payload = cipher.map_or(Ok(text.clone()), |cipher| json(&cipher.encrypt_message(&text)))?;
        let store = if send.should_store.unwrap_or(true) { "1" } else { "0" };
        let mut call = self.keyset().publish_file(&place.channel, &payload).query("store", store);
        if let Some(ttl) = send.ttl {
            call = call.query("ttl", ttl.to_string());
        }
        if let Some(meta) = &send.meta {
            call = call.query("meta", json(meta)?);
        }
        if let Some(label) = &send.custom_message_type {
            call = call.query("custom_message_type", label);
        }
        self.keyset().check_length(&call, self.now())?;
        Ok(call)
    }

    /// Reads the payload of a file message in `channel`, decrypting it if it is encrypted.
    ///
    /// The payload is what a subscriber finds in `d` and the history in `message`. *Integrity* for one
    /// that cannot be decrypted, *invalid input* for one that is no file message.
    ///
    /// ```
    /// # use filestore_pubnub::{PubNubConfig, PubNubStore};
    /// # let store = PubNubStore::new(PubNubConfig::new("pub-c-1", "sub-c-1", "alice"))?;
    /// use serde_json::json;
    ///
    /// let payload = json!({"message": {"text": "hi"}, "file": {"id": "6b1c-11", "name": "cat.txt"}});
    /// let message = store.read_message("room-1", &payload)?;
    /// assert_eq!(message.file.to_string(), ":pubnub:room-1/6b1c-11/cat.txt");
    /// assert_eq!(message.message["text"], "hi");
    /// # Ok::<(), filestore_core::Error>(())
    /// ```
    pub fn read_message(&self, channel: &str, payload: &Value) -> Result<FileMessage> {
        let decrypted = match (payload.as_str(), self.cipher()) {
            (Some(sealed), Some(cipher)) => {
                let text = cipher.decrypt_message(sealed)?;
                let what = "the message is not JSON; the cipher key is wrong";
                Some(serde_json::from_str::<Value>(&text).map_err(|_| undecryptable(what))?)
            }
            (Some(_), None) => {
                return Err(Error::invalid("the message is encrypted, or is no file message; set the cipher key"));
            }
            (None, _) => None,
        };
        let received = serde::Deserialize::deserialize(decrypted.as_ref().unwrap_or(payload));
        let wire::Received { message, file } =
            received.map_err(|_| Error::invalid("it is no file message: it does not name a file by id and name"))?;
        let place = FileKey { channel: channel.to_owned(), id: file.id, name: file.name };
        let place = FileKey::of(&place.reference())?;
        Ok(FileMessage { file: place.reference(), name: place.name, message })
    }
}

/// Digits only: it is printed, and asked with again.
fn is_timetoken(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::invalid(format!("the message cannot be JSON: {error}")))
}
