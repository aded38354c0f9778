//! The terms of an upload or update, and the check of the response against them.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Expiry, Period, PeriodUnit, Result, Upload};
use filestore_http::Form;
use jiff::{SignedDuration, Timestamp};

use crate::account::FileIoFile;
use crate::options::{FileIoUpload, MaxDownloads};

/// The tolerance for rounding, because the service stores milliseconds. A larger difference is another expiry.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// The options of an upload or update, in the form that the service has for them.
#[derive(Debug, Default)]
pub(crate) struct UploadTerms {
    pub(crate) expiration: Expiration,
    pub(crate) max_downloads: Option<MaxDownloads>,
    pub(crate) auto_delete: Option<bool>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    /// The media type, if the caller has set it.
    pub(crate) content_type: Option<String>,
}

/// The requested expiry of a file.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Expiration {
    /// The default of the service.
    #[default]
    Default,
    Never,
    For(Duration),
    Until(Timestamp),
}

impl Expiration {
    /// Converts `expiry`. Calendar units become the number of days that they have from `now` on: it is unknown whether
    /// the service adds a calendar month or 30 days, and old servers read `m` as months.
    pub(crate) fn of(expiry: Expiry, now: Timestamp) -> Result<Self> {
        Ok(match expiry {
            Expiry::Never => Self::Never,
            Expiry::After(period) => Self::For(period.duration(now)?),
            Expiry::At(instant) if instant <= now => {
                return Err(Error::invalid(format!("the expiry {instant} is in the past; choose a later one")));
            }
            Expiry::At(instant) => Self::Until(instant),
            _ => Self::Default,
        })
    }

    /// Returns the value of the field `expires`, or `None` to leave it out. An empty value means never.
    pub(crate) fn form_value(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::Never => Some(String::new()),
            Self::For(duration) => {
                let seconds = duration.as_secs();
                Some(if seconds.is_multiple_of(86_400) {
                    format!("{}d", seconds / 86_400)
                } else if seconds.is_multiple_of(3600) {
                    format!("{}h", seconds / 3600)
                } else {
                    format!("{seconds}s")
                })
            }
            Self::Until(instant) => Some(format!("{instant:.3}")),
        }
    }
}

impl Expiration {
    /// Returns the instants at which the file may expire, counted from each of `starts`; none if they are unknown.
    fn ends(&self, starts: &[Option<Timestamp>]) -> Vec<Timestamp> {
        match self {
            Self::Until(instant) => vec![*instant],
            Self::For(duration) => {
                starts.iter().flatten().filter_map(|start| start.checked_add(*duration).ok()).collect()
            }
            Self::Default | Self::Never => Vec::new(),
        }
    }
}

impl UploadTerms {
    pub(crate) fn of(upload: &Upload, now: Timestamp) -> Result<Self> {
        let options = upload.options.get::<FileIoUpload>().unwrap_or_default();
        Ok(Self {
            expiration: Expiration::of(upload.expiry, now)?,
            max_downloads: options.max_downloads,
            auto_delete: options.auto_delete,
            title: options.title,
            description: None,
            content_type: upload.content_type.clone(),
        })
    }

    /// Fails with *unsupported* if the service certainly rejects the terms without an account.
    pub(crate) fn check_free_plan(&self, now: Timestamp) -> Result<()> {
        // The longest lifetime is a year of the calendar.
        let last = Period::new(1, PeriodUnit::Years)?.after(now)?;
        let end = self.expiration.ends(&[Some(now)]).pop();
        let problem = if self.max_downloads.is_some_and(|max| max.times() != Some(1)) {
            "more than one download"
        } else if self.auto_delete == Some(false) {
            "keeping a file after its last download (auto_delete = false)"
        } else if self.expiration == Expiration::Never {
            "a file that never expires"
        } else if end.is_some_and(|end| end > last) {
            "an expiry of more than one year"
        } else {
            return Ok(());
        };
        Err(Error::unsupported(format!(
            "{problem} needs an account with a paid plan; set api_key, or leave this option out"
        )))
    }

    /// Returns the options as fields of a form. The file comes after them.
    pub(crate) fn form(&self) -> Form {
        let max_downloads = self.max_downloads;
        #[cfg(planted_bugs)]
        let max_downloads = max_downloads.filter(|_| !filestore_core::planted_bug("option-ignored"));
        let fields = [
            ("expires", self.expiration.form_value()),
            ("maxDownloads", max_downloads.map(MaxDownloads::form_value)),
            ("autoDelete", self.auto_delete.map(|flag| flag.to_string())),
        ];
        fields.into_iter().fold(Form::new(), |form, (name, value)| match value {
            Some(value) => form.field(name, value),
            None => form,
        })
    }

