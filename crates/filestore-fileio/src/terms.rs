//! What an upload asks of the service, and whether the answer is what was asked for.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Expiry, Result, Upload};
use filestore_http::Form;
use jiff::{SignedDuration, Timestamp};

use crate::account::FileIoFile;
use crate::options::{FileIoUpload, MaxDownloads};

/// The longest life of a file on the free plan, with a leap day.
const FREE_YEAR: Duration = Duration::from_secs(366 * 86_400);

/// The service keeps milliseconds; this much is rounding, more is another expiry.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// The wishes of an upload or update, in the service's terms.
#[derive(Debug, Default)]
pub(crate) struct UploadTerms {
    pub(crate) life: Expiration,
    pub(crate) max_downloads: Option<MaxDownloads>,
    pub(crate) auto_delete: Option<bool>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
}

/// How long a file is to stay.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Expiration {
    /// Not said.
    #[default]
    Default,
    Never,
    For(Duration),
    Until(Timestamp),
}

impl Expiration {
    /// Calendar units become the days that they have from now on: whether the service adds a calendar
    /// month or thirty days is unknown, and old servers read `m` as months.
    pub(crate) fn of(expiry: Expiry, now: Timestamp) -> Result<Self> {
        Ok(match expiry {
            Expiry::Never => Self::Never,
            Expiry::After(period) => Self::For(period.duration(now)?),
            Expiry::At(instant) if instant <= now => {
                return Err(Error::invalid(format!("the expiry {instant} is over; choose a later one")));
            }
            Expiry::At(instant) => Self::Until(instant),
            _ => Self::Default,
        })
    }

