//! What every HTTP backend of filestore needs: one client with retry, time limits and redaction.
//!
//! A backend builds [`Request`]s and reads [`Response`]s; everything between is here, once:
//!
//! - what may be repeated is decided by a pure function, [`decide`], out of what the request
//!   [does](Idempotency) and what is known of its [outcome](Outcome);
//! - the [effect](filestore_core::Effect) of every error is true over [all attempts](History): after a lost
//!   response it is *unknown*, whatever came later; a connection that never came about is *not sent*;
//! - limits are by progress ([`HttpConfig::idle_timeout`]), so no limit depends on the size of a file;
//! - credentials go to the origin of the base URL and to no other; redirects are not followed, they
//!   are answers; URLs in errors and traces have no query, and no path where the path is a secret;
//! - bodies stream in both directions, and every answer that is held in memory has a bound.
//!
//! Applications do not use this crate: they see its settings through [`HttpConfig`] and nothing else.

mod cause;
mod client;
mod clock;
mod config;
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
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use client::HttpClient;
pub use clock::{Clock, SystemClock};
pub use config::{HttpConfig, KEYS, base_url, check_credentials, read_settings, with_http_keys};
pub use disposition::file_name;
pub use etag::is_md5;
pub use form::Form;
pub use history::{History, Outcome};
pub use json::{OBJECT_LIMIT, bounded_list, lenient};
pub use presigned::{expiry, is_fresh, lifetime, presigned_url};
pub use redact::{presentable, redacted_url};
pub use request::{Idempotency, Request, RequestBody, secret_header};
pub use response::{ContentRange, Response};
pub use retry::{Attempts, Decision, GiveUp, Policy, RetryContext, decide};
pub use retry_after::retry_after;
pub use s3_error::{S3Error, local_name, root_element};

pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};
pub use url::Url;

/// The largest JSON answer that is read: far above any page of a listing, far below the memory of a
/// small machine.
pub const JSON_LIMIT: usize = 16 * 1024 * 1024;

/// As much of an error's body as is looked at.
pub const ERROR_BODY_LIMIT: usize = 16 * 1024;
