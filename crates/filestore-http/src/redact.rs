//! Redacts URLs and texts of services for errors and traces.

use filestore_core::is_hidden;
use url::{Position, Url};

/// Returns `url` without user, query and fragment, and without its path if the path is a secret.
///
/// A query may be a signature, and a path may be a key that grants access by itself.
pub fn redacted_url(url: &Url, secret_path: bool) -> String {
    let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]);
    if secret_path { format!("{origin}/...") } else { format!("{origin}{}", url.path()) }
}

/// Returns a service's text as one line of at most 300 characters, without the queries of URLs.
///
/// It may still contain a secret of the request. [`Response::presentable`](crate::Response::presentable) removes those.
pub fn presentable(text: &str) -> String {
    without_queries(text).chars().map(|c| if is_hidden(c) { ' ' } else { c }).take(300).collect()
}

/// Replaces the queries of URLs with `...`, because they may contain signatures, or secrets in percent-encoding.
fn without_queries(text: &str) -> String {
    let mut pieces = text.split('?');
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_whitespace() || "\"'<>)".contains(c)).unwrap_or(piece.len());
        let (query, rest) = piece.split_at(end);
        shown.push('?');
        shown.push_str(if query.contains('=') { "..." } else { query });
        shown.push_str(rest);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_text_is_one_short_line() {
        assert_eq!(presentable("no such\nkey!"), "no such key!");
        assert_eq!(presentable(&"x".repeat(1000)).len(), 300);
    }

    #[test]
    fn the_query_of_a_url_in_a_services_text_is_not_shown() {
        assert_eq!(
            presentable("cannot GET /v1/x?uuid=me&auth=tok%3D&signature=v2.s (what? 1=1? yes)"),
            "cannot GET /v1/x?... (what? 1=1? yes)"
        );
        assert_eq!(presentable("<a href=\"http://h/?s=KEY\">here</a>?"), "<a href=\"http://h/?...\">here</a>?");
    }

    #[test]
    fn neither_user_nor_query_nor_a_secret_path_is_shown() {
        let url: Url = "https://me:pw@example.org:8443/a/KEY?signature=s#f".parse().unwrap();
        assert_eq!(redacted_url(&url, false), "https://example.org:8443/a/KEY");
        assert_eq!(redacted_url(&url, true), "https://example.org:8443/...");
    }
}
