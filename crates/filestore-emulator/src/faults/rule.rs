//! The data of a fault file: the rules, what they match and their faults.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::service::{Operation, ServiceName};

/// One rule: applies the fault in `do` to the requests that all other keys match. An absent key matches all requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The name in the journal; by default the kind of the fault.
    pub(super) name: Option<String>,
    pub(super) service: Option<ServiceName>,
    pub(super) operation: Option<String>,
    /// The step of an operation that takes several requests.
    pub(super) step: Option<String>,
    /// The part number of a multipart upload, from 1.
    pub(super) part: Option<NonZeroU32>,
    pub(super) key: Option<String>,
    /// The number of the only matching request to fire for, from 1. Each operation, step and part is counted
    /// separately.
    pub(super) nth: Option<NonZeroU64>,
    #[serde(default, deserialize_with = "probability")]
    pub(super) probability: Option<f64>,
    /// The most times that the rule fires.
    pub(super) times: Option<NonZeroU64>,
    #[serde(rename = "do")]
    pub(super) fault: Fault,
}

/// The placeholder that [`Fault::numbered`] replaces.
const NTH: &str = "{nth}";

/// A deviation from a service that works.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// Waits before anything else happens.
    Latency {
        #[serde(deserialize_with = "delay")]
        delay: Duration,
    },

    /// Responds with a status instead of serving the request. In the text and in header values, `{nth}` stands for the
    /// number of the matching request.
    Status {
        #[serde(deserialize_with = "status")]
        code: StatusCode,
        /// Files.com: the type of the error, if there are several for the status; for a request to the storage, the
        /// code in the XML.
        #[serde(rename = "type")]
        kind: Option<String>,
        /// The body; by default the service's own error for the status.
        text: Option<String>,
        #[serde(default, deserialize_with = "headers")]
        headers: HeaderMap,
    },
    /// Responds with an HTML page, as proxies and a service that is gone do.
    Html {
        #[serde(default = "internal_server_error", deserialize_with = "status")]
        code: StatusCode,
        text: Option<String>,
    },
    /// Redirects the client to `location`, in which `{path}` stands for the path and query of the request.
    Redirect {
        #[serde(default = "moved_permanently", deserialize_with = "status")]
        code: StatusCode,
        #[serde(default, deserialize_with = "location")]
        location: Option<String>,
    },
    /// Responds with 429 if one caller sends more than `per_minute` requests in a minute of the emulated clock.
    RateLimit {
        per_minute: NonZeroU32,
        #[serde(default)]
        retry_after: RetryAfter,
    },

    /// Ends the connection with a TCP reset.
    Reset {
        at: ResetAt,
        /// With `at = "body"`: the amount of the response body to send first.
        #[serde(default)]
        after: Amount,
    },
    /// Serves the request, and then resets the connection instead of sending the response.
    LostAnswer,
    /// Stops reading the request body after an amount, and keeps the connection open.
    StallUpload {
        #[serde(default)]
        after: Amount,
    },
    /// Resets the connection after an amount of the request body.
    CutUpload {
        #[serde(default)]
        after: Amount,
    },
    /// Stops sending the response body after an amount, and keeps the connection open.
    StallDownload {
        #[serde(default)]
        after: Amount,
    },
    /// Closes the connection after an amount of the response body.
    CutDownload {
        #[serde(default)]
        after: Amount,
    },

    /// Cuts the body off, with a `Content-Length` that fits the rest. With `of = "request"`: stores a shorter upload.
    Truncate {
        keep: Amount,
        #[serde(default)]
        of: Direction,
    },
    /// Sends the response without its body, with `Content-Length: 0`.
    EmptyBody,
    /// Changes one byte of the body, at an offset from 0.
    Corrupt {
        #[serde(default)]
        at: u64,
        #[serde(default)]
        of: Direction,
    },
    /// Limits the rate at which the body is sent or read.
    Slow {
        bytes_per_second: NonZeroU32,
        #[serde(default)]
        of: Direction,
    },

    /// PubNub and Files.com: treats the presigned URL or form of the request as expired.
    ExpiredUrl,
    /// Files.com: forgets the multipart upload that the request belongs to.
    StaleRef,
    /// Files.com: replaces the file by another one of the same size before its download URL is created.
    ReplacedFile,
    /// PubNub and Files.com: the storage sends an ETag that is not the digest of the content.
    WrongEtag,

    /// file.io: behaves as the first generation of the API.
    Gen1,
    /// file.io: redirects browsers to the landing page.
    Landing,
    /// file.io: sends downloads without `Content-Disposition`.
    NoDisposition,
    /// file.io: sets the effect of `HEAD`.
    Head(HeadPolicy),
    /// file.io: gives all callers this plan.
    Plan(Plan),
    /// file.io: reduces values beyond the free plan to its limits instead of rejecting them.
    Clamp,
    /// file.io: counts a download when its last byte is sent, not when it starts.
    CountAtCompletion,
}

