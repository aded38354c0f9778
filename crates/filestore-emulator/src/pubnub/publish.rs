//! Publishing of messages: file messages, which announce a file, and plain messages.

use std::str::FromStr;

use http::header::{ACCESS_CONTROL_ALLOW_METHODS, CACHE_CONTROL};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::access::is_channel;
use super::error::Rejection;
use super::grants::Right;
use super::keysets::Keyset;
use super::messages::Message;
use super::query::Query;
use super::route::{KeysetChannel, Kind};
use super::wire::javascript;
use super::{Call, MAX_URI, PubNub};
use crate::http::{RequestBody, Response};

/// The options of a published message.
struct PublishOptions {
    stored: bool,
    expires: Option<Timestamp>,
    meta: Option<Box<RawValue>>,
    custom_type: Option<String>,
}

impl PubNub {
    /// Publishes a message. Does not check that the file of a file message exists.
    pub(super) async fn publish(
        &self,
        kind: Kind,
        publish_key: &str,
        channel: &KeysetChannel,
        payload: Option<&str>,
        call: &Call<'_>,
        body: &mut RequestBody,
    ) -> Result<Response, Rejection> {
        let body = body.collect(MAX_URI).await.map_err(|_| Rejection::unpublished("Invalid JSON"))?;
        let body =
            body.ok_or(Rejection::Unpublished { status: StatusCode::PAYLOAD_TOO_LARGE, message: "Message Too Large" })?;
        if self.keyset(&channel.subscribe_key).is_none_or(|keyset| keyset.publish_key != publish_key) {
            return Err(Rejection::unpublished("Invalid Key"));
        }
        let channels = std::slice::from_ref(&channel.name);
        let keyset = self.authorize(&channel.subscribe_key, Some(Right::Write), channels, call, &body).await?;
        if !is_channel(&channel.name) {
            return Err(Rejection::unpublished("Invalid Channel"));
        }
        let payload = match payload {
            Some(text) => json(text),
            None => std::str::from_utf8(&body).ok().and_then(json),
        };
        let payload = payload.ok_or_else(|| Rejection::unpublished("Invalid JSON"))?;
        let options = PublishOptions::parse(&call.query, &keyset, call.now)?;

        let channel = channel.clone();
        let user = call.query.get("uuid").unwrap_or_default().to_owned();
        let now = call.now;
        let publish = self.store.run(move |state| {
            let message = |timetoken| Message {
                timetoken,
                subscribe_key: channel.subscribe_key,
                channel: channel.name,
                file: kind == Kind::File,
                user,
                payload,
                meta: options.meta,
                custom_type: options.custom_type,
                expires: options.expires,
            };
            Ok(state.messages.publish(options.stored, now, message)?)
        });
        let timetoken = publish.await?;
        let mut response = javascript(&(1, "Sent", timetoken.to_string()));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
        Ok(response)
    }
}

impl PublishOptions {
    fn parse(query: &Query, keyset: &Keyset, now: Timestamp) -> Result<Self, Rejection> {
        let stored = match query.get("store") {
            None | Some("1") => true,
            Some("0") => false,
            Some(_) => return Err(Rejection::unpublished("Invalid store parameter")),
        };
        let hours = query.get("ttl").map(i64::from_str).transpose();
        let hours = hours.ok().filter(|hours| hours.is_none_or(|hours| hours >= 0));
        let expires = match hours.ok_or_else(|| Rejection::unpublished("Invalid ttl parameter"))? {
            None => {
                let days = i64::from(keyset.message_retention_days);
                if days == 0 { None } else { hours_after(now, 24 * days) }
            }
            Some(0) => None,
            // A time beyond the range of `Timestamp` never comes.
            Some(hours) => hours_after(now, hours),
        };
        let meta = query.get("meta").filter(|text| *text != "null");
        let meta = meta.map(|text| json(text).ok_or_else(|| Rejection::unpublished("Invalid meta parameter")));
        let custom_type = query.get("custom_message_type").map(str::to_owned);
        if custom_type.as_deref().is_some_and(|name| !is_custom_type(name)) {
            return Err(Rejection::unpublished("Invalid custom_message_type parameter"));
        }
        Ok(PublishOptions { stored, expires, meta: meta.transpose()?, custom_type })
    }
}

fn hours_after(now: Timestamp, hours: i64) -> Option<Timestamp> {
    now.as_second().checked_add(hours.checked_mul(3600)?).and_then(|second| Timestamp::from_second(second).ok())
}

fn is_custom_type(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let reserved = ["-", "_", "pn_", "pn-"];
    (3..=50).contains(&name.len())
        && name.bytes().all(allowed)
        && !reserved.iter().any(|prefix| name.starts_with(prefix))
}

fn json(text: &str) -> Option<Box<RawValue>> {
    // Not `RawValue::from_string`, which keeps white space around the value.
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_types_have_the_documented_form() {
        for name in ["abc", "my-type_1", &"a".repeat(50)] {
            assert!(is_custom_type(name), "{name}");
        }
        for name in ["", "ab", "a b", "é-type", "-abc", "_abc", "pn_abc", "pn-abc", &"a".repeat(51)] {
            assert!(!is_custom_type(name), "{name}");
        }
    }
}
