//! The HTML pages of file.io.

use http::StatusCode;

use super::file::StoredFile;
use crate::http::{self as wire, Response, escape_html};

/// Returns the page at `/`, with an upload form.
pub(super) fn home() -> Response {
    page(
        StatusCode::OK,
        "Share a file",
        "<form method=\"post\" action=\"/\" enctype=\"multipart/form-data\">\
         <input type=\"file\" name=\"file\" required> <button>Upload</button></form>\
         <p>The link works once, for 14 days.</p>",
    )
}

/// Returns the page at `/download/KEY`, which shows a file without counting a download.
pub(super) fn landing(file: &StoredFile) -> Response {
    let name = escape_html(&file.name);
    let (size, key) = (file.size, escape_html(&file.key));
    page(
        StatusCode::OK,
        &file.name,
        &format!("<p>{name}, {size} bytes</p><p><a href=\"/{key}/dwnld\" rel=\"nofollow\">Download</a></p>"),
    )
}

/// Returns the page for a file that does not exist.
pub(super) fn gone() -> Response {
    page(StatusCode::NOT_FOUND, "Not found", "<p>There is no such file, or it is no longer there.</p>")
}

/// Returns a help page, which errors link to.
pub(super) fn help(topic: &str) -> Response {
    let topic = topic.rsplit('/').next().unwrap_or_default();
    page(StatusCode::OK, topic, "<p>The message of the response says what was wrong.</p>")
}

fn page(status: StatusCode, title: &str, content: &str) -> Response {
    let title = escape_html(title);
    wire::html(
        status,
        format!(
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title></head>\
             <body><h1>{title}</h1>{content}</body></html>\n"
        ),
    )
}
