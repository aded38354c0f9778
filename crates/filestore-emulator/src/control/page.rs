//! The status page of the control API, for people.

use std::fmt::Write;

use http::StatusCode;

use crate::app_state::AppState;
use crate::http::{self as wire, Response, escape_html};

/// The number of requests on the page.
const MAX_REQUESTS: usize = 50;

/// Returns the page: clock, number of stored files, damaged files, fault rules and last requests.
pub(super) fn status(state: &AppState) -> Response {
    let base = escape_html(&state.base);
    let now = state.clock.now();
    let (pubnub, filescom) = (state.pubnub.stored_files(), state.filescom.stored_files());
    let fileio = state.fileio.stored_files();
    let (requests, faults, damaged) = (requests(state), faults(state), damaged(state));
    wire::html(
        StatusCode::OK,
        format!(
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>filestore emulator</title>\
             <style>body{{font:14px sans-serif}}td{{padding-right:1em}}</style></head><body>\
             <h1>filestore emulator</h1>\
             <p>{base}: the clock shows {now}; stored files: {pubnub} at PubNub, {filescom} at Files.com, {fileio} at file.io.</p>\
             {damaged}<h2>Faults</h2><table>{faults}</table>\
             <h2>Last requests</h2><table>{requests}</table></body></html>\n"
        ),
    )
}

/// Returns the section about damaged files, if there are any.
fn damaged(state: &AppState) -> String {
    let mut rows = String::new();
    for file in &state.damaged {
        let (path, problem) = (escape_html(&file.path.to_string_lossy()), escape_html(&file.problem));
        let _ = write!(rows, "<tr><td>{path}</td><td>{problem}</td></tr>");
    }
    if rows.is_empty() { rows } else { format!("<h2>Damaged files, ignored</h2><table>{rows}</table>") }
}

fn faults(state: &AppState) -> String {
    let mut rows = String::new();
    for (name, fired) in state.faults.fired() {
        let name = escape_html(&name);
        let _ = write!(rows, "<tr><td>{name}</td><td>fired {fired} times</td></tr>");
    }
    rows
}

fn requests(state: &AppState) -> String {
    let mut rows = String::new();
    for entry in state.journal.snapshot().iter().rev().take(MAX_REQUESTS) {
        let status = entry.status.map_or("-".to_owned(), |status| status.to_string());
        let cells = [
            entry.number.to_string(),
            entry.time.to_string(),
            entry.service.unwrap_or("-").to_owned(),
            entry.operation.unwrap_or("-").to_owned(),
            format!("{} {}", entry.method, entry.path),
            status,
            format!("{} in, {} out", entry.bytes_in, entry.bytes_out),
            entry.faults.join(", "),
        ];
        let cells: Vec<_> = cells.iter().map(|cell| escape_html(cell)).collect();
        let _ = write!(rows, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
    }
    rows
}
