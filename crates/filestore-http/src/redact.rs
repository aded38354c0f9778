//! URLs and texts of services as errors and traces show them.

use url::{Position, Url};

/// `url` without user, query and fragment, and without its path where that is a secret.
///
/// A query may be a signature; a path may be a key that is the permission itself.
pub fn shown(url: &Url, secret_path: bool) -> String {
    let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]);
    if secret_path { format!("{origin}/...") } else { format!("{origin}{}", url.path()) }
}

/// A text of a service that may be shown: one line, not long, without the `secrets` that it may repeat.
pub fn presentable(text: &str, secrets: &[&str]) -> String {
    let hide = |text: String, secret: &&str| text.replace(*secret, "...");
    let hidden = secrets.iter().filter(|secret| !secret.is_empty()).fold(text.to_owned(), hide);
    hidden.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_text_is_one_short_line_without_secrets() {
        assert_eq!(presentable("no such\nkey KEY-1!", &["KEY-1", ""]), "no such key ...!");
        assert_eq!(presentable(&"x".repeat(1000), &[]).len(), 300);
    }

    #[test]
    fn neither_user_nor_query_nor_a_secret_path_is_shown() {
        let url: Url = "https://me:pw@example.org:8443/a/KEY?signature=s#f".parse().unwrap();
        assert_eq!(shown(&url, false), "https://example.org:8443/a/KEY");
        assert_eq!(shown(&url, true), "https://example.org:8443/...");
    }
}
