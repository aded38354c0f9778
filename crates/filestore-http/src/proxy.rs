//! [`Proxies`]: validates the proxies of a client, and knows where each was configured.

use std::fmt;

use filestore_core::{Error, Result};
use hyper_util::client::proxy::matcher::Matcher;
use url::{Position, Url};

use crate::tls;

/// The proxies of one client. They decide for each URL; the HTTP library has no proxies of its own.
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    excluded: Exclusions,
}

/// A proxy. `Display` shows it without user and password.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// The URL with user and password.
    target: Url,
    configured_by: String,
}

/// The hosts that are reached without a proxy.
#[derive(Default)]
struct Exclusions {
    /// Entries without a port: hosts, domains, IP addresses and networks.
    hosts: Option<Matcher>,
    /// Entries with a port.
    ports: Vec<(u16, Matcher)>,
}

impl Proxies {
    /// Returns the proxies of the `setting`, or else of the environment, whose variables `environment` reads.
    ///
    /// Fails with *config* if a proxy's URL is invalid or not HTTP, because the HTTP library would bypass such a proxy.
    pub(crate) fn new(setting: Option<&str>, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        match setting {
            Some("none") => Ok(Self { http: None, https: None, excluded: Exclusions::default() }),
            Some(url) => {
                let proxy = Proxy::new(url, "the setting proxy")?;
                Ok(Self { http: Some(proxy.clone()), https: Some(proxy), excluded: Exclusions::default() })
            }
            None => Self::from_environment(environment),
        }
    }

    /// Reads the environment: the first variable that is set counts, even if it is empty.
    fn from_environment(environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        // In a CGI program, HTTP_PROXY is the request header `Proxy`, which the client controls.
        if environment("REQUEST_METHOD").is_some() {
            return Self::new(Some("none"), environment);
        }
        let first = |names: [&str; 2]| names.into_iter().find_map(|name| Some((name.to_owned(), environment(name)?)));
        let no = first(["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts).unwrap_or_default();
        if no.split(',').any(|entry| entry.trim() == "*") {
            return Self::new(Some("none"), environment);
        }
        let checked = |names| match first(names) {
            Some((name, url)) if !url.trim().is_empty() => {
                Proxy::new(&url, &format!("the environment variable {name}")).map(Some)
            }
            _ => Ok(None),
        };
        let all = checked(["ALL_PROXY", "all_proxy"])?;
        let http = checked(["HTTP_PROXY", "http_proxy"])?.or_else(|| all.clone());
        let https = checked(["HTTPS_PROXY", "https_proxy"])?.or(all);
        Ok(Self { http, https, excluded: Exclusions::new(&no)? })
    }

    /// Returns `true` if no request has a proxy.
    pub(crate) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Returns the proxy for requests to `url`.
    pub(crate) fn for_url(&self, url: &Url) -> Option<&Proxy> {
        // Most clients have no proxy. Their URLs are not parsed again.
        let proxy = if url.scheme() == "https" { self.https.as_ref()? } else { self.http.as_ref()? };
        (!self.excluded.contains(url)).then_some(proxy)
    }

    /// Returns the URL of the proxy for requests to `url`, with user and password.
    pub(crate) fn target(&self, url: &Url) -> Option<Url> {
        self.for_url(url).map(|proxy| proxy.target.clone())
    }
}

impl Exclusions {
    /// Parses a list such as `localhost,.example.com,10.0.0.0/8,127.0.0.1:8080`. Fails with *config* for a port that is no
    /// number: the proxy would be used although it is not wanted.
    fn new(list: &str) -> Result<Self> {
        // Matches every URL but those of the excluded `hosts`.
        let others = |hosts: String| Matcher::builder().all("http://proxy").no(hosts).build();
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for entry in list.split(',').map(str::trim) {
            match entry.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    let host = host.trim_start_matches('[').trim_end_matches(']');
                    let port = port.parse().map_err(|_| {
                        Error::config(format!(
                            "the environment variable NO_PROXY has the entry {entry:?}, whose port is no number; correct it"
                        ))
                    })?;
                    ports.push((port, others(host.to_owned())));
                }
                _ => hosts.push(entry),
            }
        }
        Ok(Self { hosts: (!hosts.is_empty()).then(|| others(hosts.join(","))), ports })
    }

    fn contains(&self, url: &Url) -> bool {
        let Ok(uri) = url.as_str().parse() else { return false };
        let of_port = self.ports.iter().filter(|(port, _)| url.port_or_known_default() == Some(*port));
        self.hosts.iter().chain(of_port.map(|(_, others)| others)).any(|others| others.intercept(&uri).is_none())
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
        Ok(Self { target: url, configured_by: configured_by.to_owned() })
    }

    /// Checks that the program can connect to the proxy. *Config* for an `https` URL if no TLS provider is compiled in.
    pub(crate) fn check_tls(&self) -> Result<()> {
        tls::check(&self.target)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.target[Position::BeforeHost..Position::AfterPort];
        write!(f, "the proxy {}://{address} ({})", self.target.scheme(), self.configured_by)
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
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "*")], "http://127.0.0.1/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "x, *")], "http://a/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "127.0.0.0/8")], "http://127.0.0.1:8080/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "x,127.0.0.1:8080")], "http://127.0.0.1:8080/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "a:80")], "http://a/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "[::1]:80")], "http://[::1]/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "::1")], "http://[::1]/", None),
            (&[("http_proxy", "http://p:3128"), ("NO_PROXY", "a:81,b")], "http://a/", through("http_proxy")),
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
    fn an_exclusion_with_an_invalid_port_is_an_error() {
        let error = proxy_of(&[("http_proxy", "http://p"), ("NO_PROXY", "b,a:x")], "http://a/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("\"a:x\""), "{error}");
    }

    #[test]
    fn the_setting_none_ignores_the_proxies_of_the_environment() {
        let proxies = Proxies::new(Some("none"), |_| Some("not a url".to_owned())).unwrap();
        assert!(proxies.for_url(&"http://a/".parse().unwrap()).is_none());
    }

    #[tokio::test]
    async fn the_proxy_gets_the_user_and_the_password_of_its_url() {
        use crate::testing::{Reply, ScriptedServer};
        use crate::{HttpClient, HttpConfig, Request};

        let server = ScriptedServer::start([Reply::with_status(200, &[], "")]).await;
        let mut proxy = server.url();
        proxy.set_username("me").unwrap();
        proxy.set_password(Some("pass")).unwrap();
        let config = HttpConfig { proxy: Some(proxy.to_string().into()), ..HttpConfig::default() };
        let base = "http://files.invalid/".parse().unwrap();
        HttpClient::new(&config, &base).unwrap().send(Request::get(base)).await.unwrap();
        let request = server.request();
        assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6cGFzcw=="));
        assert_eq!(request.header("host"), Some("files.invalid"));
    }
}
