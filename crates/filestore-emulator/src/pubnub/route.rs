//! The paths and methods of PubNub and of its storage.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::service::{ServiceName, Target};

/// The path that forms are posted to, and the prefix of the paths of objects.
pub(super) const STORAGE: &str = "/_storage/pubnub/";

/// The operation that a request is for. Path components are percent-decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    GenerateUploadUrl {
        channel: KeysetChannel,
    },
    /// The posted form with the file, to the storage.
    Form,
    Publish {
        kind: Kind,
        publish_key: String,
        channel: KeysetChannel,
        /// The message; `None`: it is the body of the request.
        payload: Option<String>,
    },
    List {
        channel: KeysetChannel,
    },
    Url {
        channel: KeysetChannel,
        file: FileName,
    },
    /// The content of an object of the storage.
    Content {
        key: String,
    },
    Delete {
        channel: KeysetChannel,
        file: FileName,
    },
    History {
        subscribe_key: String,
        channels: Vec<String>,
        with_actions: bool,
    },
    Subscribe {
        subscribe_key: String,
        channels: Vec<String>,
    },
    Presence {
        subscribe_key: String,
        channels: Vec<String>,
        leave: bool,
    },
    Time,
    Preflight,
    /// A path with a component that is not UTF-8 after decoding.
    Unparsable,
    Unknown,
}

/// A channel of a keyset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeysetChannel {
    pub(super) subscribe_key: String,
    pub(super) name: String,
}

/// The id and the name of a file on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(super) id: String,
    pub(super) name: String,
}

/// The kind of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    /// A message that announces a file.
    File,
}

impl Route {
    pub(crate) fn of(head: &Parts) -> Self {
        if head.method == Method::OPTIONS {
            return Route::Preflight;
        }
        let path = head.uri.path();
        let decoded = |component| percent_decode_str(component).decode_utf8().ok().map(String::from);
        let Some(components) = path.split('/').skip(1).map(decoded).collect::<Option<Vec<_>>>() else {
            return Route::Unparsable;
        };
        let components: Vec<&str> = components.iter().map(String::as_str).collect();
        match head.method {
            Method::GET => Self::get(&components),
            Method::HEAD => match Self::get(&components) {
                // A `GET` that publishes is not a read.
                Route::Publish { .. } => Route::Unknown,
                route => route,
            },
            Method::POST => Self::post(&components),
            Method::DELETE => match components[..] {
                ["v1", "files", key, "channels", channel, "files", id, name] => {
                    Route::Delete { channel: KeysetChannel::new(key, channel), file: FileName::new(id, name) }
                }
                _ => Route::Unknown,
            },
            _ => Route::Unknown,
        }
    }

    fn get(components: &[&str]) -> Self {
        match *components {
            ["v1", "files", "publish-file", publish_key, key, "0", channel, "0", payload] => {
                Self::publish(Kind::File, publish_key, KeysetChannel::new(key, channel), Some(payload))
            }
            ["publish", publish_key, key, "0", channel, "0", payload] => {
                Self::publish(Kind::Message, publish_key, KeysetChannel::new(key, channel), Some(payload))
            }
            ["v1", "files", key, "channels", channel, "files"] => {
                Route::List { channel: KeysetChannel::new(key, channel) }
            }
            ["v1", "files", key, "channels", channel, "files", id, name] => {
                Route::Url { channel: KeysetChannel::new(key, channel), file: FileName::new(id, name) }
            }
            ["_storage", "pubnub", key, folder, id, name] => {
                Route::Content { key: format!("{key}/{folder}/{id}/{name}") }
            }
            ["v3", "history", "sub-key", key, "channel", channels] => {
                Route::History { subscribe_key: key.to_owned(), channels: split(channels), with_actions: false }
            }
            ["v3", "history-with-actions", "sub-key", key, "channel", channels] => {
                Route::History { subscribe_key: key.to_owned(), channels: split(channels), with_actions: true }
            }
            ["v2", "subscribe", key, channels, "0"] => {
                Route::Subscribe { subscribe_key: key.to_owned(), channels: split(channels) }
            }
            ["v2", "presence", "sub-key", key, "channel", channels, verb @ ("heartbeat" | "leave")] => {
                Route::Presence { subscribe_key: key.to_owned(), channels: split(channels), leave: verb == "leave" }
            }
            ["time", "0"] => Route::Time,
            _ => Route::Unknown,
        }
    }

    fn post(components: &[&str]) -> Self {
        match *components {
            ["v1", "files", key, "channels", channel, "generate-upload-url"] => {
                Route::GenerateUploadUrl { channel: KeysetChannel::new(key, channel) }
            }
            ["v1", "files", "publish-file", publish_key, key, "0", channel, "0"] => {
                Self::publish(Kind::File, publish_key, KeysetChannel::new(key, channel), None)
            }
            ["_storage", "pubnub", ""] => Route::Form,
            _ => Route::Unknown,
        }
    }

    fn publish(kind: Kind, publish_key: &str, channel: KeysetChannel, payload: Option<&str>) -> Self {
        Route::Publish { kind, publish_key: publish_key.to_owned(), channel, payload: payload.map(str::to_owned) }
    }

