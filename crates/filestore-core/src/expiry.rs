//! [`Expiry`]: the service's default, never, an instant, or a period after the upload.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::{Span, Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};

use crate::{Error, IntoTimestamp, Result};

/// The time at which the service removes a stored file by itself.
///
/// The text form (command line, configuration) is `default`, `never`, a period such as `14d`, or an instant
/// with its time zone such as `2027-01-31T12:00:00Z`.
///
/// ```
/// use filestore_core::{Expiry, Period};
///
/// assert_eq!("2w".parse::<Expiry>()?, Expiry::After(Period::weeks(2)));
/// assert_eq!("never".parse::<Expiry>()?, Expiry::Never);
/// assert!("2027-01-31T12:00:00".parse::<Expiry>().is_err()); // no time zone
/// # Ok::<(), filestore_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Expiry {
    /// The service's default, as for an upload that states no expiry.
    #[default]
    Default,
    /// The file stays until it is deleted.
    Never,
    /// The file expires at this instant.
    At(Timestamp),
    /// The file expires this long after the upload.
    After(Period),
}

impl Expiry {
    /// Returns the instant for an upload at `now`, or `None` for the default and for never.
    ///
    /// Calendar units are added in UTC; a day that the month does not have becomes its last day.
    /// Fails with *invalid input* if the result is beyond the year 9999.
    pub fn instant(self, now: Timestamp) -> Result<Option<Timestamp>> {
        match self {
            Self::Default | Self::Never => Ok(None),
            Self::At(instant) => Ok(Some(instant)),
            Self::After(period) => period.after(now).map(Some),
        }
    }
}

impl From<Period> for Expiry {
    fn from(period: Period) -> Self {
        Self::After(period)
    }
}

impl From<Timestamp> for Expiry {
    fn from(instant: Timestamp) -> Self {
        Self::At(instant)
    }
}

impl From<SystemTime> for Expiry {
    fn from(instant: SystemTime) -> Self {
        Self::At(instant.into_timestamp())
    }
}

impl Serialize for Expiry {
    /// Serializes the text form.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Never => f.write_str("never"),
            Self::At(instant) => instant.fmt(f),
            Self::After(period) => period.fmt(f),
        }
    }
}

impl FromStr for Expiry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "default" => return Ok(Self::Default),
            "never" => return Ok(Self::Never),
            _ => {}
        }
        if let Ok(period) = text.parse() {
            return Ok(Self::After(period));
        }
        text.parse().map(Self::At).map_err(|_| {
            Error::invalid(format!(
                "{text:?} is not an expiry; write a period such as 14d (units y Q M w d h m s; m is minutes, M \
                 months), an instant with its zone such as 2027-01-31T12:00:00Z, never or default"
            ))
        })
    }
}

/// A length of time in one unit. Calendar units stay what they are: three months are not ninety days.
///
/// The text form, such as `14d`, is a count without leading zeros and one unit of `y Q M w d h m s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    count: u32,
    unit: PeriodUnit,
}

/// The unit of a [`Period`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the grammar is closed: a new unit is a new grammar")]
pub enum PeriodUnit {
    /// `y`
    Years,
    /// `Q`: three months.
    Quarters,
    /// `M`
    Months,
    /// `w`
    Weeks,
    /// `d`
    Days,
    /// `h`
    Hours,
    /// `m`
    Minutes,
    /// `s`
    Seconds,
}

impl Period {
    /// Creates a period of `count` times `unit`. Fails with *invalid input* if `count` is zero.
    pub fn new(count: u32, unit: PeriodUnit) -> Result<Self> {
        if count == 0 {
            return Err(Error::invalid("a period of zero units is invalid; use a count of at least 1"));
        }
        Ok(Self { count, unit })
    }

    /// Creates a period of `count` days of 24 hours; zero counts as one.
    pub fn days(count: u32) -> Self {
        Self { count: count.max(1), unit: PeriodUnit::Days }
    }

    /// Creates a period of `count` weeks; zero counts as one.
    pub fn weeks(count: u32) -> Self {
        Self { count: count.max(1), unit: PeriodUnit::Weeks }
    }

    /// Creates a period of `count` hours; zero counts as one.
    pub fn hours(count: u32) -> Self {
        Self { count: count.max(1), unit: PeriodUnit::Hours }
    }

    /// Returns the number of units.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Returns the unit.
    pub fn unit(self) -> PeriodUnit {
        self.unit
    }

