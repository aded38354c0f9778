//! [`Keyset`]: who asks, and the URLs that it asks with, escaped and signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use filestore_core::{Error, Result};
use filestore_http::{Idempotency, Method, Request, RequestBody};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;
use uuid::Uuid;

use crate::config::PubNubConfig;

/// What a path leaves as it is: letters, digits and `-_.~`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The same for values of a query: the signature wants `~` escaped, so it is sent escaped.
const QUERY: &AsciiSet = &PATH.add(b'~');

const SDK: &str = concat!("filestore/", env!("CARGO_PKG_VERSION"));

/// The longest URL; the service rejects longer ones with 414.
const LONGEST_URL: usize = 32 * 1024;

/// The keys and the user of a store.
pub(crate) struct Keyset {
    base: Url,
    publish_key: SecretString,
    subscribe_key: SecretString,
    secret_key: Option<SecretString>,
    /// The access token, or the older auth key.
    auth: Option<SecretString>,
    user_id: String,
}

/// One request of the service, before it is escaped and signed.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) idempotency: Idempotency,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
}

/// A call on its way.
pub(crate) struct Signed {
    pub(crate) request: Request,
    /// Identifies it to the service's support.
    pub(crate) request_id: String,
}

impl Call {
    fn new(method: Method, idempotency: Idempotency, path: String) -> Self {
        Self { method, idempotency, path, query: Vec::new(), body: None }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, json: String) -> Self {
        self.body = Some(json);
        self
    }
}

impl Keyset {
    pub(crate) fn new(config: &PubNubConfig, base: Url) -> Self {
        Self {
            base,
            publish_key: config.publish_key.clone(),
            subscribe_key: config.subscribe_key.clone(),
            secret_key: config.secret_key.clone(),
            auth: config.token.clone().or_else(|| config.auth_key.clone()),
            user_id: config.user_id.clone(),
        }
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// What an error must not repeat although the service may.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        let optional = [&self.secret_key, &self.auth];
        let all = [&self.publish_key, &self.subscribe_key].into_iter().chain(optional.into_iter().flatten());
        all.map(|secret| secret.expose_secret()).collect()
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.secret_key.is_some()
    }

    /// A call about the files of `channel`: `segments` follow `/v1/files/SUBSCRIBE_KEY/channels/CHANNEL`.
    pub(crate) fn files(&self, method: Method, idempotency: Idempotency, channel: &str, segments: &[&str]) -> Call {
        let start = ["v1", "files", self.subscribe_key.expose_secret(), "channels", channel];
        Call::new(method, idempotency, path(start.iter().chain(segments)))
    }

    /// A call that publishes `payload` as a file message. Twice is taken for once: both name the file,
    /// and a file of which nobody hears is worse.
    pub(crate) fn publish_file(&self, channel: &str, payload: &str) -> Call {
        let (publish_key, subscribe_key) = (self.publish_key.expose_secret(), self.subscribe_key.expose_secret());
        let segments = ["v1", "files", "publish-file", publish_key, subscribe_key, "0", channel, "0", payload];
        Call::new(Method::GET, Idempotency::Idempotent, path(segments.iter()))
    }

    /// The request that `call` is at `now`.
    pub(crate) fn request(&self, call: &Call, now: Timestamp) -> Result<Signed> {
        let request_id = Uuid::new_v4().to_string();
        let url = self.url(call, &request_id, now);
        // What is signed must be what is sent: nothing is left for the parser to escape.
        let url = Url::parse(&url).map_err(|_| Error::invalid("the request cannot be made into a URL"))?;
        let mut request = Request::new(call.method.clone(), url, call.idempotency).buffered().secret_path();
        if let Some(body) = &call.body {
            request = request.body(RequestBody::Bytes(Some("application/json"), body.clone().into()));
        }
        Ok(Signed { request, request_id })
    }

    /// *Invalid input* unless the URL of `call` is one that the service reads.
    pub(crate) fn check_length(&self, call: &Call, now: Timestamp) -> Result<()> {
        let length = self.url(call, &Uuid::nil().to_string(), now).len();
        if length <= LONGEST_URL {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the message is too long: it is published as a part of a URL, which would have {length} bytes where \
             {LONGEST_URL} are allowed; put the text into the file, or shorten it"
        )))
    }

    fn url(&self, call: &Call, request_id: &str, now: Timestamp) -> String {
        let mut query = call.query.clone();
        query.push(("uuid", self.user_id.clone()));
        query.push(("requestid", request_id.to_owned()));
        query.push(("pnsdk", SDK.to_owned()));
        if let Some(auth) = &self.auth {
            query.push(("auth", auth.expose_secret().to_owned()));
        }
        if let Some(secret) = &self.secret_key {
            query.push(("timestamp", now.as_second().to_string()));
            let body = call.body.as_deref().unwrap_or_default();
            let signed = [call.method.as_str(), self.publish_key.expose_secret(), &call.path, &sorted(&query), body];
            query.push(("signature", signature(secret, &signed)));
        }
        // The base has no path: its text ends with the slash that the path begins with.
        format!("{}{}?{}", self.base.as_str().trim_end_matches('/'), call.path, joined(&query))
    }
}

fn path<'a>(segments: impl Iterator<Item = &'a &'a str>) -> String {
    segments.map(|segment| format!("/{}", utf8_percent_encode(segment, PATH))).collect()
}

fn joined(query: &[(&'static str, String)]) -> String {
    let pairs: Vec<_> =
        query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
    pairs.join("&")
}

fn sorted(query: &[(&'static str, String)]) -> String {
    let mut query = query.to_vec();
    query.sort_unstable();
    joined(&query)
}

/// Version 2: method, publish key, path, sorted query and body, a line each; no line end after the body.
fn signature(secret: &SecretString, lines: &[&str; 5]) -> String {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("a key of any length");
    mac.update(lines.join("\n").as_bytes());
    format!("v2.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
#[path = "tests/keyset.rs"]
mod tests;
