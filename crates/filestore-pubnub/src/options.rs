//! [`PubNubSend`]: the upload options of PubNub, most of them about the message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use filestore_core::{Error, Key, KeyKind, ProviderOptions, Result, check_secret};
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::push::{Apns, Fcm};

/// The PubNub options of an upload and of the message that names its file.
///
/// `message` and `meta` are JSON texts. They are sent as they are written: the order of keys and all digits of numbers
/// stay.
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
    /// The content of the message besides the file. Receivers get it unchanged, with the notifications added.
    #[serde(deserialize_with = "json_text")]
    pub message: Option<Box<RawValue>>,
    /// Metadata by which subscribers filter messages. It is never encrypted.
    #[serde(deserialize_with = "json_text")]
    pub meta: Option<Box<RawValue>>,
    /// `true` or `None` to publish the message. Without it, receivers learn nothing of the file.
    /// [`publish_file_message`](crate::PubNubStore::publish_file_message) publishes it later, whatever this says.
    pub publish: Option<bool>,
    /// The number of hours for which the message is kept; 0 means forever, `None` the keyset's setting. The file is
    /// always kept for the keyset's retention period.
    pub ttl: Option<u32>,
    /// `true` or `None` to keep the message in the history of the channel.
    pub should_store: Option<bool>,
    /// A label for receivers: 3 to 50 characters of `A-Za-z0-9_-` that do not begin with `-`, `_`, `pn-` or `pn_`.
    pub custom_message_type: Option<String>,
    /// The key that encrypts this file and message instead of the store's, in the store's scheme.
    pub cipher_key: Option<SecretString>,
    /// The notification for Apple devices, sent inside the message.
    #[serde(skip)]
    pub apns: Option<Apns>,
    /// The notification for Android devices, sent inside the message.
    #[serde(skip)]
    pub fcm: Option<Fcm>,
}

/// The members of a message that PubNub reads as notifications. `pn_gcm` is the older name of `pn_fcm`.
const NOTIFICATIONS: [&str; 3] = ["pn_apns", "pn_fcm", "pn_gcm"];

/// The keys of [`PubNubSend`] in a configuration file and on a command line.
pub(crate) static KEYS: [Key; 7] = [
    Key::new("message", KeyKind::Text, "the content of the message besides the file, as JSON"),
    Key::new("meta", KeyKind::Text, "metadata by which subscribers filter messages, as JSON; never encrypted"),
    Key::new("publish", KeyKind::Flag, "publish the message").default("true"),
    Key::new("ttl", KeyKind::Integer, "the number of hours for which the message is kept; 0 means forever")
        .default("the keyset's"),
    Key::new("should_store", KeyKind::Flag, "keep the message in the history of the channel").default("true"),
    Key::new("custom_message_type", KeyKind::Text, "a label for receivers: 3 to 50 characters of A-Za-z0-9_-"),
    Key::new("cipher_key", KeyKind::Secret, "the key that encrypts this file and message instead of the store's"),
];

impl PubNubSend {
    /// Creates options without a value: the message only names the file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the content of the message besides the file.
    pub fn message(mut self, message: impl Into<Value>) -> Self {
        self.message = json_of(&message.into());
        self
    }

    /// Sets the metadata by which subscribers filter messages.
    pub fn meta(mut self, meta: impl Into<Value>) -> Self {
        self.meta = json_of(&meta.into());
        self
    }

    /// Publishes the message if `publish` is `true`.
    pub fn publish(mut self, publish: bool) -> Self {
        self.publish = Some(publish);
        self
    }

    /// Keeps the message for `hours` hours; 0 means forever.
    pub fn ttl(mut self, hours: u32) -> Self {
        self.ttl = Some(hours);
        self
    }

    /// Keeps the message in the history of the channel if `should_store` is `true`.
    pub fn should_store(mut self, should_store: bool) -> Self {
        self.should_store = Some(should_store);
        self
    }

    /// Sets the label of the message.
    pub fn custom_message_type(mut self, label: impl Into<String>) -> Self {
        self.custom_message_type = Some(label.into());
        self
    }

    /// Encrypts this file and message with `cipher_key` instead of the store's.
    pub fn cipher_key(mut self, cipher_key: impl Into<String>) -> Self {
        self.cipher_key = Some(SecretString::from(cipher_key.into()));
        self
    }

    /// Sets the notification for Apple devices.
    pub fn apns(mut self, apns: Apns) -> Self {
        self.apns = Some(apns);
        self
    }

    /// Sets the notification for Android devices.
    pub fn fcm(mut self, fcm: Fcm) -> Self {
        self.fcm = Some(fcm);
        self
    }

