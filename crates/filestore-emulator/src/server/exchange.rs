//! One request and its answer: routing, journal and faults around whatever a service does.

use std::sync::Arc;

use futures::StreamExt;
use http::request::Parts;
use hyper::body::{Body, Incoming};

use crate::app_state::{AppState, Destination, ServiceRoute};
use crate::faults::{self, Effects, Fault, ResetAt};
use crate::http::{self as wire, RequestBody, Response};
use crate::journal::{Asked, Recorded};
use crate::link::Link;
use crate::{canned_response, control};

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was ended by a fault")]
pub(super) struct NoAnswer;

pub(super) async fn exchange(
    site: Arc<AppState>,
    link: Arc<Link>,
    request: http::Request<Incoming>,
) -> Result<Response, NoAnswer> {
    let (head, incoming) = request.into_parts();
    let body = RequestBody::new(&head.headers, incoming);
    match Destination::of(&head) {
        Destination::Control => Ok(control::answer(&site, &head, body).await),
        Destination::Gone => Ok(canned_response::gone_page()),
        Destination::Service(route) => serve(&site, &link, &route, &head, body).await,
        Destination::Nowhere => {
            let recorded = site.journal.begin(site.clock.now(), &head, Asked::default());
            Ok(counted(recorded, canned_response::no_such_service()))
        }
    }
}

async fn serve(
    site: &Arc<AppState>,
    link: &Arc<Link>,
    route: &ServiceRoute,
    head: &Parts,
    body: RequestBody,
) -> Result<Response, NoAnswer> {
    let target = route.target();
    let effects = site.faults.apply(&target, caller(head), site.clock.now());
    let recorded = site.journal.begin(
        site.clock.now(),
        head,
        Asked {
            service: Some(route.service().as_str()),
            operation: Some(target.operation),
            key: target.key,
            faults: effects.names(),
        },
    );
    let mut body = faults::tamper_with_request(&effects, link, watched(&recorded, body));

    let response = match short_circuit(site, link, route, head, &mut body, &effects).await? {
        Some(response) => response,
        None => site.answer(route, head, &mut body, &effects).await,
    };
    body.discard().await;
    if link.is_to_be_reset() {
        return Err(NoAnswer);
    }
    // Of an answer without body nothing is left to send behind a reset.
    let bodiless = response.body().is_end_stream();
    if effects.any(|fault| match fault {
        Fault::LostAnswer => true,
        Fault::Reset { at: ResetAt::Headers | ResetAt::Body, .. } => bodiless,
        _ => false,
    }) {
        link.end_with_reset();
        return Err(NoAnswer);
    }
    let response = faults::tamper_with_response(&effects, link, response);
    Ok(counted(recorded, response))
}

/// What faults do before the service hears of the request: wait, end the connection, or answer
/// in its place.
async fn short_circuit(
    site: &AppState,
    link: &Link,
    route: &ServiceRoute,
    head: &Parts,
    body: &mut RequestBody,
    effects: &Effects,
) -> Result<Option<Response>, NoAnswer> {
    for fault in effects.iter() {
        match fault {
            Fault::Latency { delay } => tokio::time::sleep(*delay).await,
            Fault::Reset { at: ResetAt::Request, .. } => {
                link.end_with_reset();
                return Err(NoAnswer);
            }
            Fault::Reset { at: ResetAt::RequestBody, .. } => {
                while let Ok(Some(_)) = body.chunk().await {}
                link.end_with_reset();
                return Err(NoAnswer);
            }
            fault => {
                if let Some(response) = canned_response::answer(site, route, head, fault, effects) {
                    return Ok(Some(response));
                }
            }
        }
    }
    Ok(None)
}

/// Whom a rate limit counts: one credential, or everybody without.
fn caller(head: &Parts) -> &str {
    let credentials = ["authorization", "x-filesapi-key", "x-filesapi-auth"];
    let given = credentials.iter().find_map(|name| head.headers.get(*name));
    given.and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn watched(recorded: &Arc<Recorded>, body: RequestBody) -> RequestBody {
    let recorded = Arc::clone(recorded);
    body.map(|content| content.inspect(move |chunk| recorded.read(chunk.as_ref().map_or(0, bytes::Bytes::len))).boxed())
}

fn counted(recorded: Arc<Recorded>, response: Response) -> Response {
    recorded.answered(response.status());
    let (head, body) = response.into_parts();
    let content = wire::stream(body).inspect(move |chunk| recorded.wrote(chunk.as_ref().map_or(0, bytes::Bytes::len)));
    Response::from_parts(head, wire::body(content.boxed()))
}