    /// Returns the instant this long after `now`, in UTC. Fails with *invalid input* beyond the year 9999.
    pub fn after(self, now: Timestamp) -> Result<Timestamp> {
        let count = i64::from(self.count);
        let span = match self.unit {
            PeriodUnit::Years => Span::new().try_years(count),
            PeriodUnit::Quarters => Span::new().try_months(3 * count),
            PeriodUnit::Months => Span::new().try_months(count),
            PeriodUnit::Weeks => Span::new().try_weeks(count),
            PeriodUnit::Days => Span::new().try_days(count),
            PeriodUnit::Hours => Span::new().try_hours(count),
            PeriodUnit::Minutes => Span::new().try_minutes(count),
            PeriodUnit::Seconds => Span::new().try_seconds(count),
        };
        span.and_then(|span| now.to_zoned(TimeZone::UTC).checked_add(span))
            .map(|end| end.timestamp())
            .map_err(|_| Error::invalid(format!("{self} from now is beyond the year 9999; choose a shorter period")))
    }

    /// Returns the duration of this period if it begins at `now`. Fails as [`after`](Self::after) does.
    pub fn duration(self, now: Timestamp) -> Result<Duration> {
        let end = self.after(now)?;
        Ok(end.duration_since(now).unsigned_abs())
    }
}

impl From<Duration> for Period {
    /// Rounds up to whole seconds, at least one, so that a file never expires too early.
    fn from(duration: Duration) -> Self {
        let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1);
        match u32::try_from(seconds) {
            Ok(count) => Self { count, unit: PeriodUnit::Seconds },
            // More than 136 years.
            Err(_) => {
                let count = u32::try_from(seconds.div_ceil(60)).unwrap_or(u32::MAX);
                Self { count, unit: PeriodUnit::Minutes }
            }
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.unit {
            PeriodUnit::Years => 'y',
            PeriodUnit::Quarters => 'Q',
            PeriodUnit::Months => 'M',
            PeriodUnit::Weeks => 'w',
            PeriodUnit::Days => 'd',
            PeriodUnit::Hours => 'h',
            PeriodUnit::Minutes => 'm',
            PeriodUnit::Seconds => 's',
        };
        write!(f, "{}{letter}", self.count)
    }
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!(
                "{text:?} is not a period; write a count and one unit of y Q M w d h m s, such as 14d"
            ))
        };
        let mut chars = text.chars();
        let unit = match chars.next_back().ok_or_else(invalid)? {
            'y' => PeriodUnit::Years,
            'Q' => PeriodUnit::Quarters,
            'M' => PeriodUnit::Months,
            'w' => PeriodUnit::Weeks,
            'd' => PeriodUnit::Days,
            'h' => PeriodUnit::Hours,
            'm' => PeriodUnit::Minutes,
            's' => PeriodUnit::Seconds,
            _ => return Err(invalid()),
        };
        let digits = chars.as_str();
        // `u32::from_str` accepts a sign and leading zeros; the grammar does not.
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        Ok(Self { count: digits.parse().map_err(|_| invalid())?, unit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_minutes_differ_by_case() {
        let now: Timestamp = "2024-01-31T10:00:00Z".parse().unwrap();
        let end = |text: &str| text.parse::<Expiry>().unwrap().instant(now).unwrap().unwrap().to_string();
        assert_eq!(end("1m"), "2024-01-31T10:01:00Z");
        assert_eq!(end("1M"), "2024-02-29T10:00:00Z");
        assert_eq!(end("1Q"), "2024-04-30T10:00:00Z");
        assert_eq!(end("1y"), "2025-01-31T10:00:00Z");
    }

    #[test]
    fn the_grammar_admits_nothing_else() {
        for bad in
            ["", "d", "0d", "01d", "+1d", "-1d", "1 d", "1", "1|", "1D", "1dd", "1d2h", "99999999999d", "tomorrow"]
        {
            assert!(bad.parse::<Expiry>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_instant_needs_its_zone() {
        assert!("2027-01-31T12:00:00".parse::<Expiry>().is_err());
        let at: Expiry = "2027-01-31T12:00:00+01:00".parse().unwrap();
        assert_eq!(at, Expiry::At("2027-01-31T11:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_period_beyond_the_calendar_is_an_error() {
        let now: Timestamp = "2024-01-31T10:00:00Z".parse().unwrap();
        assert!("9000y".parse::<Period>().unwrap().after(now).is_err());
        assert!("4000000000y".parse::<Period>().unwrap().after(now).is_err());
    }

    #[test]
    fn a_duration_is_rounded_up_to_seconds() {
        assert_eq!(Period::from(Duration::from_millis(1500)).to_string(), "2s");
        assert_eq!(Period::from(Duration::ZERO).to_string(), "1s");
    }

    #[test]
    fn a_long_duration_is_never_cut_short() {
        assert_eq!(Period::from(Duration::from_secs(u64::from(u32::MAX) + 1)).to_string(), "71582789m");
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        assert!(Period::from(Duration::MAX).after(now).is_err(), "beyond the year 9999");
    }
}