impl Fault {
    /// Returns the fault for the nth matching request, with `{nth}` replaced. So the pages of a listing, for example,
    /// can have different cursors.
    pub(super) fn numbered(mut self, nth: u64) -> Self {
        if let Self::Status { text, headers, .. } = &mut self {
            if let Some(text) = text.as_mut().filter(|text| text.contains(NTH)) {
                *text = text.replace(NTH, &nth.to_string());
            }
            for value in headers.values_mut() {
                let text = value.to_str().ok().filter(|text| text.contains(NTH));
                if let Some(numbered) = text.and_then(|text| text.replace(NTH, &nth.to_string()).parse().ok()) {
                    *value = numbered;
                }
            }
        }
        self
    }

    /// Returns the name of the fault in fault files.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Fault::Latency { .. } => "latency",
            Fault::Status { .. } => "status",
            Fault::Html { .. } => "html",
            Fault::Redirect { .. } => "redirect",
            Fault::RateLimit { .. } => "rate-limit",
            Fault::Reset { .. } => "reset",
            Fault::LostAnswer => "lost-answer",
            Fault::StallUpload { .. } => "stall-upload",
            Fault::CutUpload { .. } => "cut-upload",
            Fault::StallDownload { .. } => "stall-download",
            Fault::CutDownload { .. } => "cut-download",
            Fault::Truncate { .. } => "truncate",
            Fault::EmptyBody => "empty-body",
            Fault::Corrupt { .. } => "corrupt",
            Fault::Slow { .. } => "slow",
            Fault::ExpiredUrl => "expired-url",
            Fault::StaleRef => "stale-ref",
            Fault::ReplacedFile => "replaced-file",
            Fault::WrongEtag => "wrong-etag",
            Fault::Gen1 => "gen1",
            Fault::Landing => "landing",
            Fault::NoDisposition => "no-disposition",
            Fault::Head(_) => "head",
            Fault::Plan(_) => "plan",
            Fault::Clamp => "clamp",
            Fault::CountAtCompletion => "count-at-completion",
        }
    }

    /// Returns `true` if this fault can affect an operation. A rule for any other operation would never fire, and a
    /// test with it would prove nothing.
    pub(super) fn fits(&self, service: ServiceName, operation: &Operation) -> bool {
        let of_fileio = |names: &[&str]| service == ServiceName::Fileio && names.contains(&operation.name);
        match self {
            Fault::Status { kind: Some(_), .. } => service == ServiceName::Filescom,
            Fault::Landing | Fault::CountAtCompletion => of_fileio(&["download"]),
            Fault::NoDisposition => of_fileio(&["download", "head"]),
            Fault::Head(_) => of_fileio(&["head"]),
            Fault::Clamp => of_fileio(&["upload", "replace", "update"]),
            Fault::Gen1 | Fault::Plan(_) => service == ServiceName::Fileio,
            Fault::StallUpload { .. }
            | Fault::CutUpload { .. }
            | Fault::Truncate { of: Direction::Request, .. }
            | Fault::Corrupt { of: Direction::Request, .. }
            | Fault::Slow { of: Direction::Request, .. } => operation.carries_content,
            Fault::ExpiredUrl | Fault::WrongEtag => {
                service != ServiceName::Fileio && matches!(operation.name, "upload" | "download")
            }
            Fault::StaleRef => service == ServiceName::Filescom && operation.name == "upload",
            Fault::ReplacedFile => service == ServiceName::Filescom && operation.name == "download",
            _ => true,
        }
    }

    /// Returns `true` if this fault can affect a step of an operation that it fits. At PubNub, faults of content affect
    /// the requests to the storage, not those that create forms and presigned URLs.
    pub(super) fn fits_step(&self, service: ServiceName, step: Option<&str>) -> bool {
        let of_content = matches!(
            self,
            Fault::ExpiredUrl
                | Fault::WrongEtag
                | Fault::Truncate { of: Direction::Request, .. }
                | Fault::Corrupt { of: Direction::Request, .. }
        );
        let is_signing = matches!(step, Some("generate-upload-url" | "publish" | "url"));
        !(of_content && is_signing && service == ServiceName::Pubnub)
    }
}

