//! The HTML pages of share links.

use http::StatusCode;

use crate::http::{Response, escape_html, html};

pub(super) fn password() -> Response {
    page(
        "This link has a password",
        "<form method=\"post\"><input type=\"password\" name=\"password\" required> <button>Open</button></form>",
    )
}

pub(super) fn files(links: impl Iterator<Item = (String, String)>) -> Response {
    let items = links.map(|(path, url)| {
        format!("<li><a href=\"{}\" rel=\"nofollow\">{}</a></li>", escape_html(&url), escape_html(&path))
    });
    page("Shared files", &format!("<ul>{}</ul>", items.collect::<String>()))
}

pub(super) fn gone() -> Response {
    let mut response = page("Not found", "<p>This link does not exist or is no longer valid.</p>");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn page(title: &str, content: &str) -> Response {
    html(
        StatusCode::OK,
        format!(
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title></head>\
             <body><h1>{title}</h1>{content}</body></html>\n"
        ),
    )
}
