//! [`HttpConfig`]: the settings that all HTTP backends share, and their keys.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use filestore_core::{Error, Key, KeyKind, Period, PeriodUnit, Result, Settings, check_secret};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::Policy;

/// The HTTP settings of a backend. In a configuration, durations are texts such as `30s`, `5m` or `500ms`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..HttpConfig::default()`")]
pub struct HttpConfig {
    /// The maximum time to establish a connection, TLS included. 10 s by default.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// The maximum time without progress while a body is sent or received. 120 s by default.
    ///
    /// Bytes count as sent when the operating system accepts them. Its buffer of up to 4 MB drains in steps, so on a
    /// link slower than about 12 kB/s a longer limit is needed.
    ///
    /// It does not run while the request's body has nothing to send, nor while the caller does not read the response.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// The maximum time from the last byte of the request to the first byte of the response. 5 minutes by default,
    /// because the last bytes may still be in the buffers of a slow link.
    #[serde(deserialize_with = "duration")]
    pub response_timeout: Duration,
    /// The maximum time of one request, including the body of its response. `None`, the default, sets no limit, because
    /// a large file may take long.
    #[serde(deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
    /// The maximum number of retries of a request. 3 by default.
    pub max_retries: u32,
    /// The maximum wait before the first retry. It doubles for each further retry. 500 ms by default.
    #[serde(deserialize_with = "duration")]
    pub initial_retry_delay: Duration,
    /// The maximum wait before any retry, unless the service asks for a longer one. 2 s by default.
    #[serde(deserialize_with = "duration")]
    pub max_retry_delay: Duration,
    /// The maximum number of requests per minute to one host. `None` limits requests only after a 429.
    pub rate: Option<NonZeroU32>,
    /// The URL of a proxy, or `none`. If not set, the environment variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`
    /// and `NO_PROXY` apply. It is a secret, because it may contain a password.
    pub proxy: Option<SecretString>,
    /// A PEM file of certificates to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The local address that connections come from.
    pub source_address: Option<IpAddr>,
    /// The value of the header `User-Agent`. `None` sends `filestore/VERSION`.
    pub user_agent: Option<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            response_timeout: Duration::from_secs(5 * 60),
            timeout: None,
            max_retries: policy.max_retries,
            initial_retry_delay: policy.first_delay,
            max_retry_delay: policy.longest_delay,
            rate: None,
            proxy: None,
            ca_file: None,
            source_address: None,
            user_agent: None,
        }
    }
}

/// Reads the settings of a backend: its own configuration `C` and its [`HttpConfig`]. HTTP settings that are not set
/// are taken from `defaults`.
///
/// Fails with *config* if a key is unknown or a value is invalid. The error names the key.
pub fn read_settings<C: DeserializeOwned>(
    settings: &Settings,
    keys: &[Key],
    defaults: &HttpConfig,
) -> Result<(C, HttpConfig)> {
    let backend = settings.read(keys)?;
    let given: HttpConfig = settings.read(keys)?;
    let is_set = |key: &str| settings.get(key).is_some();
    let duration = |key, given, default| if is_set(key) { given } else { default };
    let http = HttpConfig {
        connect_timeout: duration("connect_timeout", given.connect_timeout, defaults.connect_timeout),
        idle_timeout: duration("idle_timeout", given.idle_timeout, defaults.idle_timeout),
        response_timeout: duration("response_timeout", given.response_timeout, defaults.response_timeout),
        initial_retry_delay: duration("initial_retry_delay", given.initial_retry_delay, defaults.initial_retry_delay),
        max_retry_delay: duration("max_retry_delay", given.max_retry_delay, defaults.max_retry_delay),
        max_retries: if is_set("max_retries") { given.max_retries } else { defaults.max_retries },
        ..given
    };
    Ok((backend, http))
}

/// Checks that no credential of a backend's configuration is empty or blank. `None` is a credential that is not set.
///
/// Fails with *config* otherwise.
pub fn check_credentials<'a>(credentials: impl IntoIterator<Item = (&'a str, Option<&'a SecretString>)>) -> Result<()> {
    for (key, secret) in credentials {
        let Some(secret) = secret else { continue };
        check_secret(key, secret.expose_secret()).map_err(|error| Error::config(error.message()))?;
    }
    Ok(())
}

