//! Responses that no service computes: those of fault rules, and those for paths of no service.

use std::time::{Duration, SystemTime};

use http::header::{CONNECTION, LOCATION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::app_state::{AppState, GONE_PAGE, ServiceRoute};
use crate::faults::{Effects, Fault, RetryAfter};
use crate::http::{self as wire, Response, escape_html};

/// Returns the response that `fault` gives in place of the service, or `None` if `fault` gives none.
pub(crate) fn of_fault(
    state: &AppState,
    route: &ServiceRoute,
    head: &Parts,
    fault: &Fault,
    effects: &Effects,
) -> Option<Response> {
    match fault {
        Fault::Status { code, kind, text, headers } => {
            let mut response = match text {
                Some(text) => wire::response(*code, "text/plain; charset=utf-8", text.clone()),
                None => state.error(route, *code, kind.as_deref(), head, effects),
            };
            response.headers_mut().extend(headers.clone());
            Some(response)
        }
        Fault::Html { code, text } => {
            let reason = code.canonical_reason().unwrap_or("Error");
            Some(wire::html(*code, page(text.as_deref().unwrap_or(reason))))
        }
        Fault::Redirect { code, location } => {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let location = match location {
                Some(location) => location.replace("{path}", target),
                None => format!("{}{GONE_PAGE}{target}", state.base),
            };
            let mut response = wire::html(*code, page("Moved"));
            response.headers_mut().insert(LOCATION, HeaderValue::try_from(location).ok()?);
            Some(response)
        }
        Fault::RateLimit { retry_after, .. } => {
            let mut response = state.error(route, StatusCode::TOO_MANY_REQUESTS, None, head, effects);
            if let Some(value) = retry_after_value(*retry_after, state.clock.now().into()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            Some(response)
        }
        _ => None,
    }
}

/// Returns the page that a redirected client gets: HTML with status 200, as a service that is gone responds to all
/// requests.
pub(crate) fn gone_page() -> Response {
    wire::html(StatusCode::OK, page("This service has moved. Share files with our new app."))
}

pub(crate) fn no_such_service() -> Response {
    wire::response(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "No emulated service has this path.\n")
}

/// Returns the response to a request whose body stopped. The connection ends with it, because the rest of the body could
/// still come.
pub(crate) fn body_timeout() -> Response {
    let text = "The request's body stopped for too long.\n";
    let mut response = wire::response(StatusCode::REQUEST_TIMEOUT, "text/plain; charset=utf-8", text);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(crate) fn invalid_host() -> Response {
    wire::response(
        StatusCode::BAD_REQUEST,
        "text/plain; charset=utf-8",
        "The request must have exactly one Host header, with a host and an optional port.\n",
    )
}

fn page(text: &str) -> String {
    let text = escape_html(text);
    format!("<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n")
}

/// Returns the `Retry-After` value: one minute, as a date after `now`, which is the `Date` of the response.
fn retry_after_value(form: RetryAfter, now: SystemTime) -> Option<HeaderValue> {
    let minute = Duration::from_secs(60);
    match form {
        RetryAfter::Absent => None,
        RetryAfter::Seconds => Some(HeaderValue::from(minute.as_secs())),
        RetryAfter::Date => HeaderValue::try_from(httpdate::fmt_http_date(now + minute)).ok(),
    }
}
