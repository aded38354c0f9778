//! [`Apns`] and [`Fcm`]: push notifications for mobile devices, sent inside a message.

use serde::Serialize;
use serde_json::{Value, json};

/// A push notification for Apple devices, in the field `pn_apns` of a message.
///
/// ```
/// use filestore_pubnub::{Apns, PubNubSend};
///
/// let send = PubNubSend::new().apns(Apns::new("q3.pdf").title("Alice sent a file").topic("com.example.chat"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Apns {
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub body: String,
    /// The number on the icon of the app.
    #[serde(skip)]
    pub badge: Option<u32>,
    /// The name of the sound; `default` is the system's.
    #[serde(skip)]
    pub sound: Option<String>,
    /// The topic of the app, usually its bundle id. Apple's current API requires one.
    #[serde(skip)]
    pub topic: Option<String>,
    /// `true` for development builds of the app.
    #[serde(skip)]
    pub development: bool,
}

impl Apns {
    /// Creates a notification with the text `body`.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Sets the title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the number on the icon of the app.
    pub fn badge(mut self, badge: u32) -> Self {
        self.badge = Some(badge);
        self
    }

    /// Sets the sound.
    pub fn sound(mut self, sound: impl Into<String>) -> Self {
        self.sound = Some(sound.into());
        self
    }

    /// Sets the topic of the app.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Sends the notification to development builds of the app.
    pub fn development(mut self, development: bool) -> Self {
        self.development = development;
        self
    }

    pub(crate) fn payload(&self) -> Value {
        let mut aps = json!({"alert": self});
        if let Some(badge) = self.badge {
            aps["badge"] = badge.into();
        }
        if let Some(sound) = &self.sound {
            aps["sound"] = sound.as_str().into();
        }
        let mut payload = json!({"aps": aps});
        if let Some(topic) = &self.topic {
            let environment = if self.development { "development" } else { "production" };
            let target = json!({"environment": environment, "topic": topic});
            payload["pn_push"] = json!([{"version": "v2", "push_type": "alert", "targets": [target]}]);
        }
        payload
    }
}

/// A push notification for Android devices, in the field `pn_fcm` of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fcm {
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub body: String,
    /// Keys and values for the app.
    #[serde(skip)]
    pub data: Vec<(String, String)>,
}

impl Fcm {
    /// Creates a notification with the text `body`.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Sets the title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a key and a value for the app.
    pub fn data(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.data.push((key.into(), value.into()));
        self
    }

    pub(crate) fn payload(&self) -> Value {
        let mut payload = json!({"notification": self});
        if !self.data.is_empty() {
            payload["data"] = self.data.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        }
        payload
    }
}
