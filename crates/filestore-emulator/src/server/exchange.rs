//! One request and its response: routing, faults and the journal around the work of a service.

use std::sync::Arc;

use futures::StreamExt;
use http::HeaderValue;
use http::header::DATE;
use http::request::Parts;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app_state::{AppState, Destination, ServiceRoute};
use crate::faults::{self, Effects, Fault, ResetAt};
use crate::http::{self as wire, RequestBody, Response};
use crate::journal::{RequestRecord, RequestSummary};
use crate::link::Link;
use crate::{canned_response, control};

/// Makes the HTTP layer end the connection without a response.
#[derive(Debug, thiserror::Error)]
#[error("a fault ended the connection")]
pub(super) struct NoResponse;

/// Serves one request. The response has the time of the emulator's clock, as clients take it for the service's.
pub(super) async fn exchange(
    state: Arc<AppState>,
    link: Arc<Link>,
    requests: Arc<Semaphore>,
    request: http::Request<Incoming>,
) -> Result<Response, NoResponse> {
    let clock = state.clock.clone();
    let mut response = respond(state, link, requests, request).await?;
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(clock.now().into())) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

async fn respond(
    state: Arc<AppState>,
    link: Arc<Link>,
    requests: Arc<Semaphore>,
    request: http::Request<Incoming>,
) -> Result<Response, NoResponse> {
    let (head, incoming) = request.into_parts();
    let mut body = RequestBody::new(&head.headers, incoming, state.body_timeout);
    match Destination::of(&head) {
        Destination::Control => {
            let response = control::answer(&state, &head, &mut body).await;
            Ok(unless_timed_out(response, &body))
        }
        Destination::Gone => Ok(canned_response::gone_page()),
        Destination::Service(route) => serve(&state, &link, requests, &route, &head, body).await,
        Destination::Nowhere => Ok(reject(&state, &head, canned_response::no_such_service())),
        Destination::InvalidHost => Ok(reject(&state, &head, canned_response::invalid_host())),
    }
}

/// Returns the response, or 408 in place of the error of a body whose client stopped sending.
fn unless_timed_out(response: Response, body: &RequestBody) -> Response {
    if body.has_timed_out() { canned_response::body_timeout() } else { response }
}

/// Responds to a request that reaches no service.
fn reject(state: &AppState, head: &Parts, response: Response) -> Response {
    let record = state.journal.begin(state.clock.now(), head, RequestSummary::default());
    record_response(record, None, response)
}

/// Serves a request to a service.
async fn serve(
    state: &Arc<AppState>,
    link: &Arc<Link>,
    requests: Arc<Semaphore>,
    route: &ServiceRoute,
    head: &Parts,
    body: RequestBody,
) -> Result<Response, NoResponse> {
    let target = route.target();
    // A client that waits for messages uses no files.
    let permit = if target.operation == "subscribe" { None } else { requests.acquire_owned().await.ok() };
    let effects = state.faults.apply(&target, caller(head), state.clock.now());
    let record = state.journal.begin(
        state.clock.now(),
        head,
        RequestSummary {
            service: Some(route.service().as_str()),
            operation: Some(target.operation),
            key: target.key,
            faults: effects.names(),
        },
    );
    let mut body = faults::tamper_with_request(&effects, link, record_body(&record, body));

    let response = match short_circuit(state, link, route, head, &mut body, &effects).await? {
        Some(response) => response,
        None => state.answer(route, head, &mut body, &effects).await,
    };
    // Before the rest is discarded: a body that the service did not need does not change its response.
    let response = unless_timed_out(response, &body);
    body.discard().await;
    if link.is_to_be_reset() {
        return Err(NoResponse);
    }
    // A response without a body has no bytes left to send after its headers, so a reset takes its place.
    let bodiless = response.body().is_end_stream();
    if effects.any(|fault| match fault {
        Fault::LostAnswer => true,
        Fault::Reset { at: ResetAt::Headers | ResetAt::Body, .. } => bodiless,
        _ => false,
    }) {
        link.end_with_reset();
        return Err(NoResponse);
    }
    let response = faults::tamper_with_response(&effects, link, response);
    Ok(record_response(record, permit, response))
}

/// Applies the faults that come before the service: they wait, end the connection, or respond in place of the service.
async fn short_circuit(
    state: &AppState,
    link: &Link,
    route: &ServiceRoute,
    head: &Parts,
    body: &mut RequestBody,
    effects: &Effects,
) -> Result<Option<Response>, NoResponse> {
    for fault in effects.iter() {
        match fault {
            Fault::Latency { delay } => tokio::time::sleep(*delay).await,
            Fault::Reset { at: ResetAt::Request, .. } => {
                link.end_with_reset();
                return Err(NoResponse);
            }
            Fault::Reset { at: ResetAt::RequestBody, .. } => {
                while let Ok(Some(_)) = body.chunk().await {}
                link.end_with_reset();
                return Err(NoResponse);
            }
            fault => {
                if let Some(response) = canned_response::of_fault(state, route, head, fault, effects) {
                    return Ok(Some(response));
                }
            }
        }
    }
    Ok(None)
}

/// Returns the caller that a rate limit counts: the credential, or the empty string for all requests without one.
fn caller(head: &Parts) -> &str {
    let credentials = ["authorization", "x-filesapi-key", "x-filesapi-auth"];
    let value = credentials.iter().find_map(|name| head.headers.get(*name));
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Counts the bytes of the request body in the journal.
fn record_body(record: &Arc<RequestRecord>, body: RequestBody) -> RequestBody {
    let record = Arc::clone(record);
    body.map(|content| {
        content.inspect(move |chunk| record.add_bytes_in(chunk.as_ref().map_or(0, bytes::Bytes::len))).boxed()
    })
}

/// Records the status in the journal, and counts the bytes of the response body. `permit` is released after the body.
fn record_response(record: Arc<RequestRecord>, permit: Option<OwnedSemaphorePermit>, response: Response) -> Response {
    record.set_status(response.status());
    let (head, body) = response.into_parts();
    let content = wire::stream(body).inspect(move |chunk| {
        let _until_the_end = &permit;
        record.add_bytes_out(chunk.as_ref().map_or(0, bytes::Bytes::len));
    });
    Response::from_parts(head, wire::body(content.boxed()))
}
