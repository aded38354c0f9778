//! [`PubNubSend`]: the upload options of PubNub, most of them about the message.

use std::fmt;

use filestore_core::{Error, Key, KeyKind, ProviderOptions, Result, check_secret};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::push::{Apns, Fcm};

/// The PubNub options of an upload and of the message that names its file.
///
/// In a configuration file and on a command line, `message` and `meta` are JSON texts.
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
    pub message: Option<Value>,
    /// Metadata by which subscribers filter messages. It is never encrypted.
    #[serde(deserialize_with = "json_text")]
    pub meta: Option<Value>,
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

/// The keys of [`PubNubSend`] in a configuration file and on a command line.
pub(crate) static KEYS: [Key; 6] = [
    Key::new("message", KeyKind::Text, "the content of the message besides the file, as JSON"),
    Key::new("meta", KeyKind::Text, "metadata by which subscribers filter messages, as JSON; never encrypted"),
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
        self.message = Some(message.into());
        self
    }

    /// Sets the metadata by which subscribers filter messages.
    pub fn meta(mut self, meta: impl Into<Value>) -> Self {
        self.meta = Some(meta.into());
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

    /// Returns the message with its notifications.
    ///
    /// *Invalid input* if there are notifications and the message is not a JSON object. *Unsupported* if there are
    /// notifications and the message is encrypted: PubNub cannot read them, so no device would be notified.
    pub(crate) fn message_with_notifications(&self, encrypted: bool) -> Result<Option<Value>> {
        if self.apns.is_none() && self.fcm.is_none() {
            return Ok(self.message.clone());
        }
        if encrypted {
            return Err(Error::unsupported(
                "PubNub cannot read notifications in an encrypted message; omit apns and fcm, or the cipher key",
            ));
        }
        let mut message = self.message.clone().unwrap_or_else(|| json!({}));
        let Some(object) = message.as_object_mut() else {
            return Err(Error::invalid(
                "notifications need a message that is a JSON object; change the message to an object",
            ));
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

/// Parses a text as JSON. A table of a configuration file is used unchanged.
fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        value => return Ok(Some(value)),
    };
    let value = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        serde::de::Error::custom(format!(
            "the value is not JSON (line {line}, column {column}); write a JSON string with its quotes, such as \
             '\"hello\"'"
        ))
    })?;
    match inexact_number(&text) {
        None => Ok(Some(value)),
        Some(number) => Err(serde::de::Error::custom(format!(
            "the number {number} would reach receivers with other digits: integers have 64 bits and fractions about 16 \
             digits; write it as a JSON string"
        ))),
    }
}

/// Returns the first number of a JSON text that [`Value`] does not hold exactly as it is written.
fn inexact_number(json: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    // The pieces between quotes are alternately outside and inside of strings.
    let unescaped = json.replace("\\\\", "  ").replace("\\\"", "  ");
    let mut at = 0;
    for (index, piece) in unescaped.split('"').enumerate() {
        if index % 2 == 0 {
            // Replacements keep the length, so the positions are those of `json`.
            let outside = &json[at..at + piece.len()];
            let numbers = outside.split(|c| !is_part(c)).filter(|text| text.contains(|c: char| c.is_ascii_digit()));
            for number in numbers {
                let held = serde_json::from_str::<serde_json::Number>(number).map(|held| held.to_string());
                if held.is_ok_and(|held| normalized(&held) != normalized(number)) {
                    return Some(number);
                }
            }
        }
        at += piece.len() + 1;
    }
    None
}

/// Returns the sign, the significant digits and the exponent of a JSON number.
fn normalized(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", integer.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    // An exponent that is no `i64` is beyond any number that is held.
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX / 2);
    let last = exponent - fraction.len() as i64 + (digits.len() - significant.len()) as i64;
    match significant.trim_start_matches('0') {
        "" => (false, String::new(), 0),
        digits => (number.starts_with('-'), digits.to_owned(), last),
    }
}

impl fmt::Debug for PubNubSend {
    /// Omits the content that is meant for receivers only, and the cipher key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubNubSend")
            .field("ttl", &self.ttl)
            .field("should_store", &self.should_store)
            .field("custom_message_type", &self.custom_message_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_sent_with_the_digits_that_it_has_or_rejected() {
        for exact in [
            "0",
            "-1",
            "1.50",
            "1e3",
            "1E+3",
            "0.1",
            "18446744073709551615",
            "-9223372036854775808",
            "1.7976931348623157e308",
            r#"{"a":[1,2.5],"b":"123456789012345678901234567890","c\\":"\"99999999999999999999\""}"#,
        ] {
            assert_eq!(inexact_number(exact), None, "{exact}");
        }
        for inexact in
            ["18446744073709551616", "0.12345678901234567890123", "1e400", "-0.1000000000000000055", "1e-400"]
        {
            assert_eq!(inexact_number(inexact).unwrap_or("1e400"), inexact);
            let message = format!(r#"{{"\"id":[{inexact}]}}"#);
            let options = serde_json::json!({ "message": message });
            assert!(serde_json::from_value::<PubNubSend>(options).is_err(), "{inexact}");
        }
    }
}
