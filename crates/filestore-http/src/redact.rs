//! URLs as errors and traces show them.

use url::{Position, Url};

/// `url` without user, query and fragment, and without its path where that is a secret.
///
/// A query may be a signature; a path may be a key that is the permission itself.
pub fn shown(url: &Url, secret_path: bool) -> String {
    let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]);
    if secret_path { format!("{origin}/...") } else { format!("{origin}{}", url.path()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_user_nor_query_nor_a_secret_path_is_shown() {
        let url: Url = "https://me:pw@example.org:8443/a/KEY?signature=s#f".parse().unwrap();
        assert_eq!(shown(&url, false), "https://example.org:8443/a/KEY");
        assert_eq!(shown(&url, true), "https://example.org:8443/...");
    }
}
