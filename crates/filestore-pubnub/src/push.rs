//! Notifications for mobile devices, as a message carries them.

use serde::Serialize;
use serde_json::{Value, json};

/// `pn_apns`: a notification for Apple devices.
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
    /// The number on the icon.
    #[serde(skip)]
    pub badge: Option<u32>,
    /// The sound; `default` is the usual one.
    #[serde(skip)]
    pub sound: Option<String>,
    /// The topic of the app, usually its bundle id. Apple's current interface wants one.
    #[serde(skip)]
    pub topic: Option<String>,
    /// Whether it goes to development builds of the app.
    #[serde(skip)]
    pub development: bool,
}

impl Apns {
    /// A notification that says `body`.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// With a title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// With a number on the icon.
    pub fn badge(mut self, badge: u32) -> Self {
        self.badge = Some(badge);
        self
    }

    /// With a sound.
    pub fn sound(mut self, sound: impl Into<String>) -> Self {
        self.sound = Some(sound.into());
        self
    }

    /// To the app of this topic.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// To development builds.
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

/// `pn_fcm`: a notification for Android devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fcm {
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub body: String,
    /// Pairs for the app.
    #[serde(skip)]
    pub data: Vec<(String, String)>,
}

impl Fcm {
    /// A notification that says `body`.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// With a title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// With a pair for the app.
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