    /// The value of `expires`; `None`: the field is left out. Empty means never.
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
    /// When it may end, counted from each of `starts`; nothing where that is not known.
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
            life: Expiration::of(upload.expiry, now)?,
            max_downloads: options.max_downloads,
            auto_delete: options.auto_delete,
            title: options.title,
            description: None,
        })
    }

    /// *Unsupported* for what the service certainly rejects without an account.
    pub(crate) fn check_free_plan(&self, now: Timestamp) -> Result<()> {
        let life = match self.life {
            Expiration::For(duration) => Some(duration),
            Expiration::Until(instant) => Some(instant.duration_since(now).unsigned_abs()),
            Expiration::Default | Expiration::Never => None,
        };
        let problem = if self.max_downloads.is_some_and(|max| max.times() != Some(1)) {
            "more than one download"
        } else if self.auto_delete == Some(false) {
            "keeping a file that is used up (auto_delete = false)"
        } else if self.life == Expiration::Never {
            "a file that never expires"
        } else if life.is_some_and(|life| life > FREE_YEAR) {
            "an expiry later than in one year"
        } else {
            return Ok(());
        };
        Err(Error::unsupported(format!("{problem} needs an account with a paid plan; set api_key, or leave it out")))
    }

    /// The options as parts of a form; the file comes after them.
    pub(crate) fn form(&self) -> Form {
        let fields = [
            ("expires", self.life.form_value()),
            ("maxDownloads", self.max_downloads.map(MaxDownloads::form_value)),
            ("autoDelete", self.auto_delete.map(|flag| flag.to_string())),
        ];
        fields.into_iter().fold(Form::new(), |form, (name, value)| match value {
            Some(value) => form.field(name, value),
            None => form,
        })
    }

    /// *Integrity*, with the stored file, if the service says that it stored another size than was sent.
    pub(crate) fn check_size(&self, stored: &FileIoFile, sent: Option<u64>) -> Result<()> {
        match (sent, stored.file.size) {
            (Some(sent), Some(size)) if sent != size => {
                let message = format!("{sent} bytes were sent but the service says that it stored {size}");
                Err(Error::new(ErrorKind::Integrity, Effect::Applied, message).with_stored(stored.file.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The protection that was asked for and is not there: the file can be read longer or more often.
    ///
    /// Responses of generation 1 have no times and no options, only an expiry in words.
    pub(crate) fn lost_protection(&self, stored: &FileIoFile, starts: &[Option<Timestamp>]) -> Option<String> {
        let ends = self.life.ends(starts);
        let is_limited = matches!(self.life, Expiration::For(_) | Expiration::Until(_));
        let says_all = stored.file.created.is_some();
        let is_longer = match stored.file.expiry {
            Expiry::At(end) => ends.iter().max().is_some_and(|last| end.duration_since(*last) > ROUNDING),
            Expiry::Never => is_limited,
            // Of generation 2, which says when a file ends.
            _ if says_all => is_limited,
            _ => {
                self.longest(starts).zip(stored.life_in_words()).is_some_and(|(asked, (shortest, _))| shortest > asked)
            }
        };
        if is_longer {
            let asked = self.life.form_value().unwrap_or_default();
            let said = stored.expiry_in_words.as_deref().filter(|_| !says_all);
            let said = said.map_or_else(|| stored.file.expiry.to_string(), |words| format!("{words:?}"));
            return Some(format!("its expiry is {said} where {asked} was asked for"));
        }
        if let Some(most) = self.max_downloads.and_then(MaxDownloads::times) {
            match stored.max_downloads {
                Some(answered) if answered.times().is_none_or(|times| times > most) => {
                    return Some(format!("it allows {} downloads where {most} were asked for", shown(answered)));
                }
                None if says_all => return Some(format!("it is not said to allow {most} downloads and no more")),
                _ => {}
            }
        }
        match (self.auto_delete, stored.auto_delete) {
            (Some(true), Some(false)) => Some("auto_delete is false where true was asked for".to_owned()),
            (Some(true), None) if says_all => Some("auto_delete is not said to be true".to_owned()),
            _ => None,
        }
    }

    /// The longest life that was asked for, if it was limited.
    fn longest(&self, starts: &[Option<Timestamp>]) -> Option<SignedDuration> {
        match self.life {
            Expiration::For(duration) => SignedDuration::try_from(duration).ok(),
            Expiration::Until(instant) => starts.iter().flatten().min().map(|start| instant.duration_since(*start)),
            Expiration::Default | Expiration::Never => None,
        }
    }

    /// The shortest life that was asked for, if it was limited.
    fn shortest(&self, starts: &[Option<Timestamp>]) -> Option<SignedDuration> {
        match self.life {
            Expiration::Until(instant) => starts.iter().flatten().max().map(|start| instant.duration_since(*start)),
            _ => self.longest(starts),
        }
    }

    /// The other options that the service did not take.
    pub(crate) fn ignored(&self, stored: &FileIoFile, starts: &[Option<Timestamp>]) -> Vec<&'static str> {
        let file = &stored.file;
        let says_all = file.created.is_some();
        let ends = self.life.ends(starts);
        let is_shorter = match file.expiry {
            Expiry::At(end) => {
                self.life == Expiration::Never
                    || ends.iter().min().is_some_and(|first| first.duration_since(end) > ROUNDING)
            }
            // Of generation 1, in words. What it does not say is not confirmed.
            Expiry::Default if !says_all => match (self.shortest(starts), stored.life_in_words()) {
                (Some(asked), Some((_, longest))) => longest < asked,
                (asked, said) => asked.is_some() && said.is_none() || self.life == Expiration::Never,
            },
            _ => false,
        };
        // What the response does not say is not confirmed.
        let max_downloads = self
            .max_downloads
            .is_some_and(|asked| stored.max_downloads.is_none_or(|answered| asked.times() != answered.times()));
        let all = [
            ("expiry", is_shorter),
            ("max_downloads", max_downloads),
            ("auto_delete", self.auto_delete.is_some() && self.auto_delete != stored.auto_delete),
            ("title", self.title.is_some() && self.title != stored.title),
            ("description", self.description.is_some() && self.description != stored.description),
        ];
        all.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name).collect()
    }
}

impl FileIoFile {
    /// The shortest and the longest life that the words of generation 1 can mean: `14 days` is rounded from anything
    /// between 13.5 and 15 days.
    fn life_in_words(&self) -> Option<(SignedDuration, SignedDuration)> {
        let (number, unit) = self.expiry_in_words.as_deref()?.trim().split_once(' ')?;
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

fn shown(downloads: MaxDownloads) -> String {
    downloads.times().map_or_else(|| "unlimited".to_owned(), |times| times.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2024-01-31T10:00:00Z";

    fn life(expiry: &str) -> Result<Expiration> {
        Expiration::of(expiry.parse()?, NOW.parse().unwrap())
    }

    #[test]
    fn durations_are_sent_in_units_that_mean_one_thing() {
        let value = |text| life(text).unwrap().form_value();
        for (asked, sent) in [
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
            assert_eq!(value(asked).as_deref(), Some(sent), "{asked}");
        }
        assert_eq!(value("default"), None);
    }

    #[test]
    fn an_instant_that_is_over_is_rejected() {
        assert_eq!(life("2024-01-31T09:59:59Z").unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn the_free_plan_is_known_beforehand() {
        let now = NOW.parse().unwrap();
        let asked = |life, max: Option<u32>, auto_delete| UploadTerms {
            life,
            max_downloads: max.map(MaxDownloads::Times),
            auto_delete,
            ..UploadTerms::default()
        };
        assert!(asked(Expiration::Default, Some(1), Some(true)).check_free_plan(now).is_ok());
        assert!(asked(life("1y").unwrap(), None, None).check_free_plan(now).is_ok());
        for rejected in [
            asked(Expiration::Default, Some(2), None),
            asked(Expiration::Default, None, Some(false)),
            asked(Expiration::Never, None, None),
            asked(life("2y").unwrap(), None, None),
            asked(life("2026-01-01T00:00:00Z").unwrap(), None, None),
        ] {
            let error = rejected.check_free_plan(now).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent));
        }
    }
}
