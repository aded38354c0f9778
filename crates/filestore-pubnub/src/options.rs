//! [`PubNubSend`]: what only PubNub lets an upload say, most of it about the message.

use std::fmt;

use filestore_core::{Error, Key, KeyKind, ProviderOptions, Result, check_secret};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::push::{Apns, Fcm};

/// Options of an upload, and of the message that announces it.
///
/// In a configuration and on a command line, `message` and `meta` are JSON texts.
///
/// ```
/// use filestore_core::Upload;
/// use filestore_pubnub::PubNubSend;
/// use serde_json::json;
///
/// let send = PubNubSend::new().message(json!({"text": "the figures"})).ttl(24).custom_message_type("report");
/// let upload = Upload::new("q3.pdf", "content").scope("room-1").with(send);
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PubNubSend {
    /// What the message says besides the file. Receivers get it as it is here.
    #[serde(deserialize_with = "json_text")]
    pub message: Option<Value>,
    /// What subscribers filter messages by. It is never encrypted.
    #[serde(deserialize_with = "json_text")]
    pub meta: Option<Value>,
    /// For how many hours the message is kept; 0: for good. `None`: as the keyset says. The file is kept
    /// as the keyset says in any case.
    pub ttl: Option<u32>,
    /// Whether the message is kept in the history of the channel; `None` means yes.
    pub should_store: Option<bool>,
    /// A label for receivers: 3 to 50 of `A-Za-z0-9_-`, beginning with neither `-`, `_`, `pn-` nor `pn_`.
    pub custom_message_type: Option<String>,
    /// Encrypts this file and message with another key than the store's, in the store's scheme.
    pub cipher_key: Option<SecretString>,
    /// The notification for Apple devices, within the message.
    #[serde(skip)]
    pub apns: Option<Apns>,
    /// The notification for Android devices, within the message.
    #[serde(skip)]
    pub fcm: Option<Fcm>,
}

/// The keys of [`PubNubSend`], as a configuration and a command line take them.
pub(crate) static KEYS: [Key; 6] = [
    Key::new("message", KeyKind::Text, "what the message says besides the file, as JSON"),
    Key::new("meta", KeyKind::Text, "what subscribers filter messages by, as JSON; never encrypted"),
    Key::new("ttl", KeyKind::Integer, "for how many hours the message is kept; 0: for good").default("the keyset's"),
    Key::new("should_store", KeyKind::Flag, "whether the message is kept in the history of the channel")
        .default("true"),
    Key::new("custom_message_type", KeyKind::Text, "a label for receivers: 3 to 50 of A-Za-z0-9_-"),
    Key::new("cipher_key", KeyKind::Secret, "encrypts this file and message with another key than the store's"),
];

impl PubNubSend {
    /// Nothing said: a message that names the file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says this besides.
    pub fn message(mut self, message: impl Into<Value>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Lets subscribers filter by this.
    pub fn meta(mut self, meta: impl Into<Value>) -> Self {
        self.meta = Some(meta.into());
        self
    }

    /// Keeps the message for so many hours; 0: for good.
    pub fn ttl(mut self, hours: u32) -> Self {
        self.ttl = Some(hours);
        self
    }

    /// Says whether the message is kept in the history.
    pub fn should_store(mut self, should_store: bool) -> Self {
        self.should_store = Some(should_store);
        self
    }

    /// Labels the message.
    pub fn custom_message_type(mut self, label: impl Into<String>) -> Self {
        self.custom_message_type = Some(label.into());
        self
    }

    /// Encrypts with another key than the store's.
    pub fn cipher_key(mut self, cipher_key: impl Into<String>) -> Self {
        self.cipher_key = Some(SecretString::from(cipher_key.into()));
        self
    }

    /// Notifies Apple devices.
    pub fn apns(mut self, apns: Apns) -> Self {
        self.apns = Some(apns);
        self
    }

    /// Notifies Android devices.
    pub fn fcm(mut self, fcm: Fcm) -> Self {
        self.fcm = Some(fcm);
        self
    }

    /// *Invalid input* for what the service would reject once the file is stored.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(key) = &self.cipher_key {
            check_secret("cipher_key", key.expose_secret())?;
        }
        let Some(label) = &self.custom_message_type else { return Ok(()) };
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_reserved = ["-", "_", "pn-", "pn_"].iter().any(|start| label.starts_with(start));
        if (3..=50).contains(&label.len()) && label.bytes().all(is_known) && !is_reserved {
            return Ok(());
        }
        Err(Error::invalid("custom_message_type is 3 to 50 of A-Za-z0-9_-, and begins with neither -, _, pn- nor pn_"))
    }

    /// The message with its notifications.
    ///
    /// *Invalid input* for notifications beside a message that is no object, *unsupported* for those in
    /// an `encrypted` one: PubNub could not read them, so no device would hear of the file.
    pub(crate) fn whole_message(&self, encrypted: bool) -> Result<Option<Value>> {
        if self.apns.is_none() && self.fcm.is_none() {
            return Ok(self.message.clone());
        }
        if encrypted {
            return Err(Error::unsupported(
                "PubNub cannot read notifications in an encrypted message; leave out apns and fcm, or the cipher key",
            ));
        }
        let mut message = self.message.clone().unwrap_or_else(|| json!({}));
        let Some(object) = message.as_object_mut() else {
            return Err(Error::invalid("notifications go into a message that is a JSON object; make it one"));
        };
        object.extend(self.apns.as_ref().map(|apns| ("pn_apns".to_owned(), apns.payload())));
        object.extend(self.fcm.as_ref().map(|fcm| ("pn_fcm".to_owned(), fcm.payload())));
        Ok(Some(message))
    }
}

impl ProviderOptions for PubNubSend {
    fn name(&self) -> &'static str {
        "pubnub"
    }

    fn with_defaults(self, defaults: &Self) -> Self {
        Self {
            message: self.message.or_else(|| defaults.message.clone()),
            meta: self.meta.or_else(|| defaults.meta.clone()),
            ttl: self.ttl.or(defaults.ttl),
            should_store: self.should_store.or(defaults.should_store),
            custom_message_type: self.custom_message_type.or_else(|| defaults.custom_message_type.clone()),
            cipher_key: self.cipher_key.or_else(|| defaults.cipher_key.clone()),
            apns: self.apns.or_else(|| defaults.apns.clone()),
            fcm: self.fcm.or_else(|| defaults.fcm.clone()),
        }
    }
}

/// A text is JSON to be parsed; a table of a configuration is taken as it is.
fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            serde::de::Error::custom(format!(
                "it is not JSON (line {line}, column {column}); write a text with quotes inside, such as '\"hello\"'"
            ))
        }),
        value => Ok(Some(value)),
    }
}

impl fmt::Debug for PubNubSend {
    /// Without what is meant for receivers only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubNubSend")
            .field("ttl", &self.ttl)
            .field("should_store", &self.should_store)
            .field("custom_message_type", &self.custom_message_type)
            .finish_non_exhaustive()
    }
}
