//! The terms under which a file is kept: until when, for how many downloads, and what then.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Generation;
use super::error::Rejection;
use super::expiry::{Expiry, one_year_after};
use crate::faults::Plan;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// `None`: never.
    pub(super) expires: Option<Timestamp>,
    /// `None`: unlimited.
    pub(super) max_downloads: Option<u64>,
    pub(super) auto_delete: bool,
}

/// What a client says about the terms, as text from whatever shape the request had.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) expires: Option<String>,
    pub(super) max_downloads: Option<String>,
    pub(super) auto_delete: Option<String>,
}

/// Whose terms they are to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) plan: Plan,
    pub(super) generation: Generation,
    /// Lower what goes beyond the free plan, instead of rejecting it.
    pub(super) clamp: bool,
    pub(super) now: Timestamp,
}

impl Terms {
    pub(super) fn default_at(now: Timestamp) -> Self {
        Terms { expires: Expiry::DEFAULT.from(now), max_downloads: Some(1), auto_delete: true }
    }

    /// These terms with the wishes applied, within what the plan allows.
    pub(super) fn with(mut self, wishes: &Wishes, rules: Rules) -> Result<Self, Rejection> {
        let defaults = Terms::default_at(rules.now);
        let paid = rules.plan == Plan::Paid;
        match wish(&wishes.expires) {
            Wish::Nothing => {}
            // The most used client says "never" so; on the free plan it can only mean "as usual".
            Wish::Empty => self.expires = if paid { None } else { defaults.expires },
            Wish::Value(text) => self.expires = Some(expires(text, rules)?),
        }
        match wish(&wishes.max_downloads) {
            Wish::Nothing => {}
            Wish::Empty => self.max_downloads = if paid { None } else { defaults.max_downloads },
            Wish::Value(text) => self.max_downloads = Some(max_downloads(text)?),
        }
        match wish(&wishes.auto_delete) {
            Wish::Nothing => {}
            Wish::Empty => self.auto_delete = !paid,
            Wish::Value(text) => self.auto_delete = auto_delete(text)?,
        }
        if paid { Ok(self) } else { self.within_free_plan(rules) }
    }

    fn within_free_plan(self, rules: Rules) -> Result<Self, Rejection> {
        let latest = one_year_after(rules.now);
        let allowed = Terms {
            expires: match self.expires {
                Some(end) if latest.is_none_or(|latest| end <= latest) => Some(end),
                _ => latest,
            },
            max_downloads: Some(1),
            auto_delete: true,
        };
        if rules.clamp || self == allowed {
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

enum Wish<'a> {
    Nothing,
    Empty,
    Value(&'a str),
}

fn wish(text: &Option<String>) -> Wish<'_> {
    match text.as_deref() {
        // Scripts send the text of a variable that they never set.
        None | Some("undefined" | "null") => Wish::Nothing,
        Some("") => Wish::Empty,
        Some(text) => Wish::Value(text),
    }
}

fn expires(text: &str, rules: Rules) -> Result<Timestamp, Rejection> {
    Expiry::parse(text, rules.generation)
        .ok_or_else(|| Rejection::bad("expires must be a period like 14d or a time in ISO 8601"))?
        .from(rules.now)
        .ok_or_else(|| Rejection::bad("expires must lie in the future"))
}

fn max_downloads(text: &str) -> Result<u64, Rejection> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(max) if max > 0 && digits_only => Ok(max),
        _ => Err(Rejection::bad("maxDownloads must be a number from 1")),
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

    fn limits(expires: &str, max_downloads: &str, auto_delete: &str, plan: Plan) -> Result<Terms, String> {
        let wishes = Wishes {
            expires: Some(expires.to_owned()),
            max_downloads: Some(max_downloads.to_owned()),
            auto_delete: Some(auto_delete.to_owned()),
        };
        let rules = Rules { plan, generation: Generation::Second, clamp: false, now: Timestamp::UNIX_EPOCH };
        Terms::default_at(rules.now).with(&wishes, rules).map_err(|rejection| rejection.to_string())
    }

    #[test]
    fn unset_variables_are_defaults_on_every_plan() {
        for plan in [Plan::Free, Plan::Paid] {
            for text in ["undefined", "null"] {
                assert_eq!(limits(text, text, text, plan).unwrap(), Terms::default_at(Timestamp::UNIX_EPOCH));
            }
        }
    }

    #[test]
    fn empty_fields_lift_the_limits_of_paying_clients_only() {
        let lifted = Terms { expires: None, max_downloads: None, auto_delete: false };
        assert_eq!(limits("", "", "", Plan::Paid).unwrap(), lifted);
        assert_eq!(limits("", "", "", Plan::Free).unwrap(), Terms::default_at(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_free_plan_ends_at_one_download_deletion_and_a_year() {
        assert!(limits("1y", "1", "TRUE", Plan::Free).is_ok());
        assert!(limits("366d", "1", "true", Plan::Free).unwrap_err().contains("one year"));
        assert!(limits("1d", "2", "true", Plan::Free).unwrap_err().contains("one download"));
        assert!(limits("1d", "1", "0", Plan::Free).unwrap_err().contains("deletes"));
        assert!(limits("2y", "2", "false", Plan::Paid).is_ok());
    }

    #[test]
    fn wrong_values_are_rejected() {
        for (expires, max, delete) in
            [("1x", "1", "true"), ("1d", "0", "true"), ("1d", "+1", "true"), ("1d", "1.0", "true"), ("1d", "1", "yes")]
        {
            assert!(limits(expires, max, delete, Plan::Paid).is_err());
        }
    }
}
