//! The terms of a file: its expiry, its number of downloads, and whether it is deleted afterwards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Generation;
use super::error::Rejection;
use super::expiry::{Expiry, one_year_after};
use crate::faults::Plan;

/// The terms of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// `None`: never.
    pub(super) expires: Option<Timestamp>,
    /// `None`: unlimited.
    pub(super) max_downloads: Option<u64>,
    /// `true` if the file is deleted when it has expired or has no downloads left.
    pub(super) auto_delete: bool,
}

/// The fields of a request that set the terms, as text.
#[derive(Clone, Debug, Default)]
pub(super) struct TermFields {
    pub(super) expires: Option<String>,
    pub(super) max_downloads: Option<String>,
    pub(super) auto_delete: Option<String>,
}

/// The limits for the terms of a file, and what else the meaning of the fields depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) plan: Plan,
    pub(super) generation: Generation,
    /// `true` if values beyond the free plan are reduced to its limits instead of rejected.
    pub(super) clamp: bool,
    pub(super) now: Timestamp,
}

impl Terms {
    /// Returns the terms of an upload at `now` without any of the fields.
    pub(super) fn default_at(now: Timestamp) -> Self {
        Terms { expires: Expiry::DEFAULT.from(now), max_downloads: Some(1), auto_delete: true }
    }

    /// Returns these terms with the fields applied, within the limits.
    pub(super) fn with(mut self, fields: &TermFields, limits: Limits) -> Result<Self, Rejection> {
        let defaults = Terms::default_at(limits.now);
        let paid = limits.plan == Plan::Paid;
        match field_value(&fields.expires) {
            FieldValue::Absent => {}
            // The most used client sends an empty field for "never". On the free plan the default applies instead.
            FieldValue::Empty => self.expires = if paid { None } else { defaults.expires },
            FieldValue::Text(text) => self.expires = Some(expires(text, limits)?),
        }
        match field_value(&fields.max_downloads) {
            FieldValue::Absent => {}
            FieldValue::Empty => self.max_downloads = if paid { None } else { defaults.max_downloads },
            FieldValue::Text(text) => self.max_downloads = Some(max_downloads(text)?),
        }
        match field_value(&fields.auto_delete) {
            FieldValue::Absent => {}
            FieldValue::Empty => self.auto_delete = !paid,
            FieldValue::Text(text) => self.auto_delete = auto_delete(text)?,
        }
        if paid { Ok(self) } else { self.within_free_plan(limits) }
    }

    /// Returns these terms if the free plan allows them. Otherwise reduces or rejects them.
    fn within_free_plan(self, limits: Limits) -> Result<Self, Rejection> {
        let latest = one_year_after(limits.now);
        let allowed = Terms {
            expires: match self.expires {
                Some(end) if latest.is_none_or(|latest| end <= latest) => Some(end),
                _ => latest,
            },
            max_downloads: Some(1),
            auto_delete: true,
        };
        if limits.clamp || self == allowed {
            return Ok(allowed);
        }
        let message = if self.max_downloads != allowed.max_downloads {
            "Your plan allows one download per file"
        } else if self.auto_delete != allowed.auto_delete {
            "Your plan deletes files after their download"
        } else {
            "Your plan keeps files for one year at most"
        };
        Err(Rejection::PaymentRequired(message.into()))
    }
}

/// The value of a field.
enum FieldValue<'a> {
    Absent,
    Empty,
    Text(&'a str),
}

fn field_value(text: &Option<String>) -> FieldValue<'_> {
    match text.as_deref() {
        // Scripts send these texts for variables that they never set.
        None | Some("undefined" | "null") => FieldValue::Absent,
        Some("") => FieldValue::Empty,
        Some(text) => FieldValue::Text(text),
    }
}

fn expires(text: &str, limits: Limits) -> Result<Timestamp, Rejection> {
    Expiry::parse(text, limits.generation)
        .ok_or_else(|| Rejection::bad("expires must be a period like 14d or a time in ISO 8601"))?
        .from(limits.now)
        .ok_or_else(|| Rejection::bad("expires must be in the future"))
}

fn max_downloads(text: &str) -> Result<u64, Rejection> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(max) if max > 0 && digits_only => Ok(max),
        _ => Err(Rejection::bad("maxDownloads must be a whole number of at least 1")),
    }
}

fn auto_delete(text: &str) -> Result<bool, Rejection> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Rejection::bad("autoDelete must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed_terms(expires: &str, max_downloads: &str, auto_delete: &str, plan: Plan) -> Result<Terms, String> {
        let fields = TermFields {
            expires: Some(expires.to_owned()),
            max_downloads: Some(max_downloads.to_owned()),
            auto_delete: Some(auto_delete.to_owned()),
        };
        let limits = Limits { plan, generation: Generation::Second, clamp: false, now: Timestamp::UNIX_EPOCH };
        Terms::default_at(limits.now).with(&fields, limits).map_err(|rejection| rejection.to_string())
    }

    #[test]
    fn texts_of_unset_variables_mean_the_defaults_on_every_plan() {
        for plan in [Plan::Free, Plan::Paid] {
            for text in ["undefined", "null"] {
                assert_eq!(parsed_terms(text, text, text, plan).unwrap(), Terms::default_at(Timestamp::UNIX_EPOCH));
            }
        }
    }

    #[test]
    fn empty_fields_lift_the_limits_of_paying_clients_only() {
        let lifted = Terms { expires: None, max_downloads: None, auto_delete: false };
        assert_eq!(parsed_terms("", "", "", Plan::Paid).unwrap(), lifted);
        assert_eq!(parsed_terms("", "", "", Plan::Free).unwrap(), Terms::default_at(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_free_plan_allows_one_download_and_one_year_and_deletes_the_file() {
        assert!(parsed_terms("1y", "1", "TRUE", Plan::Free).is_ok());
        assert!(parsed_terms("366d", "1", "true", Plan::Free).unwrap_err().contains("one year"));
        assert!(parsed_terms("1d", "2", "true", Plan::Free).unwrap_err().contains("one download"));
        assert!(parsed_terms("1d", "1", "0", Plan::Free).unwrap_err().contains("deletes"));
        assert!(parsed_terms("2y", "2", "false", Plan::Paid).is_ok());
    }

    #[test]
    fn wrong_values_are_rejected() {
        for (expires, max, delete) in
            [("1x", "1", "true"), ("1d", "0", "true"), ("1d", "+1", "true"), ("1d", "1.0", "true"), ("1d", "1", "yes")]
        {
            assert!(parsed_terms(expires, max, delete, Plan::Paid).is_err());
        }
    }
}
