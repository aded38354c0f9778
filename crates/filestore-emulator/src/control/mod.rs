//! The control API and status page under `/_emulator/`: clock, faults, journal, reset.

mod page;

use std::io;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app_state::AppState;
use crate::clock::Clock;
use crate::durable::DamagedFile;
use crate::faults::FaultPlan;
use crate::http::{self as wire, RequestBody, Response, problem};
use crate::journal::JournalEntry;

/// The longest body of a request, in bytes. The longest bodies are fault files.
const MAX_BODY: usize = 1024 * 1024;

/// Responds to a request to the control API.
pub(crate) async fn answer(state: &AppState, head: &Parts, body: &mut RequestBody) -> Response {
    if let Some(rejection) = state.control_auth.reject(head) {
        return rejection;
    }
    let text = match body.collect(MAX_BODY).await {
        Ok(Some(text)) => String::from_utf8_lossy(&text).into_owned(),
        Ok(None) => return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1 MiB"),
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/_emulator" | "/_emulator/") => page::status(state),
        (&Method::GET, "/_emulator/clock") => clock(&state.clock),
        (&Method::POST, "/_emulator/clock") => match move_clock(&state.clock, &text) {
            Ok(()) => {
                state.sweep().await;
                clock(&state.clock)
            }
            Err((status, error)) => problem(status, error),
        },
        (&Method::GET, "/_emulator/faults") => faults(state),
        (&Method::PUT, "/_emulator/faults") => match read_plan(head, &text) {
            Ok(plan) => {
                state.faults.load(plan);
                faults(state)
            }
            Err(error) => problem(StatusCode::BAD_REQUEST, error),
        },
        (&Method::DELETE, "/_emulator/faults") => {
            state.faults.load(FaultPlan::default());
            faults(state)
        }
        (&Method::GET, "/_emulator/damaged") => wire::json(StatusCode::OK, &Damaged { files: &state.damaged }),
        (&Method::GET, "/_emulator/journal") => journal(state),
        (&Method::DELETE, "/_emulator/journal") => {
            state.journal.clear();
            wire::empty(StatusCode::NO_CONTENT)
        }
        (&Method::POST, "/_emulator/reset") => match state.reset().await {
            Ok(()) => wire::empty(StatusCode::NO_CONTENT),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error),
        },
        (method, path) => {
            let response = match path.split('/').nth(2) {
                Some("pubnub") => state.pubnub.control(method, path, &text).await,
                Some("filescom") => state.filescom.control(method, path, &text).await,
                _ => None,
            };
            response.unwrap_or_else(|| problem(StatusCode::NOT_FOUND, "the control API has no such route"))
        }
    }
}

#[derive(Serialize)]
struct ClockNow {
    now: Timestamp,
    /// The offset from real time; negative if the clock is behind.
    offset_seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum MoveClock {
    /// Moves the clock by a time like `15d`, `1mo` or `-2h 30m`.
    Advance(Span),
    /// Sets the clock to a point in time; it runs on from there.
    Set(Timestamp),
}

fn clock(clock: &Clock) -> Response {
    let now = ClockNow { now: clock.now(), offset_seconds: clock.offset().as_secs_f64() };
    wire::json(StatusCode::OK, &now)
}

/// Moves the clock, or returns the status and the message of the error response.
fn move_clock(clock: &Clock, text: &str) -> Result<(), (StatusCode, String)> {
    let invalid = |error: &dyn ToString| (StatusCode::BAD_REQUEST, error.to_string());
    let now = match serde_json::from_str(text).map_err(|error| invalid(&error))? {
        MoveClock::Set(now) => now,
        MoveClock::Advance(span) => {
            let moved = clock.now().to_zoned(TimeZone::UTC).checked_add(span);
            moved.map_err(|error| invalid(&error))?.timestamp()
        }
    };
    clock.set(now).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => invalid(&error),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    })
}

#[derive(Serialize)]
struct FaultsNow {
    faults: Vec<FaultNow>,
}

#[derive(Serialize)]
struct FaultNow {
    name: String,
    fired: u64,
}

fn faults(state: &AppState) -> Response {
    let fired = state.faults.fired().into_iter();
    let faults = fired.map(|(name, fired)| FaultNow { name, fired }).collect();
    wire::json(StatusCode::OK, &FaultsNow { faults })
}

/// Parses fault rules: JSON if the `Content-Type` says so, TOML otherwise.
fn read_plan(head: &Parts, text: &str) -> Result<FaultPlan, String> {
    let content_type = head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let json = content_type.is_some_and(|value| value.starts_with(b"application/json"));
    let plan = if json { FaultPlan::from_json(text) } else { FaultPlan::from_toml(text) };
    plan.map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Damaged<'a> {
    files: &'a [DamagedFile],
}

#[derive(Serialize)]
struct JournalNow {
    entries: Vec<JournalEntry>,
}

fn journal(state: &AppState) -> Response {
    let entries = state.journal.snapshot();
    wire::json(StatusCode::OK, &JournalNow { entries })
}
