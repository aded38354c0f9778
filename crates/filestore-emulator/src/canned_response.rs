//! Answers that stand in the place of a service: what fault rules script, and what paths that no
//! service owns get.

use std::time::{Duration, SystemTime};

use http::header::{LOCATION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::app_state::{AppState, GONE_PAGE, ServiceRoute};
use crate::faults::{Effects, Fault, RetryAfter};
use crate::http::{self as wire, Response, escape_html};

/// The answer that a fault gives instead of the service, if it is one that answers.
pub(crate) fn answer(
    site: &AppState,
    route: &ServiceRoute,
    head: &Parts,
    fault: &Fault,
    effects: &Effects,
) -> Option<Response> {
    match fault {
        Fault::Status { code, kind, text, headers } => {
            let mut response = match text {
                Some(text) => wire::response(*code, "text/plain; charset=utf-8", text.clone()),
                None => site.error(route, *code, kind.as_deref(), head, effects),
            };
            response.headers_mut().extend(headers.clone());
            Some(response)
        }
        Fault::Html { code, text } => {
            let reason = code.canonical_reason().unwrap_or("Error");
            Some(wire::html(*code, page(text.as_deref().unwrap_or(reason))))
        }
        Fault::Redirect { code, location } => {
            let asked = head.uri.path_and_query().map_or("/", |asked| asked.as_str());
            let location = match location {
                Some(location) => location.replace("{path}", asked),
                None => format!("{}{GONE_PAGE}{asked}", site.base),
            };
            let mut response = wire::html(*code, page("Moved"));
            response.headers_mut().insert(LOCATION, HeaderValue::try_from(location).ok()?);
            Some(response)
        }
        Fault::RateLimit { retry_after, .. } => {
            let mut response = site.error(route, StatusCode::TOO_MANY_REQUESTS, None, head, effects);
            if let Some(value) = retry_after_value(*retry_after) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            Some(response)
        }
        _ => None,
    }
}

/// What a redirected client finds: a site that is no API, and says 200 to everything.
pub(crate) fn gone_page() -> Response {
    wire::html(StatusCode::OK, page("This service has moved. Share files with our new app."))
}

pub(crate) fn no_such_service() -> Response {
    wire::response(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "No emulated service has this path.\n")
}

fn page(text: &str) -> String {
    let text = escape_html(text);
    format!("<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n")
}

/// One minute, as real clients live in real time.
fn retry_after_value(form: RetryAfter) -> Option<HeaderValue> {
    let minute = Duration::from_secs(60);
    match form {
        RetryAfter::Absent => None,
        RetryAfter::Seconds => Some(HeaderValue::from(minute.as_secs())),
        RetryAfter::Date => HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now() + minute)).ok(),
    }
}
