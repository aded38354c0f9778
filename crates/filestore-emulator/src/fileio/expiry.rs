//! The `expires` field: periods and points in time, and their text in responses of the first generation.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use super::Generation;

/// The expiry that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    In(Period),
    At(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    count: i64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl Expiry {
    /// 14 days.
    pub(super) const DEFAULT: Expiry = Expiry::In(Period { count: 14, unit: Unit::Day });

    /// Parses a period or a point in time; returns `None` for any other text.
    pub(super) fn parse(text: &str, generation: Generation) -> Option<Self> {
        Period::parse(text, generation).map(Expiry::In).or_else(|| point_in_time(text).map(Expiry::At))
    }

    /// Returns the time of expiry, or `None` if it is not in the future or out of the range of a timestamp.
    pub(super) fn from(self, now: Timestamp) -> Option<Timestamp> {
        let end = match self {
            Expiry::In(period) => later(now, period.span()?)?,
            Expiry::At(end) => end,
        };
        // Whole milliseconds, because the service reports and compares those.
        let end = Timestamp::from_millisecond(end.as_millisecond()).ok()?;
        (end > now).then_some(end)
    }
}

/// Returns the latest expiry on the free plan.
pub(super) fn one_year_after(now: Timestamp) -> Option<Timestamp> {
    later(now, 1.year())
}

/// Returns the expiry as text of the first generation, for example `14 days`.
pub(super) fn in_words(expires: Option<Timestamp>, requested: Expiry, now: Timestamp) -> String {
    let (count, unit) = match (expires, requested) {
        (None, _) => return "never".to_owned(),
        (_, Expiry::In(period)) => match period.unit {
            Unit::Year => (period.count, "year"),
            Unit::Quarter => (period.count * 3, "month"),
            Unit::Month => (period.count, "month"),
            Unit::Week => (period.count * 7, "day"),
            Unit::Day => (period.count, "day"),
            Unit::Hour => (period.count, "hour"),
            Unit::Minute => (period.count, "minute"),
            Unit::Second => (period.count, "second"),
        },
        (Some(end), _) => (end.duration_since(now).as_hours() / 24, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

impl Period {
    fn parse(text: &str, generation: Generation) -> Option<Self> {
        let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
        if !digits.starts_with(|first: char| matches!(first, '1'..='9')) {
            return None;
        }
        let count = digits.parse().ok()?;
        let unit = match (&text[digits.len()..], generation) {
            ("y", _) => Unit::Year,
            ("Q", _) => Unit::Quarter,
            ("M", _) | ("m", Generation::First) => Unit::Month,
            ("w", _) => Unit::Week,
            // A bare number is days; clients of the first generation still send it.
            ("d" | "", _) => Unit::Day,
            ("h", _) => Unit::Hour,
            ("m", Generation::Second) => Unit::Minute,
            ("s", _) => Unit::Second,
            _ => return None,
        };
        Some(Period { count, unit })
    }

    fn span(self) -> Option<Span> {
        let span = Span::new();
        match self.unit {
            Unit::Year => span.try_years(self.count),
            Unit::Quarter => span.try_months(self.count.checked_mul(3)?),
            Unit::Month => span.try_months(self.count),
            Unit::Week => span.try_weeks(self.count),
            Unit::Day => span.try_days(self.count),
            Unit::Hour => span.try_hours(self.count),
            Unit::Minute => span.try_minutes(self.count),
            Unit::Second => span.try_seconds(self.count),
        }
        .ok()
    }
}

/// Adds calendar units by the calendar. In a month that is too short the result is its last day.
fn later(now: Timestamp, span: Span) -> Option<Timestamp> {
    let end = now.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
    Some(end.timestamp())
}

/// Parses a time in ISO 8601, basic or extended. Without a time zone it is UTC.
fn point_in_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()),
    };
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2024-01-31T08:15:30.123Z";

    fn expires(text: &str, generation: Generation) -> Option<String> {
        let now = NOW.parse().unwrap();
        Some(format!("{:.3}", Expiry::parse(text, generation)?.from(now)?))
    }

    #[test]
    fn periods_are_exact_and_calendar_units_end_with_the_month() {
        for (text, end) in [
            ("10s", "2024-01-31T08:15:40.123Z"),
            ("10m", "2024-01-31T08:25:30.123Z"),
            ("2h", "2024-01-31T10:15:30.123Z"),
            ("14d", "2024-02-14T08:15:30.123Z"),
            ("1w", "2024-02-07T08:15:30.123Z"),
            ("1M", "2024-02-29T08:15:30.123Z"),
            ("1Q", "2024-04-30T08:15:30.123Z"),
            ("1y", "2025-01-31T08:15:30.123Z"),
            ("2", "2024-02-02T08:15:30.123Z"),
        ] {
            assert_eq!(expires(text, Generation::Second).as_deref(), Some(end), "{text}");
        }
        assert_eq!(expires("1m", Generation::First).as_deref(), Some("2024-02-29T08:15:30.123Z"));
    }

    #[test]
    fn points_in_time_without_a_zone_are_utc() {
        for (text, end) in [
            ("2024-09-21T00:00:00.000Z", "2024-09-21T00:00:00.000Z"),
            ("2024-09-21T02:00:00+02:00", "2024-09-21T00:00:00.000Z"),
            ("20241231T235959", "2024-12-31T23:59:59.000Z"),
            ("2025-01-01T00:00:00", "2025-01-01T00:00:00.000Z"),
            ("2025-01-01T12:34:56.789012", "2025-01-01T12:34:56.789Z"),
            ("2025-01-01", "2025-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(expires(text, Generation::Second).as_deref(), Some(end), "{text}");
        }
    }

    #[test]
    fn an_invalid_expiry_is_rejected() {
        for text in [
            "0d",
            "01d",
            "-1d",
            "+1d",
            "1 d",
            "1D",
            "1|",
            "1dd",
            "d",
            "1d2h",
            "1.5d",
            "soon",
            "14 days",
            "99999999999999999999d",
            "9999y",
            "2023-01-01T00:00:00",
            NOW,
            "2024-13-01T00:00:00",
        ] {
            assert_eq!(expires(text, Generation::Second), None, "{text}");
        }
    }

    #[test]
    fn the_first_generation_reports_the_expiry_in_words() {
        let now: Timestamp = NOW.parse().unwrap();
        for (text, words) in [
            ("14d", "14 days"),
            ("1w", "7 days"),
            ("1m", "1 month"),
            ("2y", "2 years"),
            ("2024-02-12T08:15:30.123Z", "12 days"),
        ] {
            let requested = Expiry::parse(text, Generation::First).unwrap();
            assert_eq!(in_words(requested.from(now), requested, now), words);
        }
    }
}