    /// Checks the options. *Invalid input* for a value that the service would reject only after the file is stored.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(key) = &self.cipher_key {
            check_secret("cipher_key", key.expose_secret())?;
        }
        let Some(label) = &self.custom_message_type else { return Ok(()) };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_reserved = ["-", "_", "pn-", "pn_"].iter().any(|start| label.starts_with(start));
        if (3..=50).contains(&label.len()) && label.bytes().all(is_allowed) && !is_reserved {
            return Ok(());
        }
        Err(Error::invalid(
            "custom_message_type must be 3 to 50 characters of A-Za-z0-9_- and must not begin with -, _, pn- or pn_",
        ))
    }

    /// Returns the text of the message with its notifications.
    ///
    /// *Invalid input* if there are notifications and the message is not a JSON object, or has them already.
    /// *Unsupported* if there are notifications, also those that the message has already, and the message is encrypted:
    /// PubNub cannot read them, so no device would be notified.
    pub(crate) fn message_with_notifications(&self, encrypted: bool) -> Result<Option<Cow<'_, RawValue>>> {
        let apns = self.apns.as_ref().map(|apns| ("pn_apns", apns.payload()));
        let fcm = self.fcm.as_ref().map(|fcm| ("pn_fcm", fcm.payload()));
        let notifications: Vec<_> = apns.into_iter().chain(fcm).collect();
        let present = self.message.as_deref().and_then(notification_in);
        if encrypted && (present.is_some() || !notifications.is_empty()) {
            return Err(Error::unsupported(
                "PubNub cannot read notifications in an encrypted message; omit them (apns, fcm, or pn_apns, pn_fcm \
                 and pn_gcm in the message), or the cipher key",
            ));
        }
        if notifications.is_empty() {
            return Ok(self.message.as_deref().map(Cow::Borrowed));
        }
        if let Some(present) = present {
            return Err(Error::invalid(format!(
                "the message has {present:?}, and apns or fcm would add another notification; give all of them in one \
                 of the two ways"
            )));
        }
        // The members are added to the text, so that the text of the caller does not change.
        let message = self.message.as_ref().map_or("{}", |message| message.get());
        let Some(object) = message.strip_suffix('}') else {
            return Err(Error::invalid(
                "notifications need a message that is a JSON object; change the message to an object",
            ));
        };
        let mut text = object.to_owned();
        for (at, (key, payload)) in notifications.iter().enumerate() {
            let is_first = at == 0 && object[1..].trim().is_empty();
            text.push_str(if is_first { "" } else { "," });
            text.push_str(&format!("{key:?}:{payload}"));
        }
        text.push('}');
        let message = RawValue::from_string(text)
            .map_err(|error| Error::invalid(format!("cannot add the notifications to the message: {error}")))?;
        Ok(Some(Cow::Owned(message)))
    }
}

/// Returns the first member of a message that PubNub reads as a notification.
fn notification_in(message: &RawValue) -> Option<String> {
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_str(message.get()).ok()?;
    members.into_keys().find(|key| NOTIFICATIONS.contains(&key.as_str()))
}

/// Returns the text of `value`.
fn json_of(value: &Value) -> Option<Box<RawValue>> {
    // Every value can be written as JSON.
    to_raw_value(value).ok()
}

impl ProviderOptions for PubNubSend {
    fn name(&self) -> &'static str {
        "pubnub"
    }

    fn with_defaults(self, defaults: &Self) -> Self {
        Self {
            message: self.message.or_else(|| defaults.message.clone()),
            meta: self.meta.or_else(|| defaults.meta.clone()),
            publish: self.publish.or(defaults.publish),
            ttl: self.ttl.or(defaults.ttl),
            should_store: self.should_store.or(defaults.should_store),
            custom_message_type: self.custom_message_type.or_else(|| defaults.custom_message_type.clone()),
            cipher_key: self.cipher_key.or_else(|| defaults.cipher_key.clone()),
            apns: self.apns.or_else(|| defaults.apns.clone()),
            fcm: self.fcm.or_else(|| defaults.fcm.clone()),
        }
    }
}

/// Reads a JSON text and keeps it as it is written. A table of a configuration file is written as JSON.
fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        value => return Ok(json_of(&value)),
    };
    RawValue::from_string(text).map(Some).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        serde::de::Error::custom(format!(
            "the value is not JSON (line {line}, column {column}); write a JSON string with its quotes, such as \
             '\"hello\"'"
        ))
    })
}

impl fmt::Debug for PubNubSend {
    /// Omits the content that is meant for receivers only, and the cipher key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubNubSend")
            .field("publish", &self.publish)
            .field("ttl", &self.ttl)
            .field("should_store", &self.should_store)
            .field("custom_message_type", &self.custom_message_type)
            .finish_non_exhaustive()
    }
}
