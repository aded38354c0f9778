//! [`IntoTimestamp`]: the types in which callers state a time.

use std::time::SystemTime;

use jiff::Timestamp;

/// A time: a [`Timestamp`], or a [`SystemTime`] as the file system and other crates use it.
///
/// A [`SystemTime`] before the year -9999 or after the year 9999 becomes the earliest or latest [`Timestamp`].
pub trait IntoTimestamp {
    /// Returns the time as a [`Timestamp`].
    fn into_timestamp(self) -> Timestamp;
}

impl IntoTimestamp for Timestamp {
    fn into_timestamp(self) -> Timestamp {
        self
    }
}

impl IntoTimestamp for SystemTime {
    fn into_timestamp(self) -> Timestamp {
        let limit = if self < Self::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
        self.try_into().unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_system_time_is_a_timestamp_within_its_limits() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(epoch.into_timestamp(), Timestamp::UNIX_EPOCH);
        assert_eq!((epoch + Duration::from_millis(1500)).into_timestamp().as_millisecond(), 1500);
        let years = Duration::from_secs(20_000 * 366 * 86_400);
        assert_eq!((epoch + years).into_timestamp(), Timestamp::MAX);
        assert_eq!((epoch - years).into_timestamp(), Timestamp::MIN);
    }
}