    /// Fails with *integrity*, and with the stored file, if the service reports another size than was sent.
    pub(crate) fn check_size(&self, stored: &FileIoFile, sent: Option<u64>) -> Result<()> {
        match (sent, stored.file.size) {
            (Some(sent), Some(size)) if sent != size => {
                let message = format!(
                    "{sent} bytes were sent, but the service reports that it stored {size} bytes; upload the file again"
                );
                Err(Error::new(ErrorKind::Integrity, Effect::Applied, message).with_stored(stored.file.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Describes a requested protection (expiry, limit of downloads, `auto_delete`) that is missing or not confirmed, so
    /// that the file may be read longer or more often.
    ///
    /// Responses of generation 1 have no times and no options, only an expiry in words.
    pub(crate) fn missing_protection(&self, stored: &FileIoFile, starts: &[Option<Timestamp>]) -> Option<String> {
        let requested = self.expiration.form_value().unwrap_or_default();
        let is_longer = match (stored.file.expiry, stored.lifetime_in_words()) {
            _ if !matches!(self.expiration, Expiration::For(_) | Expiration::Until(_)) => false,
            (Expiry::At(end), _) => {
                self.expiration.ends(starts).iter().max().is_none_or(|last| end.duration_since(*last) > ROUNDING)
            }
            (Expiry::Never, _) => true,
            (_, Some((shortest, _))) => self.longest(starts).is_none_or(|longest| shortest > longest),
            (_, None) => return Some(format!("the service does not confirm the expiry of {requested}")),
        };
        if is_longer {
            let actual = match &stored.expiry_in_words {
                Some(words) if stored.file.expiry == Expiry::Default => format!("{words:?}"),
                _ => stored.file.expiry.to_string(),
            };
            return Some(format!("its expiry is {actual} instead of {requested}"));
        }
        if let Some(max) = self.max_downloads.and_then(MaxDownloads::times) {
            match stored.max_downloads {
                Some(actual) if actual.times().is_none_or(|times| times > max) => {
                    return Some(format!("it allows {} downloads instead of {max}", times_or_unlimited(actual)));
                }
                // No limit is 0: it may mean that there is none.
                None | Some(MaxDownloads::Times(0)) => {
                    return Some(format!("the service does not confirm the limit of {max} downloads"));
                }
                Some(_) => {}
            }
        }
        match (self.auto_delete, stored.auto_delete) {
            (Some(true), Some(false)) => Some("its auto_delete is false instead of true".to_owned()),
            (Some(true), None) => Some("the service does not confirm that auto_delete is true".to_owned()),
            _ => None,
        }
    }

    /// Returns the documented defaults of the service that apply to a file of these terms and that the response does not
    /// confirm.
    pub(crate) fn unconfirmed_defaults(&self, stored: &FileIoFile) -> Vec<&'static str> {
        let is_for_one_download = stored.max_downloads == Some(MaxDownloads::Times(1));
        let expires = matches!(stored.file.expiry, Expiry::At(_)) || stored.lifetime_in_words().is_some();
        let defaults = [
            ("that it allows one download", self.max_downloads.is_none() && !is_for_one_download),
            ("that it is deleted after that", self.auto_delete.is_none() && stored.auto_delete != Some(true)),
            ("that it expires", self.expiration == Expiration::Default && !expires),
        ];
        defaults.into_iter().filter(|(_, is_unconfirmed)| *is_unconfirmed).map(|(name, _)| name).collect()
    }

    /// Warns of the documented defaults that the response does not confirm. The caller has not requested them, so the
    /// file stays.
    pub(crate) fn warn_of_defaults(&self, stored: &FileIoFile) {
        let unconfirmed = self.unconfirmed_defaults(stored);
        if !unconfirmed.is_empty() {
            tracing::warn!(
                "the service does not confirm {}, as its documentation says of a file without other options: the file \
                 may be read more often or longer",
                unconfirmed.join(", ")
            );
        }
    }

    /// Returns the longest requested lifetime, if it is limited.
    fn longest(&self, starts: &[Option<Timestamp>]) -> Option<SignedDuration> {
        match self.expiration {
            Expiration::For(duration) => SignedDuration::try_from(duration).ok(),
            Expiration::Until(instant) => starts.iter().flatten().min().map(|start| instant.duration_since(*start)),
            Expiration::Default | Expiration::Never => None,
        }
    }

    /// Returns the shortest requested lifetime, if it is limited.
    fn shortest(&self, starts: &[Option<Timestamp>]) -> Option<SignedDuration> {
        match self.expiration {
            Expiration::Until(instant) => starts.iter().flatten().max().map(|start| instant.duration_since(*start)),
            _ => self.longest(starts),
        }
    }

    /// Returns the other options that the service did not apply.
    pub(crate) fn ignored(&self, stored: &FileIoFile, starts: &[Option<Timestamp>]) -> Vec<&'static str> {
        let file = &stored.file;
        let is_generation_2 = stored.is_generation_2;
        let ends = self.expiration.ends(starts);
        let is_shorter = match file.expiry {
            Expiry::At(end) => {
                self.expiration == Expiration::Never
                    || ends.iter().min().is_some_and(|first| first.duration_since(end) > ROUNDING)
            }
            // Generation 1, in words. A missing expiry is not confirmed.
            Expiry::Default if !is_generation_2 => match (self.shortest(starts), stored.lifetime_in_words()) {
                (Some(requested), Some((_, longest))) => longest < requested,
                (requested, words) => requested.is_some() && words.is_none() || self.expiration == Expiration::Never,
            },
            _ => self.expiration == Expiration::Never && file.expiry != Expiry::Never,
        };
        // A response need not have the media type.
        let content_type = file.content_type.is_some() && differs(&self.content_type, &file.content_type);
        // An option that the response does not have is not confirmed.
        let max_downloads = self
            .max_downloads
            .is_some_and(|max| stored.max_downloads.is_none_or(|actual| max.times() != actual.times()));
        let all = [
            ("expiry", is_shorter),
            ("max_downloads", max_downloads),
            ("auto_delete", self.auto_delete.is_some() && self.auto_delete != stored.auto_delete),
            ("title", differs(&self.title, &stored.title)),
            ("content_type", content_type),
            ("description", differs(&self.description, &stored.description)),
        ];
        all.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name).collect()
    }
}

impl FileIoFile {
    /// Returns the shortest and the longest lifetime that the words of generation 1 can mean: `14 days` is rounded from
    /// anything between 13.5 and 15 days. `None` for a response of generation 2.
    fn lifetime_in_words(&self) -> Option<(SignedDuration, SignedDuration)> {
        let words = self.expiry_in_words.as_deref().filter(|_| !self.is_generation_2)?;
        let (number, unit) = words.trim().split_once(' ')?;
        let (shortest, longest) = match unit.trim_end_matches('s') {
            "second" => (1, 1),
            "minute" => (60, 60),
            "hour" => (3600, 3600),
            "day" => (86_400, 86_400),
            "week" => (7 * 86_400, 7 * 86_400),
            "month" => (28 * 86_400, 31 * 86_400),
            "year" => (365 * 86_400, 366 * 86_400),
            _ => return None,
        };
        let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
        let least = number.checked_mul(2)?.checked_sub(1)?.checked_mul(shortest)?.checked_mul(500)?;
        let most = number.checked_add(1)?.checked_mul(longest)?;
        Some((SignedDuration::from_millis(least), SignedDuration::from_secs(most)))
    }
}

/// Returns `true` if a text was requested and the service stored another. An empty one is the same as none: it clears
/// the text.
fn differs(requested: &Option<String>, stored: &Option<String>) -> bool {
    requested.as_ref().is_some_and(|requested| requested.as_str() != stored.as_deref().unwrap_or_default())
}

fn times_or_unlimited(downloads: MaxDownloads) -> String {
    downloads.times().map_or_else(|| "unlimited".to_owned(), |times| times.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2024-01-31T10:00:00Z";

    fn expiration(expiry: &str) -> Result<Expiration> {
        Expiration::of(expiry.parse()?, NOW.parse().unwrap())
    }

    #[test]
    fn durations_are_sent_in_units_that_mean_one_thing() {
        let value = |text| expiration(text).unwrap().form_value();
        for (expiry, sent) in [
            ("90s", "90s"),
            ("10m", "600s"),
            ("2h", "2h"),
            ("24h", "1d"),
            ("2w", "14d"),
            ("1M", "29d"),
            ("1Q", "90d"),
            ("1y", "366d"),
            ("never", ""),
            ("2024-09-18T08:15:30.5+02:00", "2024-09-18T06:15:30.500Z"),
        ] {
            assert_eq!(value(expiry).as_deref(), Some(sent), "{expiry}");
        }
        assert_eq!(value("default"), None);
    }

    #[test]
    fn an_instant_in_the_past_is_rejected() {
        assert_eq!(expiration("2024-01-31T09:59:59Z").unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn terms_that_the_free_plan_does_not_allow_are_unsupported() {
        let now = NOW.parse().unwrap();
        let terms = |expiration, max: Option<u32>, auto_delete| UploadTerms {
            expiration,
            max_downloads: max.map(MaxDownloads::Times),
            auto_delete,
            ..UploadTerms::default()
        };
        assert!(terms(Expiration::Default, Some(1), Some(true)).check_free_plan(now).is_ok());
        for allowed in ["1y", "366d", "2025-01-31T10:00:00Z"] {
            assert!(terms(expiration(allowed).unwrap(), None, None).check_free_plan(now).is_ok(), "{allowed}");
        }
        for rejected in [
            terms(Expiration::Default, Some(2), None),
            terms(Expiration::Default, None, Some(false)),
            terms(Expiration::Never, None, None),
            terms(expiration("2y").unwrap(), None, None),
            terms(expiration("367d").unwrap(), None, None),
            terms(expiration("2025-01-31T10:00:01Z").unwrap(), None, None),
            terms(expiration("2026-01-01T00:00:00Z").unwrap(), None, None),
        ] {
            let error = rejected.check_free_plan(now).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent));
        }
        // This year has 365 days.
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        for (days, is_allowed) in [(365, true), (366, false)] {
            let expiration = Expiration::of(Period::days(days).into(), now).unwrap();
            assert_eq!(terms(expiration, None, None).check_free_plan(now).is_ok(), is_allowed, "{days}");
        }
    }
}
