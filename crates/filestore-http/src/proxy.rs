//! [`Proxies`]: validates the proxies of a client, and knows where each was configured.

use std::fmt;

use filestore_core::{Error, Result};
use hyper_util::client::proxy::matcher::Matcher;
use url::{Position, Url};

/// The proxies of one client.
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    matcher: Matcher,
}

/// A proxy as errors show it, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    url: String,
    configured_by: String,
}

impl Proxies {
    /// Returns the proxies of the `setting`, or else of the environment, whose variables `environment` reads.
    ///
    /// Fails with *config* if a proxy's URL is invalid or not HTTP, because the HTTP library would bypass such a proxy.
    pub(crate) fn new(setting: Option<&str>, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        match setting {
            Some("none") => Ok(Self { http: None, https: None, matcher: Matcher::builder().build() }),
            Some(url) => {
                let proxy = Proxy::new(url, "the setting proxy")?;
                Ok(Self {
                    http: Some(proxy.clone()),
                    https: Some(proxy),
                    matcher: Matcher::builder().all(url.to_owned()).build(),
                })
            }
            None => Self::from_environment(environment),
        }
    }

    /// Reads the environment as the HTTP library does: the first variable that is set counts, even if it is empty.
    fn from_environment(environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        // In a CGI program, HTTP_PROXY is the request header `Proxy`, which the client controls.
        if environment("REQUEST_METHOD").is_some() {
            return Self::new(Some("none"), environment);
        }
        let first = |names: [&str; 2]| names.into_iter().find_map(|name| Some((name.to_owned(), environment(name)?)));
        let no = first(["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts).unwrap_or_default();
        let mut matcher = Matcher::builder().no(no.clone());
        let mut checked = |names, add: fn(_, String) -> _| match first(names) {
            Some((name, url)) if !url.trim().is_empty() && no.trim() != "*" => {
                let proxy = Proxy::new(&url, &format!("the environment variable {name}"))?;
                matcher = add(std::mem::take(&mut matcher), url);
                Ok::<_, Error>(Some(proxy))
            }
            _ => Ok(None),
        };
        let all = checked(["ALL_PROXY", "all_proxy"], |matcher, url| matcher.all(url))?;
        let http = checked(["HTTP_PROXY", "http_proxy"], |matcher, url| matcher.http(url))?;
        let https = checked(["HTTPS_PROXY", "https_proxy"], |matcher, url| matcher.https(url))?;
        Ok(Self { http: http.or_else(|| all.clone()), https: https.or(all), matcher: matcher.build() })
    }

    /// Returns the proxy for requests to `url`.
    pub(crate) fn for_url(&self, url: &Url) -> Option<&Proxy> {
        // Most clients have no proxy. Their URLs are not parsed again.
        let proxy = if url.scheme() == "https" { self.https.as_ref()? } else { self.http.as_ref()? };
        self.matcher.intercept(&url.as_str().parse().ok()?).map(|_| proxy)
    }
}

impl Proxy {
    fn new(text: &str, configured_by: &str) -> Result<Self> {
        // The text may contain a password, so the error does not repeat it.
        let invalid = |problem: &str| {
            Error::config(format!(
                "{configured_by} {problem}; write it like http://HOST:PORT, or use no proxy with proxy = \"none\""
            ))
        };
        let text = text.trim();
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url: Url = url.parse().map_err(|_| invalid("is not a valid proxy URL"))?;
        match url.scheme() {
            "http" | "https" if url.host_str().is_some_and(|host| !host.is_empty()) => {}
            "http" | "https" => return Err(invalid("contains no host")),
            scheme if scheme.starts_with("socks") => {
                return Err(invalid("is the URL of a SOCKS proxy, which is not supported"));
            }
            _ => return Err(invalid("is neither http nor https")),
        }
        let proxy_url = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]);
        Ok(Self { url: proxy_url, configured_by: configured_by.to_owned() })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} ({})", self.url, self.configured_by)
    }
}

#[cfg(test)]
mod tests {
    use filestore_core::ErrorKind;

    use super::*;

    fn proxy_of(variables: &[(&str, &str)], url: &str) -> Result<Option<String>> {
        let read =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Ok(Proxies::new(None, read)?.for_url(&url.parse().unwrap()).map(ToString::to_string))
    }

    #[test]
    fn a_proxy_is_named_with_the_variable_that_configures_it() {
        let through = |name: &str| Some(format!("the proxy http://p:3128 (the environment variable {name})"));
        for (variables, url, expected) in [
            (&[("http_proxy", "http://me:CANARY@p:3128")][..], "http://a/", through("http_proxy")),
            (&[("http_proxy", "p:3128")], "http://a/", through("http_proxy")),
            (&[("http_proxy", "http://p:3128")], "https://a/", None),
            (&[("ALL_PROXY", "http://p:3128")], "https://a/", through("ALL_PROXY")),
            (&[("HTTPS_PROXY", "http://p:3128"), ("https_proxy", "http://q:1")], "https://a/", through("HTTPS_PROXY")),
            (&[("http_proxy", "http://p:3128"), ("no_proxy", "a,b")], "http://a/", None),
            (&[("http_proxy", "http://p:3128"), ("REQUEST_METHOD", "GET")], "http://a/", None),
            (&[("http_proxy", "")], "http://a/", None),
            (&[], "http://a/", None),
        ] {
            assert_eq!(proxy_of(variables, url).unwrap(), expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn an_invalid_proxy_is_an_error_and_not_bypassed() {
        for wrong in ["not a url", "socks5://p:1080", "socks5h://u:CANARY@p", "ftp://p", "http://", "http://:80"] {
            for name in ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
                let error = proxy_of(&[(name, wrong)], "http://a/").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Config, "{wrong}");
                let message = error.to_string();
                assert!(message.contains(name) && !message.contains("CANARY"), "{message}");
            }
            let setting = Proxies::new(Some(wrong), |_| None).map(drop).unwrap_err();
            assert!(setting.to_string().contains("the setting proxy"), "{setting}");
        }
    }

    #[test]
    fn the_setting_none_ignores_the_proxies_of_the_environment() {
        let proxies = Proxies::new(Some("none"), |_| Some("not a url".to_owned())).unwrap();
        assert_eq!(proxies.for_url(&"http://a/".parse().unwrap()), None);
    }
}