    pub(crate) fn target(&self) -> Target {
        let (operation, step) = match self {
            Route::GenerateUploadUrl { .. } => ("upload", Some("generate-upload-url")),
            Route::Form => ("upload", Some("form")),
            Route::Publish { kind: Kind::File, .. } => ("upload", Some("publish")),
            Route::Publish { kind: Kind::Message, .. } => ("publish", None),
            Route::List { .. } => ("list", None),
            Route::Url { .. } => ("download", Some("url")),
            Route::Content { .. } => ("download", Some("content")),
            Route::Delete { .. } => ("delete", None),
            Route::History { .. } => ("history", None),
            Route::Subscribe { .. } => ("subscribe", None),
            Route::Presence { .. } => ("presence", None),
            Route::Time => ("time", None),
            Route::Preflight => ("preflight", None),
            Route::Unparsable | Route::Unknown => ("other", None),
        };
        Target { service: ServiceName::Pubnub, operation, step, part: None, key: self.file_id().map(str::to_owned) }
    }

    /// Returns the channels of the request, for error responses.
    pub(super) fn channels(&self) -> Vec<String> {
        match self {
            Route::GenerateUploadUrl { channel }
            | Route::Publish { channel, .. }
            | Route::List { channel }
            | Route::Url { channel, .. }
            | Route::Delete { channel, .. } => vec![channel.name.clone()],
            Route::History { channels, .. } | Route::Subscribe { channels, .. } | Route::Presence { channels, .. } => {
                channels.clone()
            }
            _ => Vec::new(),
        }
    }

    fn file_id(&self) -> Option<&str> {
        match self {
            Route::Url { file, .. } | Route::Delete { file, .. } => Some(&file.id),
            Route::Content { key } => key.split('/').nth(2),
            _ => None,
        }
    }
}

impl KeysetChannel {
    fn new(subscribe_key: &str, name: &str) -> Self {
        KeysetChannel { subscribe_key: subscribe_key.to_owned(), name: name.to_owned() }
    }
}

impl FileName {
    fn new(id: &str, name: &str) -> Self {
        FileName { id: id.to_owned(), name: name.to_owned() }
    }
}

/// Splits a comma-separated list of channels. It is `,` in a subscription to channel groups only.
fn split(channels: &str) -> Vec<String> {
    channels.split(',').filter(|channel| !channel.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &str) -> Route {
        let (head, ()) = http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        Route::of(&head)
    }

    #[test]
    fn every_operation_has_a_route_and_a_name() {
        for (method, path, operation, step) in [
            (Method::POST, "/v1/files/s/channels/c/generate-upload-url", "upload", Some("generate-upload-url")),
            (Method::POST, "/_storage/pubnub/", "upload", Some("form")),
            (Method::GET, "/v1/files/publish-file/p/s/0/c/0/%7B%7D", "upload", Some("publish")),
            (Method::POST, "/v1/files/publish-file/p/s/0/c/0", "upload", Some("publish")),
            (Method::GET, "/v1/files/s/channels/c/files?limit=1", "list", None),
            (Method::GET, "/v1/files/s/channels/c/files/i/n", "download", Some("url")),
            (Method::GET, "/_storage/pubnub/s/h/i/n", "download", Some("content")),
            (Method::HEAD, "/_storage/pubnub/s/h/i/n", "download", Some("content")),
            (Method::DELETE, "/v1/files/s/channels/c/files/i/n", "delete", None),
            (Method::GET, "/publish/p/s/0/c/0/1", "publish", None),
            (Method::GET, "/v2/subscribe/s/c/0", "subscribe", None),
            (Method::GET, "/v2/presence/sub-key/s/channel/c/heartbeat", "presence", None),
            (Method::GET, "/v3/history/sub-key/s/channel/c", "history", None),
            (Method::GET, "/v3/history-with-actions/sub-key/s/channel/c", "history", None),
            (Method::GET, "/time/0", "time", None),
            (Method::OPTIONS, "/v1/files/s/channels/c/files", "preflight", None),
            (Method::HEAD, "/v1/files/s/channels/c/files", "list", None),
            (Method::HEAD, "/time/0", "time", None),
            (Method::HEAD, "/publish/p/s/0/c/0/1", "other", None),
            (Method::PUT, "/v1/files/s/channels/c/files/i/n", "other", None),
            (Method::GET, "/v1/files/s/channels/c/files/i/n/more", "other", None),
            (Method::GET, "/v1/files/s/channels/%FF/files", "other", None),
        ] {
            let target = route(method.clone(), path).target();
            assert_eq!((target.operation, target.step), (operation, step), "{method} {path}");
        }
    }

    #[test]
    fn a_component_is_decoded_once_and_after_the_path_is_split() {
        let route = route(Method::DELETE, "/v1/files/s/channels/room%201%2Fa/files/i/50%2525%20+.txt");
        let channel = KeysetChannel::new("s", "room 1/a");
        assert_eq!(route, Route::Delete { channel, file: FileName::new("i", "50%25 +.txt") });
    }

    #[test]
    fn the_key_of_a_download_step_is_the_file_id() {
        for path in ["/v1/files/s/channels/c/files/i/n", "/_storage/pubnub/s/h/i/n"] {
            assert_eq!(route(Method::GET, path).target().key.as_deref(), Some("i"));
        }
    }
}
