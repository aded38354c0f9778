//! The control API and page under `/_emulator/`: clock, faults, journal, reset.

mod page;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app_state::AppState;
use crate::clock::Clock;
use crate::faults::FaultPlan;
use crate::http::{self as wire, RequestBody, Response, problem};
use crate::journal::JournalEntry;

/// The longest body that a control request has: a fault file.
const LONGEST: usize = 1024 * 1024;

pub(crate) async fn answer(site: &AppState, head: &Parts, mut body: RequestBody) -> Response {
    if let Some(rejection) = site.guard.reject(head) {
        return rejection;
    }
    let text = match body.collect(LONGEST).await {
        Ok(Some(text)) => String::from_utf8_lossy(&text).into_owned(),
        Ok(None) => return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/_emulator" | "/_emulator/") => page::status(site),
        (&Method::GET, "/_emulator/clock") => clock(&site.clock),
        (&Method::POST, "/_emulator/clock") => match move_clock(&site.clock, &text) {
            Ok(()) => {
                site.sweep().await;
                clock(&site.clock)
            }
            Err(error) => problem(StatusCode::BAD_REQUEST, error),
        },
        (&Method::GET, "/_emulator/faults") => faults(site),
        (&Method::PUT, "/_emulator/faults") => match read_plan(head, &text) {
            Ok(plan) => {
                site.faults.load(plan);
                faults(site)
            }
            Err(error) => problem(StatusCode::BAD_REQUEST, error),
        },
        (&Method::DELETE, "/_emulator/faults") => {
            site.faults.load(FaultPlan::default());
            faults(site)
        }
        (&Method::GET, "/_emulator/journal") => journal(site),
        (&Method::DELETE, "/_emulator/journal") => {
            site.journal.clear();
            wire::empty(StatusCode::NO_CONTENT)
        }
        (&Method::POST, "/_emulator/reset") => match site.reset().await {
            Ok(()) => wire::empty(StatusCode::NO_CONTENT),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error),
        },
        (method, path) => {
            let of_service = match path.split('/').nth(2) {
                Some("pubnub") => site.pubnub.control(method, path, &text).await,
                Some("filescom") => site.filescom.control(method, path, &text).await,
                _ => None,
            };
            of_service.unwrap_or_else(|| problem(StatusCode::NOT_FOUND, "the control API has no such route"))
        }
    }
}

#[derive(Serialize)]
struct ClockNow {
    now: Timestamp,
    /// How far it is ahead of real time.
    offset_seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum MoveClock {
    /// By a time like `15d`, `1mo` or `-2h 30m`.
    Advance(Span),
    /// To a point in time, from where it keeps running.
    Set(Timestamp),
}

fn clock(clock: &Clock) -> Response {
    let now = ClockNow { now: clock.now(), offset_seconds: clock.offset().as_secs_f64() };
    wire::json(StatusCode::OK, &now)
}

fn move_clock(clock: &Clock, text: &str) -> Result<(), String> {
    let wanted: MoveClock = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let now = match wanted {
        MoveClock::Set(now) => now,
        MoveClock::Advance(span) => {
            let moved = clock.now().to_zoned(TimeZone::UTC).checked_add(span);
            moved.map_err(|error| error.to_string())?.timestamp()
        }
    };
    clock.set(now).map_err(|error| error.to_string())
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

fn faults(site: &AppState) -> Response {
    let fired = site.faults.fired().into_iter();
    let faults = fired.map(|(name, fired)| FaultNow { name, fired }).collect();
    wire::json(StatusCode::OK, &FaultsNow { faults })
}

/// JSON when it says so, TOML otherwise.
fn read_plan(head: &Parts, text: &str) -> Result<FaultPlan, String> {
    let content_type = head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let json = content_type.is_some_and(|value| value.starts_with(b"application/json"));
    let plan = if json { FaultPlan::from_json(text) } else { FaultPlan::from_toml(text) };
    plan.map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct JournalNow {
    entries: Vec<JournalEntry>,
}

fn journal(site: &AppState) -> Response {
    let entries = site.journal.entries_now();
    wire::json(StatusCode::OK, &JournalNow { entries })
}