/// The keys of [`HttpConfig`]. A backend [appends](with_http_keys) them to its own.
pub const KEYS: [Key; 12] = [
    Key::new("connect_timeout", KeyKind::Text, "the maximum time to establish a connection").default("10s"),
    Key::new("idle_timeout", KeyKind::Text, "the maximum time without progress while a body is sent or received")
        .default("120s"),
    Key::new("response_timeout", KeyKind::Text, "the maximum time from the end of the request to the response")
        .default("5m"),
    Key::new("timeout", KeyKind::Text, "the maximum time of one request with its body; no limit unless set"),
    Key::new("max_retries", KeyKind::Integer, "the maximum number of retries of a request, where that is safe")
        .default("3"),
    Key::new(
        "initial_retry_delay",
        KeyKind::Text,
        "the maximum wait before the first retry; doubled for each further retry",
    )
    .default("500ms"),
    Key::new(
        "max_retry_delay",
        KeyKind::Text,
        "the maximum wait before a retry, unless the service asks for a longer one",
    )
    .default("2s"),
    Key::new("rate", KeyKind::Integer, "the maximum number of requests per minute to one host; no limit unless set"),
    Key::new("proxy", KeyKind::Secret, "the URL of a proxy, or none; the environment variables apply unless set"),
    Key::new("ca_file", KeyKind::Path, "a PEM file of certificates to trust in addition to the system's"),
    Key::new("source_address", KeyKind::Text, "the local IP address that connections come from"),
    Key::new("user_agent", KeyKind::Text, "the value of the header User-Agent").default("filestore/VERSION"),
];

/// Returns the keys of a backend, followed by [`KEYS`]. `ALL` must be `OWN + KEYS.len()`; anything else does not
/// compile.
///
/// ```
/// use filestore_core::{Key, KeyKind};
/// use filestore_http::{KEYS, with_http_keys};
///
/// static ALL: [Key; 1 + KEYS.len()] = with_http_keys([Key::new("base_url", KeyKind::Text, "the URL of the service")]);
/// assert_eq!(ALL[1].name, "connect_timeout");
/// ```
pub const fn with_http_keys<const OWN: usize, const ALL: usize>(own: [Key; OWN]) -> [Key; ALL] {
    assert!(ALL == OWN + KEYS.len(), "ALL must be OWN + KEYS.len()");
    let mut all = [KEYS[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < OWN { own[at] } else { KEYS[at - OWN] };
        at += 1;
    }
    all
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(|error| serde::de::Error::custom(error.message()))
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Parses a period in milliseconds or in units of a fixed length.
fn parse(text: &str) -> Result<Duration> {
    if let Some(Ok(milliseconds)) = text.strip_suffix("ms").map(str::parse::<u32>) {
        return Ok(Duration::from_millis(milliseconds.into()));
    }
    let period: Period = text.parse()?;
    let seconds = match period.unit() {
        PeriodUnit::Seconds => 1,
        PeriodUnit::Minutes => 60,
        PeriodUnit::Hours => 3600,
        PeriodUnit::Days => 86_400,
        PeriodUnit::Weeks => 604_800,
        PeriodUnit::Months | PeriodUnit::Quarters | PeriodUnit::Years => {
            return Err(Error::invalid("a duration is written in ms, s, m, h, d or w, such as 30s"));
        }
    };
    Ok(Duration::from_secs(u64::from(period.count()) * seconds))
}

#[cfg(test)]
mod tests {
    use filestore_core::{Origin, Setting, Settings, Value};

    use super::*;

    fn read(values: &[(&str, Value)]) -> Result<HttpConfig> {
        let mut settings = Settings::new();
        for (key, value) in values {
            settings.insert(*key, Setting::new(value.clone(), Origin::BuiltIn));
        }
        settings.read(&KEYS)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn every_key_is_read() {
        let config = read(&[
            ("connect_timeout", text("5s")),
            ("idle_timeout", text("2m")),
            ("timeout", text("1h")),
            ("max_retries", Value::Integer(0)),
            ("initial_retry_delay", text("100ms")),
            ("max_retry_delay", text("5s")),
            ("rate", text("60")),
            ("proxy", text("http://user:hunter2@proxy:3128")),
            ("ca_file", text("/etc/ca.pem")),
            ("source_address", text("127.0.0.1")),
            ("user_agent", text("mine/1")),
        ])
        .unwrap();
        assert_eq!(config.connect_timeout, Duration::from_secs(5));
        assert_eq!(config.idle_timeout, Duration::from_secs(120));
        assert_eq!(config.timeout, Some(Duration::from_secs(3600)));
        assert_eq!((config.max_retries, config.rate.unwrap().get()), (0, 60));
        assert_eq!(config.initial_retry_delay, Duration::from_millis(100));
        assert_eq!(config.max_retry_delay, Duration::from_secs(5));
        assert_eq!(config.source_address.unwrap().to_string(), "127.0.0.1");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn nothing_set_is_the_default() {
        let config = read(&[]).unwrap();
        assert_eq!(config.idle_timeout, Duration::from_secs(120));
        assert_eq!(config.response_timeout, Duration::from_secs(300));
        assert_eq!(config.timeout, None);
        assert_eq!(config.max_retries, 3);
    }

    #[test]
    fn a_limit_in_calendar_units_is_rejected() {
        let error = read(&[("timeout", text("1M"))]).unwrap_err();
        assert!(
            error.to_string().contains("\"timeout\"") && error.to_string().contains("ms, s, m, h, d or w"),
            "{error}"
        );
        assert!(read(&[("timeout", text("soon"))]).is_err());
        assert!(read(&[("rate", Value::Integer(0))]).is_err());
    }
}
