//! [`Keyset`]: the credentials of a store, and the escaped and signed URLs of its requests.

use std::sync::Arc;

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

/// The percent-encoding of a path. Letters, digits and `-_.~` are not encoded.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The percent-encoding of query values. The signature requires `~` to be encoded, so it is sent encoded.
const QUERY: &AsciiSet = &PATH.add(b'~');

const SDK: &str = concat!("filestore/", env!("CARGO_PKG_VERSION"));

/// The maximum size of a URL in bytes. The service responds to a longer one with 414.
const MAX_URL_SIZE: usize = 32 * 1024;

/// The keys of a store, and the user id that it sends.
pub(crate) struct Keyset {
    base: Url,
    publish_key: SecretString,
    subscribe_key: SecretString,
    secret_key: Option<SecretString>,
    /// The access token, or the older auth key.
    auth: Option<SecretString>,
    /// All of them, in the form that requests share.
    secrets: Arc<[SecretString]>,
    user_id: String,
}

/// A request to the service, before it is escaped and signed.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) idempotency: Idempotency,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
}

/// A request that is ready to be sent.
pub(crate) struct SignedRequest {
    pub(crate) request: Request,
    /// Identifies the request to PubNub's support.
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
        let (publish_key, subscribe_key) = (config.publish_key.clone(), config.subscribe_key.clone());
        let (secret_key, auth) = (config.secret_key.clone(), config.token.clone().or_else(|| config.auth_key.clone()));
        let optional = [&secret_key, &auth].into_iter().flatten();
        let secrets = [&publish_key, &subscribe_key].into_iter().chain(optional).cloned().collect();
        Self { base, publish_key, subscribe_key, secret_key, auth, secrets, user_id: config.user_id.clone() }
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Returns the secrets that a response may repeat and an error does not show.
    pub(crate) fn secrets(&self) -> &Arc<[SecretString]> {
        &self.secrets
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.secret_key.is_some()
    }

    /// Creates a call about the files of `channel`. `segments` follow `/v1/files/SUBSCRIBE_KEY/channels/CHANNEL`.
    pub(crate) fn files(&self, method: Method, idempotency: Idempotency, channel: &str, segments: &[&str]) -> Call {
        let start = ["v1", "files", self.subscribe_key.expose_secret(), "channels", channel];
        Call::new(method, idempotency, path(start.iter().chain(segments)))
    }

    /// Creates a call that publishes `payload` as a file message. It is retried as idempotent: a duplicate message
    /// names the same file, and a missing message would hide the file from receivers.
    pub(crate) fn publish_file(&self, channel: &str, payload: &str) -> Call {
        let (publish_key, subscribe_key) = (self.publish_key.expose_secret(), self.subscribe_key.expose_secret());
        let segments = ["v1", "files", "publish-file", publish_key, subscribe_key, "0", channel, "0", payload];
        Call::new(Method::GET, Idempotency::Idempotent, path(segments.iter()))
    }

    /// Converts `call` to a request that is signed with the time `now`.
    pub(crate) fn request(&self, call: &Call, now: Timestamp) -> Result<SignedRequest> {
        let request_id = Uuid::new_v4().to_string();
        let url = self.url(call, &request_id, now);
        // The text is escaped completely, so that the parser changes nothing and the signed URL is sent.
        let url = Url::parse(&url).map_err(|_| Error::invalid("the request cannot be written as a URL"))?;
        let mut request = Request::new(call.method.clone(), url, call.idempotency)
            .buffered()
            .secret_path()
            .secrets(Arc::clone(&self.secrets));
        if let Some(body) = &call.body {
            request = request.body(RequestBody::Bytes(Some("application/json"), body.clone().into()));
        }
        Ok(SignedRequest { request, request_id })
    }

    /// Checks the length of the URL of `call`. *Invalid input* if it exceeds the service's limit.
    pub(crate) fn check_length(&self, call: &Call, now: Timestamp) -> Result<()> {
        let length = self.url(call, &Uuid::nil().to_string(), now).len();
        if length <= MAX_URL_SIZE {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the message is too long: it is published in a URL, which would have {length} bytes, and at most \
             {MAX_URL_SIZE} bytes are allowed; put the text into the file, or shorten it"
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
        // The path of the call begins with a slash. A gateway removes the path prefix of the base URL, so the signature
        // covers the path that the service receives, without the prefix.
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

/// Returns the signature, version 2: the HMAC-SHA256 of method, publish key, path, sorted query and body, one line
/// each, without a line end after the body.
fn signature(secret: &SecretString, lines: &[&str; 5]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC accepts keys of any length");
    mac.update(lines.join("\n").as_bytes());
    format!("v2.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
#[path = "tests/keyset.rs"]
mod tests;
