//! The journal: a record of requests and their responses, for tests that count requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

/// The most entries. Older ones are dropped, so that an emulator can run for weeks.
const MAX_ENTRIES: usize = 10_000;

/// The longest path, query and header value that is recorded, in characters.
const MAX_TEXT: usize = 500;

/// Headers with a secret value. The scheme of `Authorization` is shown, because tests check it.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-file-io-anonymous-access-token",
    "x-filesapi-auth",
    "x-filesapi-key",
    "x-files-reauthentication",
];

/// Query parameters whose value is a secret, or grants access as a signature does.
const SECRET_PARAMETERS: [&str; 5] =
    ["auth", "signature", "x-amz-credential", "x-amz-security-token", "x-amz-signature"];

/// One request to an emulated service and its response.
///
/// Secret values of headers and of the query are masked. Paths are not: a file.io key in a path is a permission, but
/// tests use the journal to count the requests for a key.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct JournalEntry {
    /// The number of the request, from 1, since the emulator started or the journal was last emptied.
    pub number: u64,
    /// The time at which the request arrived, on the emulated clock.
    pub time: Timestamp,
    /// The emulated service; `None` for a path of no service.
    pub service: Option<&'static str>,
    /// The operation, as fault rules name it; for example `download`.
    pub operation: Option<&'static str>,
    /// The HTTP method.
    pub method: String,
    /// The path without query.
    pub path: String,
    /// The query as it was sent, with secret values masked.
    pub query: Option<String>,
    /// The key in the path: of a file.io or PubNub file, or the path of a Files.com entry.
    pub key: Option<String>,
    /// The request's headers; the first one if a name occurs several times.
    pub headers: BTreeMap<String, String>,
    /// The status of the response; `None` if there is none.
    pub status: Option<u16>,
    /// The bytes of the request body that were read.
    pub bytes_in: u64,
    /// The bytes of the response body that were passed to the connection.
    pub bytes_out: u64,
    /// The names of the fault rules that fired for this request; a rule without a name is listed by its kind.
    pub faults: Vec<String>,
    /// `true` if the emulator has finished serving the request.
    pub finished: bool,
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last_number: u64,
    requests: VecDeque<Arc<RequestRecord>>,
}

/// The record of a request, updated while the request is served.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    /// The entry as of the arrival of the request.
    entry: JournalEntry,
    status: Mutex<Option<StatusCode>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Journal {
    /// Adds a request that has just arrived.
    pub(crate) fn begin(&self, time: Timestamp, head: &Parts, summary: RequestSummary) -> Arc<RequestRecord> {
        let mut entries = self.lock();
        entries.last_number += 1;
        let record = Arc::new(RequestRecord {
            entry: JournalEntry {
                number: entries.last_number,
                time,
                service: summary.service,
                operation: summary.operation,
                method: head.method.to_string(),
                path: shortened(head.uri.path()),
                query: head.uri.query().map(|query| shortened(&masked_query(query))),
                key: summary.key,
                headers: masked(&head.headers),
                status: None,
                bytes_in: 0,
                bytes_out: 0,
                faults: summary.faults,
                finished: false,
            },
            status: Mutex::default(),
            bytes_in: AtomicU64::default(),
            bytes_out: AtomicU64::default(),
        });
        if entries.requests.len() == MAX_ENTRIES {
            entries.requests.pop_front();
        }
        entries.requests.push_back(Arc::clone(&record));
        record
    }

    /// Returns the entries as of now, oldest first.
    pub(crate) fn snapshot(&self) -> Vec<JournalEntry> {
        self.lock().requests.iter().map(RequestRecord::snapshot).collect()
    }

    /// Returns the entries of requests that are being served, oldest first.
    pub(crate) fn unfinished(&self) -> Vec<JournalEntry> {
        self.lock().requests.iter().filter(|record| !record.is_finished()).map(RequestRecord::snapshot).collect()
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Entries::default();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of an entry that are known before the request is served.
#[derive(Debug, Default)]
pub(crate) struct RequestSummary {
    pub(crate) service: Option<&'static str>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) key: Option<String>,
    pub(crate) faults: Vec<String>,
}

impl RequestRecord {
    pub(crate) fn add_bytes_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_status(&self, status: StatusCode) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    fn is_finished(self: &Arc<Self>) -> bool {
        // The task that serves the request has a reference until it is done; the last one is the journal's.
        Arc::strong_count(self) == 1
    }

    fn snapshot(self: &Arc<Self>) -> JournalEntry {
        let status = *self.status.lock().unwrap_or_else(PoisonError::into_inner);
        JournalEntry {
            status: status.map(|status| status.as_u16()),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            finished: self.is_finished(),
            ..self.entry.clone()
        }
    }
}

fn masked(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .keys()
        .map(|name| {
            let value = String::from_utf8_lossy(headers[name].as_bytes()).into_owned();
            let value = if SECRET_HEADERS.contains(&name.as_str()) { mask(&value) } else { shortened(&value) };
            (name.to_string(), value)
        })
        .collect()
}

fn masked_query(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if SECRET_PARAMETERS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) => {
            format!("{name}=***")
        }
        _ => parameter.to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// Cuts `text` to [`MAX_TEXT`] characters, so that clients cannot fill the emulator's memory.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Replaces a secret by `***`, keeping an authentication scheme before it.
fn mask(secret: &str) -> String {
    match secret.split_once(' ') {
        Some((scheme, _)) => format!("{scheme} ***"),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_header_shows_its_scheme_only() {
        assert_eq!(mask("Bearer FILEIO0.EMULATO"), "Bearer ***");
        assert_eq!(mask("FILEIO0.EMULATO"), "***");
    }

    #[test]
    fn a_secret_parameter_shows_its_name_only() {
        let query = "uuid=a&auth=p0F2&X-Amz-Signature=0f&signature=v2.x=&author=b&auth&";
        let masked = "uuid=a&auth=***&X-Amz-Signature=***&signature=***&author=b&auth&";
        assert_eq!(masked_query(query), masked);
    }
}
