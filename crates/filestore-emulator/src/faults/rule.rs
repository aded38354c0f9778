//! The fault file as data: what a rule matches and what it does.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::service::{Operation, ServiceName};

/// One rule: `do` to the requests that everything else matches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// What the journal calls it; absent, the kind of fault.
    pub(super) name: Option<String>,
    pub(super) service: Option<ServiceName>,
    pub(super) operation: Option<String>,
    /// For operations that take several requests: which of them.
    pub(super) step: Option<String>,
    /// For uploads in parts: which of them, from 1.
    pub(super) part: Option<NonZeroU32>,
    pub(super) key: Option<String>,
    /// Only the nth matching request, from 1, counted for each operation, step and part apart.
    pub(super) nth: Option<NonZeroU64>,
    #[serde(default, deserialize_with = "probability")]
    pub(super) probability: Option<f64>,
    /// At most so many times.
    pub(super) times: Option<NonZeroU64>,
    #[serde(rename = "do")]
    pub(super) fault: Fault,
}

/// The placeholder of [`Fault::numbered`].
const NTH: &str = "{nth}";

/// Everything that can be different from a service that works.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// Wait before anything else happens.
    Latency {
        #[serde(deserialize_with = "delay")]
        delay: Duration,
    },

    /// Answer so, instead of doing what was asked. In the text and in values of headers `{nth}` stands for the
    /// number of the matching request.
    Status {
        #[serde(deserialize_with = "status")]
        code: StatusCode,
        /// Files.com: which of its errors of that status; for a step of the storage, the code in its XML.
        #[serde(rename = "type")]
        kind: Option<String>,
        /// Absent: the service's own error of that status.
        text: Option<String>,
        #[serde(default, deserialize_with = "headers")]
        headers: HeaderMap,
    },
    /// Answer with a page, as proxies and a service that is gone do.
    Html {
        #[serde(default = "internal_server_error", deserialize_with = "status")]
        code: StatusCode,
        text: Option<String>,
    },
    /// Send the client to another place; `{path}` stands for the path and query asked for.
    Redirect {
        #[serde(default = "moved_permanently", deserialize_with = "status")]
        code: StatusCode,
        #[serde(default, deserialize_with = "location")]
        location: Option<String>,
    },
    /// 429 for more than so many requests a minute of one caller.
    RateLimit {
        per_minute: NonZeroU32,
        #[serde(default)]
        retry_after: RetryAfter,
    },

    /// End the connection with a TCP reset.
    Reset {
        at: ResetAt,
        /// With `at = "body"`: after so much of the answer.
        #[serde(default)]
        after: Amount,
    },
    /// Do what was asked, then reset the connection instead of answering.
    LostAnswer,
    /// Stop reading the request's body there, and keep the connection open.
    StallUpload {
        #[serde(default)]
        after: Amount,
    },
    /// Reset the connection there in the request's body.
    CutUpload {
        #[serde(default)]
        after: Amount,
    },
    /// Stop sending the answer's body there, and keep the connection open.
    StallDownload {
        #[serde(default)]
        after: Amount,
    },
    /// Close the connection there in the answer's body.
    CutDownload {
        #[serde(default)]
        after: Amount,
    },

    /// A shorter body that looks complete.
    Truncate {
        keep: Amount,
        #[serde(default)]
        of: Direction,
    },
    /// An answer without body that looks complete.
    EmptyBody,
    /// One byte of the body is another one.
    Corrupt {
        #[serde(default)]
        at: u64,
        #[serde(default)]
        of: Direction,
    },
    /// The body moves at this pace.
    Slow {
        bytes_per_second: NonZeroU32,
        #[serde(default)]
        of: Direction,
    },

    /// PubNub and Files.com: the signed URL or form that the request uses has expired.
    ExpiredUrl,
    /// Files.com: the upload that the request belongs to is not known any more.
    StaleRef,
    /// Files.com: somebody replaces the file before its URL is made, by one of the same size.
    ReplacedFile,
    /// PubNub and Files.com: the storage gives an ETag that is not the digest of the content.
    WrongEtag,

    /// file.io: the first generation of the API.
    Gen1,
    /// file.io: browsers are sent to the landing page.
    Landing,
    /// file.io: a download without `Content-Disposition`.
    NoDisposition,
    /// file.io: what `HEAD` does to a file.
    Head(HeadPolicy),
    /// file.io: everybody has this plan.
    Plan(Plan),
    /// file.io: what goes beyond the free plan is lowered to it instead of rejected.
    Clamp,
    /// file.io: a download counts when its last byte was handed over, not when it starts.
    CountAtCompletion,
}

impl Fault {
    /// What it does to the nth matching request: scripted answers need not be alike, as pages of a listing
    /// that each have a cursor of their own.
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

    /// Whether this fault can do something to an operation. A rule for any other would never
    /// fire, and its test would prove nothing.
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

    /// Whether this fault can do something to one step of an operation that it fits: what is
    /// done to content happens where PubNub's storage is asked, not where it is signed for.
    pub(super) fn fits_step(&self, service: ServiceName, step: Option<&str>) -> bool {
        let of_content = matches!(
            self,
            Fault::ExpiredUrl
                | Fault::WrongEtag
                | Fault::Truncate { of: Direction::Request, .. }
                | Fault::Corrupt { of: Direction::Request, .. }
        );
        let signs = matches!(step, Some("generate-upload-url" | "publish" | "url"));
        !(of_content && signs && service == ServiceName::Pubnub)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResetAt {
    /// As soon as the request's head was read: nothing happens.
    Request,
    /// When the whole request was read: nothing happens.
    RequestBody,
    /// When the answer's headers are out: what was asked has happened.
    Headers,
    /// In the middle of the answer's body.
    Body,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// The content of an uploaded file.
    Request,
    #[default]
    Response,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RetryAfter {
    #[default]
    Absent,
    Seconds,
    Date,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HeadPolicy {
    /// Headers only, nothing consumed.
    #[default]
    Keep,
    /// Counts as a download, as where `HEAD` is routed to the `GET` handler.
    Consume,
    /// 405.
    Reject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Plan {
    Free,
    Paid,
}

/// How much of a body: a number of bytes, or a percentage as text, `"50%"`.
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
    /// The bytes that this is of a body, which may not know its length: then 0.
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

/// A share of the matching requests, from 0 to 1.
fn probability<'de, D: Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    let share = f64::deserialize(value)?;
    if (0.0..=1.0).contains(&share) {
        Ok(Some(share))
    } else {
        Err(D::Error::custom("expected a probability from 0 to 1"))
    }
}

/// `"250ms"`, `"2s"`, `"1m 30s"`.
fn delay<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|delay| Duration::try_from(delay).ok())
        .ok_or_else(|| D::Error::custom("expected a time like \"250ms\", \"2s\" or \"1m 30s\""))
}

fn status<'de, D: Deserializer<'de>>(value: D) -> Result<StatusCode, D::Error> {
    let code = u16::deserialize(value)?;
    StatusCode::from_u16(code)
        .ok()
        .filter(|code| !code.is_informational())
        .ok_or_else(|| D::Error::custom("expected an HTTP status from 200 to 999"))
}

/// Whatever takes the place of `{path}` is a valid header value already.
fn location<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(value)?;
    match HeaderValue::try_from(&text) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(D::Error::custom("expected a URL")),
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
