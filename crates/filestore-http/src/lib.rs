//! The HTTP client of all filestore backends, with retries, timeouts and redaction.
//!
//! A backend builds [`Request`]s and reads [`Response`]s. This crate does everything in between:
//!
//! - **Retries.** A pure function, [`decide`], decides whether to retry a request. It considers the request's
//!   [idempotency](Idempotency) and the [outcome](Outcome) of the last attempt.
//! - **Effects.** The [effect](filestore_core::Effect) of every error covers [all attempts](History). After a lost
//!   response it is *unknown*, whatever follows. If no connection was established, it is *not sent*.
//! - **Timeouts.** The default timeouts measure progress ([`HttpConfig::idle_timeout`]), so they do not depend on the
//!   size of a file.
//! - **Secrets.** Credentials are sent only to the origin of the base URL. Redirects are returned, not followed. URLs
//!   in errors and traces have no query, and no path if the path is a secret. The error of a response does not show a
//!   secret of the request that the response repeats; see [`Response::presentable`].
//! - **Memory.** Bodies are streamed in both directions. Every response that is held in memory has a size limit.
//!
//! Applications do not use this crate directly. They see only its settings, [`HttpConfig`], which each backend exports.

mod base_url;
mod cause;
mod client;
mod clock;
mod config;
mod connections;
mod disposition;
mod etag;
mod exchange;
mod failure;
mod form;
mod history;
mod json;
mod presigned;
mod proxy;
mod rate_limit;
mod redact;
mod request;
mod response;
mod resume;
mod retry;
mod retry_after;
mod s3_error;
mod secrets;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tls;

pub use base_url::{base_url, path_below, url_below};
pub use client::{Exchange, HttpClient};
pub use clock::{Clock, SystemClock};
pub use config::{HttpConfig, KEYS, check_credentials, read_settings, with_http_keys};
pub use disposition::file_name;
pub use etag::is_md5;
pub use form::Form;
pub use history::{History, Outcome};
pub use json::{OBJECT_LIMIT, bounded_list, lenient};
pub use presigned::{expiry, is_fresh, lifetime, presigned_url};
pub use redact::{presentable, redacted_url};
pub use request::{Idempotency, Request, RequestBody, secret_header};
pub use response::{ContentRange, Response};
pub use resume::{RangeReader, RangeSource};
pub use retry::{Attempts, Decision, GiveUp, Policy, RetryContext, decide};
pub use retry_after::retry_after;
pub use s3_error::{S3Error, local_name, root_element};

pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};
pub use url::Url;

/// The largest JSON response that is read, in bytes: far above any page of a listing, far below the memory of a small
/// machine.
pub const JSON_LIMIT: usize = 16 * 1024 * 1024;

/// The number of bytes that are read of the body of an error response.
pub const ERROR_BODY_LIMIT: usize = 16 * 1024;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
