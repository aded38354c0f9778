//! File messages: publishing one, and reading one that was received.

use filestore_core::{Error, ErrorKind, FileRef, Result};
use filestore_http::OBJECT_LIMIT;
use serde_json::Value;

use crate::blocks::cannot_decrypt;
use crate::error::{Responder, rejected_with_body};
use crate::file_key::FileKey;
use crate::keyset::Call;
use crate::{PubNubSend, PubNubStore, wire};

/// The result of publishing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The time of publication in units of 100 ns since 1970, as 17 digits. It identifies the message in its channel.
    pub timetoken: String,
}

/// A file message that was received.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileMessage {
    /// The reference of the file, without the name of a store.
    pub file: FileRef,
    /// The name of the file.
    pub name: String,
    /// The sender's content of the message besides the file; `null` if there is none.
    pub message: Value,
}

impl PubNubStore {
    /// Publishes the message that names `file`, as an upload does.
    ///
    /// Use it to complete an upload whose error was *incomplete*. The service does not check that the file
    /// exists. The request is retried like an idempotent one, so the message may be published twice. Receivers
    /// can detect a duplicate, because it names the same file. Without a message, they would not learn of the
    /// file.
    ///
    /// Errors: *invalid input* (a reference of another service, a URL of more than 32 KiB), *permission*,
    /// *unauthenticated*, and those of a service that fails. The effect is *unknown* if the message may have
    /// been published.
    ///
    /// ```no_run
    /// # use filestore_core::{Error, Result};
    /// # use filestore_pubnub::PubNubStore;
    /// # async fn example(store: PubNubStore, error: Error) -> Result<()> {
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
        let key = FileKey::of(file)?;
        send.check()?;
        self.publish(&key, send).await
    }

    pub(crate) async fn publish(&self, key: &FileKey, send: &PubNubSend) -> Result<Published> {
        let (mut response, request_id) = self.send(&self.publish_call(key, send)?).await?;
        if response.status().as_u16() != 200 {
            return Err(self.rejected(response, request_id).await);
        }
        let body = response.bytes(OBJECT_LIMIT).await?;
        let result: Value = response.parse_json(&body)?;
        match (result[0].as_u64(), result[2].as_str()) {
            (Some(1), Some(timetoken)) if is_timetoken(timetoken) => Ok(Published { timetoken: timetoken.to_owned() }),
            // A rejection with status 200.
            (Some(0), _) => {
                let (error, _) = rejected_with_body(&response, Responder::Service, &body);
                let kind = if error.kind() == ErrorKind::Protocol { ErrorKind::InvalidInput } else { error.kind() };
                // This attempt was rejected; an earlier one may have published the message.
                let effect = response.effect_if_rejected();
                let rejection = Error::new(kind, effect, error.message()).with_attempts(response.attempts());
                Err(rejection.with_http_status(200).with_request_id(request_id))
            }
            _ => Err(response.unexpected("the timetoken of the message").with_request_id(request_id)),
        }
    }

    /// Returns the request that publishes the message. *Invalid input* if its URL would be too long.
    pub(crate) fn publish_call(&self, key: &FileKey, send: &PubNubSend) -> Result<Call> {
        let cipher = self.cipher_for(send)?;
        let message = send.message_with_notifications(cipher.is_some())?;
        let file = wire::FileId { id: key.id.clone(), name: key.name.clone() };
        let text = json(&wire::PublishedMessage { message: message.as_deref(), file })?;
        // An encrypted payload is one JSON string. Receivers recognize encryption by that.
        let payload = cipher.map_or(Ok(text.clone()), |cipher| json(&cipher.encrypt_message(&text)))?;
        let store = if send.should_store.unwrap_or(true) { "1" } else { "0" };
        let mut call = self.keyset().publish_file(&key.channel, &payload).query("store", store);
        if let Some(ttl) = send.ttl {
            call = call.query("ttl", ttl.to_string());
        }
        if let Some(meta) = &send.meta {
            call = call.query("meta", meta.get());
        }
        if let Some(label) = &send.custom_message_type {
            call = call.query("custom_message_type", label);
        }
        self.keyset().check_length(&call, self.now())?;
        Ok(call)
    }

    /// Reads the payload of a file message in `channel`, and decrypts it if it is encrypted.
    ///
    /// A subscriber receives the payload in the field `d`; the history has it in the field `message`.
    /// *Integrity* if the payload cannot be decrypted, *invalid input* if it is not that of a file message.
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
            (Some(ciphertext), Some(cipher)) => {
                let text = cipher.decrypt_message(ciphertext)?;
                let reason = "the decrypted message is not JSON";
                Some(serde_json::from_str::<Value>(&text).map_err(|_| cannot_decrypt(reason))?)
            }
            (Some(_), None) => {
                return Err(Error::invalid(
                    "the message is encrypted, or is not a file message; set cipher_key if it is encrypted",
                ));
            }
            (None, _) => None,
        };
        let received = serde::Deserialize::deserialize(decrypted.as_ref().unwrap_or(payload));
        let wire::ReceivedMessage { message, file } = received
            .map_err(|_| Error::invalid("the message is not a file message: it has no `file` with `id` and `name`"))?;
        let key = FileKey { channel: channel.to_owned(), id: file.id, name: file.name };
        let key = FileKey::of(&key.reference())?;
        Ok(FileMessage { file: key.reference(), name: key.name, message })
    }
}

/// Returns `true` for 1 to 20 digits. A timetoken is printed and used in further requests, so nothing else may pass.
fn is_timetoken(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::invalid(format!("cannot write the message as JSON: {error}")))
}
