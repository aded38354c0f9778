//! The emulator's clock: real time plus an offset that tests move.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use jiff::{SignedDuration, Timestamp};

use crate::durable::{self, Damage};

/// The first time that the clock can show, 1970-01-02: dates of HTTP and timetokens of PubNub cannot be before 1970, and
/// some times are a few minutes before the time of the request.
const FIRST: Timestamp = Timestamp::constant(86_400, 0);
/// The end of the times that the clock can show, 9999-01-01. Lifetimes of links and forms end later, and no date can be
/// after 9999.
const END: Timestamp = Timestamp::constant(253_370_764_800, 0);

/// The clock that all services of one emulator use. Clones share one offset.
///
/// The clock always runs. Moving it changes only its offset from real time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    offset: Mutex<SignedDuration>,
    /// The file of the offset, with a data directory: an expired file must stay expired after a restart.
    file: Option<PathBuf>,
}

impl Clock {
    pub(crate) fn in_memory() -> Self {
        Clock(Arc::new(Inner { offset: Mutex::new(SignedDuration::ZERO), file: None }))
    }

    /// Opens a clock whose offset is stored in `file`. If the file is damaged, the clock shows real time, and the file
    /// stays until the clock is moved.
    pub(crate) fn durable(file: PathBuf, damage: &mut Damage) -> Self {
        let read = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().map_err(io::Error::other).and_then(valid),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SignedDuration::ZERO),
            Err(error) => Err(error),
        };
        let offset = read.unwrap_or_else(|error| {
            damage.add(&file, error);
            SignedDuration::ZERO
        });
        Clock(Arc::new(Inner { offset: Mutex::new(offset), file: Some(file) }))
    }

    /// Returns the emulated time, in whole milliseconds as the services report it.
    pub fn now(&self) -> Timestamp {
        // Real time goes on, so the clock can reach the end without being moved.
        let now = shown(self.offset()).clamp(FIRST, END);
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Returns the offset of the emulated time from real time; negative if it is behind.
    pub fn offset(&self) -> SignedDuration {
        *self.0.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the emulated time forward.
    ///
    /// # Errors
    /// The new time is after the year 9998, or, with a data directory, the new offset cannot be written. The clock is
    /// then unchanged.
    pub fn advance(&self, by: Duration) -> io::Result<()> {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.move_to(|offset| offset.saturating_add(by))
    }

    /// Sets the emulated time to `now`; the clock runs on from there.
    pub(crate) fn set(&self, now: Timestamp) -> io::Result<()> {
        self.move_to(|_| now.duration_since(Timestamp::now()))
    }

    pub(crate) fn reset(&self) -> io::Result<()> {
        self.move_to(|_| SignedDuration::ZERO)
    }

    fn move_to(&self, next: impl FnOnce(SignedDuration) -> SignedDuration) -> io::Result<()> {
        let mut offset = self.0.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = valid(next(*offset))?;
        if let Some(file) = &self.0.file {
            durable::write(file, format!("{moved}\n").as_bytes())?;
        }
        *offset = moved;
        Ok(())
    }
}

/// Checks that a clock with this offset shows a time within its limits.
fn valid(offset: SignedDuration) -> io::Result<SignedDuration> {
    if (FIRST..END).contains(&shown(offset)) {
        return Ok(offset);
    }
    let message = "the clock can only show times from 1970-01-02 to 9998-12-31 (UTC)";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Returns the time that a clock with this offset shows, without its limits.
fn shown(offset: SignedDuration) -> Timestamp {
    let limit = if offset.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::now().saturating_add(offset).unwrap_or(limit)
}
