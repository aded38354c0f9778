//! The base URL of a service: where its paths begin.

use filestore_core::{Error, Result};
use url::Url;

/// Parses the base URL of a service: scheme, host, port and an optional path prefix, such as the one of a gateway in
/// front of the service. The path of the result ends with `/`.
///
/// Fails with *config* otherwise. The error shows `like` as an example and does not repeat `text`, which may contain a
/// password.
///
/// ```
/// use filestore_http::base_url;
///
/// assert_eq!(base_url("http://127.0.0.1:7070", "https://file.io")?.as_str(), "http://127.0.0.1:7070/");
/// let behind_a_gateway = base_url("https://gateway.example/drop", "https://file.io")?;
/// assert_eq!(behind_a_gateway.as_str(), "https://gateway.example/drop/");
/// assert!(base_url("https://file.io/?key=1", "https://file.io").is_err());
/// # Ok::<(), filestore_core::Error>(())
/// ```
pub fn base_url(text: &str, like: &str) -> Result<Url> {
    let invalid = |problem: &str| Error::config(format!("base_url {problem}; write it like {like}"));
    let mut url: Url = text.parse().map_err(|_| invalid("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is neither http nor https"));
    }
    if url.port() == Some(0) {
        return Err(invalid("has port 0"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("contains a user or a password; set credentials with their own keys"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("has a query or a fragment, which the paths of the service cannot follow"));
    }
    let prefix = url.path().trim_end_matches('/');
    if prefix.contains("//") {
        return Err(invalid("has an empty component in its path"));
    }
    let path = format!("{prefix}/");
    url.set_path(&path);
    Ok(url)
}

/// Returns the URL of a service's `path` below the `base` URL. `path` is percent-encoded, and begins at the service: a
/// path prefix of `base` is put before it.
///
/// A gateway with a path prefix removes it again. So a signature that covers the path covers `path`, without the prefix.
///
/// ```
/// use filestore_http::{base_url, url_below};
///
/// let base = base_url("https://gateway.example/drop", "https://file.io")?;
/// assert_eq!(url_below(&base, "/me").as_str(), "https://gateway.example/drop/me");
/// # Ok::<(), filestore_core::Error>(())
/// ```
pub fn url_below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.strip_prefix('/').unwrap_or(path)));
    url
}

/// Returns the path of `url` from the `base` URL on, without a leading slash and still percent-encoded. `None` if `url` has
/// another origin, or a path that is not below that of `base`.
///
/// For links that people paste. A link also has to be the one that the service creates: build it again and compare.
///
/// ```
/// use filestore_http::{Url, base_url, path_below};
///
/// let base = base_url("https://gateway.example/drop", "https://file.io")?;
/// let path = |link: &str| path_below(&base, &Url::parse(link).unwrap()).map(str::to_owned);
/// assert_eq!(path("https://gateway.example/drop/Ab12Cd34").as_deref(), Some("Ab12Cd34"));
/// assert_eq!(path("https://gateway.example/Ab12Cd34"), None);
/// # Ok::<(), filestore_core::Error>(())
/// ```
pub fn path_below<'a>(base: &Url, url: &'a Url) -> Option<&'a str> {
    let is_same_origin = url.origin() == base.origin();
    let path = url.path().strip_prefix(base.path().trim_end_matches('/')).filter(|_| is_same_origin)?;
    path.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use filestore_core::ErrorKind;

    use super::*;

    fn parse(text: &str) -> Result<Url> {
        base_url(text, "https://file.io")
    }

    #[test]
    fn the_path_of_a_base_url_ends_with_a_slash() {
        for (text, expected) in [
            ("https://file.io", "https://file.io/"),
            ("HTTPS://File.io:443/", "https://file.io/"),
            ("http://gateway.example:8080/files-com", "http://gateway.example:8080/files-com/"),
            ("http://gateway.example:8080/files-com/", "http://gateway.example:8080/files-com/"),
            ("https://gateway.example/a/b%20c//", "https://gateway.example/a/b%20c/"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn an_invalid_base_url_is_a_config_error_that_does_not_repeat_it() {
        for (text, problem) in [
            ("file.io/CANARY", "is not a URL"),
            ("ftp://file.io/CANARY", "neither http nor https"),
            ("https://file.io:0/CANARY", "port 0"),
            ("https://me:CANARY@file.io", "a user or a password"),
            ("https://file.io/?CANARY", "a query or a fragment"),
            ("https://file.io/a?", "a query or a fragment"),
            ("https://file.io/a#CANARY", "a query or a fragment"),
            ("https://file.io/a//CANARY", "an empty component"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.message().contains(problem) && !error.message().contains("CANARY"), "{error}");
            assert!(error.message().ends_with("write it like https://file.io"), "{error}");
        }
    }

    #[test]
    fn a_path_follows_the_prefix() {
        for (base, path, expected) in [
            ("http://h", "me", "http://h/me"),
            ("http://h", "", "http://h/"),
            ("http://h/a", "/api/x%2Fy", "http://h/a/api/x%2Fy"),
            ("http://h/a/b/", "me", "http://h/a/b/me"),
            ("http://h/a", "", "http://h/a/"),
        ] {
            let (base, url) = (parse(base).unwrap(), Url::parse(expected).unwrap());
            assert_eq!(url_below(&base, path), url);
            assert_eq!(path_below(&base, &url), Some(path.trim_start_matches('/')));
        }
    }

    #[test]
    fn only_a_url_of_the_same_origin_and_prefix_is_below() {
        let base = parse("http://h:8080/a").unwrap();
        for other in
            ["http://h/a/x", "https://h:8080/a/x", "http://other:8080/a/x", "http://h:8080/ab", "http://h:8080/a"]
        {
            assert_eq!(path_below(&base, &Url::parse(other).unwrap()), None, "{other}");
        }
    }
}