/// The time of a reset.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResetAt {
    /// After the head of the request is read. The service does not get the request.
    Request,
    /// After the whole request is read. The service does not get the request.
    RequestBody,
    /// After the headers of the response. The service has processed the request.
    Headers,
    /// Within the body of the response. The service has processed the request.
    Body,
}

/// The body that a fault changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// The request body, or the file in it.
    Request,
    /// The response body.
    #[default]
    Response,
}

/// The form of `Retry-After`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RetryAfter {
    #[default]
    Absent,
    Seconds,
    Date,
}

/// The effect of `HEAD` at file.io.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HeadPolicy {
    /// Sends the headers and counts no download.
    #[default]
    Keep,
    /// Counts as a download, as in services that route `HEAD` to the `GET` handler.
    Consume,
    /// Responds with 405.
    Reject,
}

/// A plan of file.io.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Plan {
    Free,
    Paid,
}

/// An amount of a body: a number of bytes, or a percentage as text such as `"50%"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AmountText")]
pub(crate) enum Amount {
    Bytes(u64),
    Percent(u8),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes or a percentage like \"50%\"")]
enum AmountText {
    Bytes(u64),
    Percent(String),
}

impl Amount {
    /// Returns the number of bytes, of a body of `length` bytes. A percentage of an unknown length is 0.
    pub(crate) fn of(self, length: Option<u64>) -> u64 {
        match self {
            Amount::Bytes(bytes) => bytes,
            Amount::Percent(percent) => {
                let share = u128::from(length.unwrap_or(0)) * u128::from(percent) / 100;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Default for Amount {
    fn default() -> Self {
        Amount::Percent(50)
    }
}

impl TryFrom<AmountText> for Amount {
    type Error = &'static str;

    fn try_from(text: AmountText) -> Result<Self, Self::Error> {
        match text {
            AmountText::Bytes(bytes) => Ok(Amount::Bytes(bytes)),
            AmountText::Percent(text) => text
                .strip_suffix('%')
                .and_then(|percent| percent.parse().ok())
                .filter(|percent| *percent <= 100)
                .map(Amount::Percent)
                .ok_or("expected a number of bytes or a percentage from \"0%\" to \"100%\""),
        }
    }
}

fn internal_server_error() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

fn moved_permanently() -> StatusCode {
    StatusCode::MOVED_PERMANENTLY
}

/// Parses a probability from 0 to 1.
fn probability<'de, D: Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    let share = f64::deserialize(value)?;
    if (0.0..=1.0).contains(&share) {
        Ok(Some(share))
    } else {
        Err(D::Error::custom("expected a probability from 0 to 1"))
    }
}

/// Parses a time such as `"250ms"`, `"2s"` or `"1m 30s"`.
fn delay<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|delay| Duration::try_from(delay).ok())
        .ok_or_else(|| D::Error::custom("expected a time like \"250ms\", \"2s\" or \"1m 30s\""))
}

/// Parses a status from 200 to 999.
fn status<'de, D: Deserializer<'de>>(value: D) -> Result<StatusCode, D::Error> {
    let code = u16::deserialize(value)?;
    StatusCode::from_u16(code)
        .ok()
        .filter(|code| !code.is_informational())
        .ok_or_else(|| D::Error::custom("expected an HTTP status from 200 to 999"))
}

/// Parses a location. It must be a valid header value; the text that replaces `{path}` always is one.
fn location<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(value)?;
    match HeaderValue::try_from(&text) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(D::Error::custom("expected a URL that can be sent in a header")),
    }
}

fn headers<'de, D: Deserializer<'de>>(value: D) -> Result<HeaderMap, D::Error> {
    BTreeMap::<String, String>::deserialize(value)?
        .into_iter()
        .map(|(name, value)| {
            let parsed = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
            match parsed {
                (Ok(name), Ok(value)) => Ok((name, value)),
                _ => Err(D::Error::custom(format!("{name:?} is not a valid header"))),
            }
        })
        .collect()
}
