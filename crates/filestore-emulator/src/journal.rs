//! The journal: what was asked and what was answered, for tests that count requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

/// Older entries are dropped, so that an emulator can run for weeks.
const KEPT: usize = 10_000;

/// The longest path, query and header value, in characters.
const LONGEST: usize = 500;

/// Headers whose value is a secret. The scheme of `Authorization` is kept: it is what a test asks.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-file-io-anonymous-access-token",
    "x-filesapi-auth",
    "x-filesapi-key",
    "x-files-reauthentication",
];

/// Parameters of a query whose value is a secret or, as a signature, as good as one.
const SECRET_PARAMETERS: [&str; 5] =
    ["auth", "signature", "x-amz-credential", "x-amz-security-token", "x-amz-signature"];

/// One request to an emulated service, as the journal shows it.
///
/// Secret values of headers and of the query are masked. Paths are not: a file.io key in a path is a permission, but
/// counting the requests for a key is what the journal is for.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct JournalEntry {
    /// Counts from 1 since the emulator started or was reset.
    pub number: u64,
    /// When the request arrived, on the emulated clock.
    pub time: Timestamp,
    /// The emulated service, `None` for a path that belongs to none.
    pub service: Option<&'static str>,
    /// What was asked in the service's words, for example `download`.
    pub operation: Option<&'static str>,
    /// The HTTP method.
    pub method: String,
    /// The path without query.
    pub path: String,
    /// The query as sent, but for the masked values.
    pub query: Option<String>,
    /// The key that the path addresses.
    pub key: Option<String>,
    /// The request's headers; of several with one name the first.
    pub headers: BTreeMap<String, String>,
    /// The status of the answer, `None` when there was none.
    pub status: Option<u16>,
    /// Body bytes that were read.
    pub bytes_in: u64,
    /// Body bytes that were handed to the connection.
    pub bytes_out: u64,
    /// The faults that this request met.
    pub faults: Vec<String>,
    /// Whether the emulator is done with it.
    pub finished: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    number: u64,
    kept: VecDeque<Arc<Recorded>>,
}

/// A request that is being journaled while it is served.
#[derive(Debug)]
pub(crate) struct Recorded {
    arrived: JournalEntry,
    status: Mutex<Option<StatusCode>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Journal {
    pub(crate) fn begin(&self, time: Timestamp, head: &Parts, asked: Asked) -> Arc<Recorded> {
        let mut entries = self.entries();
        entries.number += 1;
        let recorded = Arc::new(Recorded {
            arrived: JournalEntry {
                number: entries.number,
                time,
                service: asked.service,
                operation: asked.operation,
                method: head.method.to_string(),
                path: shortened(head.uri.path()),
                query: head.uri.query().map(|query| shortened(&masked_query(query))),
                key: asked.key,
                headers: masked(&head.headers),
                status: None,
                bytes_in: 0,
                bytes_out: 0,
                faults: asked.faults,
                finished: false,
            },
            status: Mutex::default(),
            bytes_in: AtomicU64::default(),
            bytes_out: AtomicU64::default(),
        });
        if entries.kept.len() == KEPT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(Arc::clone(&recorded));
        recorded
    }

    pub(crate) fn entries_now(&self) -> Vec<JournalEntry> {
        self.entries().kept.iter().map(Recorded::now).collect()
    }

    pub(crate) fn clear(&self) {
        *self.entries() = Entries::default();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known about a request before it is served.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) service: Option<&'static str>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) key: Option<String>,
    pub(crate) faults: Vec<String>,
}

impl Recorded {
    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    fn now(self: &Arc<Self>) -> JournalEntry {
        let status = *self.status.lock().unwrap_or_else(PoisonError::into_inner);
        JournalEntry {
            status: status.map(|status| status.as_u16()),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            // Whoever serves the request holds it; the journal's own hold is the last.
            finished: Arc::strong_count(self) == 1,
            ..self.arrived.clone()
        }
    }
}

fn masked(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .keys()
        .map(|name| {
            let value = String::from_utf8_lossy(headers[name].as_bytes()).into_owned();
            let shown = if SECRET_HEADERS.contains(&name.as_str()) { mask(&value) } else { shortened(&value) };
            (name.to_string(), shown)
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

/// A journal of endless headers would be the emulator's memory in a client's hands.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

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
        let shown = "uuid=a&auth=***&X-Amz-Signature=***&signature=***&author=b&auth&";
        assert_eq!(masked_query(query), shown);
    }
}
