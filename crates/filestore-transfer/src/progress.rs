//! [`TransferProgress`]: the progress of all transfers of one call together.

use std::collections::VecDeque;
use std::time::Duration;

use crate::concurrency::LEAST_WORK;

/// The time over which the rate is measured.
const RATE_SPAN: Duration = Duration::from_secs(5);

/// The progress of all transfers of one call together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransferProgress {
    /// The number of files that are transferred.
    pub files_done: u64,
    /// The number of files that failed.
    pub files_failed: u64,
    /// The number of files in all, as far as the inputs were read.
    pub files_total: u64,
    /// The number of bytes that are transferred. Those of failed files do not count. It falls when a store begins a
    /// file again.
    pub bytes_done: u64,
    /// The number of bytes in all, as far as the inputs were read and their sizes are known. Those of failed files do
    /// not count.
    pub bytes_total: u64,
    /// `true` if all inputs were read and all sizes are known, so that the totals do not grow any more.
    pub is_total_known: bool,
    /// The number of bytes that were moved per second, over the last five seconds.
    pub bytes_per_second: u64,
    /// The remaining time, at the rate of the last five seconds. `None` while the totals or the rate are unknown.
    pub remaining: Option<Duration>,
}

/// The counts of a call, as a pure function of what was observed.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    progress: TransferProgress,
    inputs_ended: bool,
    unknown_sizes: u64,
    /// The bytes that were moved, also those that were moved again.
    moved: u64,
    samples: VecDeque<Sample>,
}

/// The bytes that were moved and the files that were finished until a time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    time: Duration,
    moved: u64,
    finished: u64,
}

impl Totals {
    /// Counts an input.
    pub(crate) fn found(&mut self, size: Option<u64>) {
        self.progress.files_total += 1;
        match size {
            Some(size) => self.progress.bytes_total += size,
            None => self.unknown_sizes += 1,
        }
    }

    /// Marks the inputs as read.
    pub(crate) fn inputs_ended(&mut self) {
        self.inputs_ended = true;
    }

    /// Changes the bytes that one file has transferred.
    pub(crate) fn moved(&mut self, before: u64, now: u64) {
        self.moved += now.saturating_sub(before);
        self.progress.bytes_done = (self.progress.bytes_done + now).saturating_sub(before);
    }

    /// Counts a file that has transferred so many bytes and is done.
    pub(crate) fn done(&mut self, size: Option<u64>, transferred: u64) {
        self.progress.files_done += 1;
        match size {
            Some(size) => self.moved(transferred, size),
            None => {
                self.unknown_sizes -= 1;
                self.progress.bytes_total += transferred;
            }
        }
    }

    /// Counts a file that has transferred so many bytes and failed.
    pub(crate) fn failed(&mut self, size: Option<u64>, transferred: u64) {
        self.progress.files_failed += 1;
        self.moved(transferred, 0);
        match size {
            Some(size) => self.progress.bytes_total -= size,
            None => self.unknown_sizes -= 1,
        }
    }

    /// Returns the progress at the time `now`.
    pub(crate) fn snapshot(&mut self, now: Duration) -> TransferProgress {
        let progress = &mut self.progress;
        let finished = progress.files_done + progress.files_failed;
        let sample = Sample { time: now, moved: self.moved, finished };
        self.samples.push_back(sample);
        while self.samples.get(1).is_some_and(|second| now.saturating_sub(second.time) >= RATE_SPAN) {
            self.samples.pop_front();
        }
        let oldest = self.samples.front().copied().unwrap_or(sample);
        let seconds = now.saturating_sub(oldest.time).as_secs_f64();
        progress.is_total_known = self.inputs_ended && self.unknown_sizes == 0;
        progress.bytes_per_second = 0;
        progress.remaining = None;
        if seconds > 0.0 {
            let per_second = |bytes: u64, files: u64| (bytes + LEAST_WORK * files) as f64 / seconds;
            let (moved, finished) = (sample.moved - oldest.moved, sample.finished - oldest.finished);
            progress.bytes_per_second = per_second(moved, 0) as u64;
            // Small files take time, too.
            let rate = per_second(moved, finished);
            let bytes = progress.bytes_total.saturating_sub(progress.bytes_done);
            let work = bytes + LEAST_WORK * (progress.files_total - sample.finished);
            if progress.is_total_known && (rate > 0.0 || work == 0) {
                progress.remaining = Duration::try_from_secs_f64(work as f64 / rate.max(1.0)).ok();
            }
        }
        *progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rate_is_that_of_the_last_five_seconds() {
        let mut totals = Totals::default();
        totals.found(Some(1_000_000));
        let rates: Vec<u64> = (0..=12)
            .map(|second| {
                let rate = totals.snapshot(SECOND * second).bytes_per_second;
                // 1,000 bytes in each of the first five seconds, and then nothing.
                if second < 5 {
                    totals.moved(u64::from(second) * 1000, u64::from(second) * 1000 + 1000);
                }
                rate
            })
            .collect();
        assert_eq!(rates, [0, 1000, 1000, 1000, 1000, 1000, 800, 600, 400, 200, 0, 0, 0]);
    }

    #[test]
    fn the_remaining_time_is_known_when_the_total_is_known() {
        let mut totals = Totals::default();
        totals.found(Some(4 << 20));
        totals.found(None);
        totals.snapshot(Duration::ZERO);
        totals.moved(0, 1 << 20);
        assert_eq!(totals.snapshot(SECOND).remaining, None);
        totals.inputs_ended();
        assert_eq!(totals.snapshot(SECOND).remaining, None);
        totals.done(None, 0);
        let progress = totals.snapshot(SECOND);
        assert!(progress.is_total_known);
        // 3 MiB of 4 MiB, and one file of two; 1 MiB and one file were done in a second.
        assert_eq!(progress.remaining.map(|time| time.as_millis()), Some(2882));
    }

    #[test]
    fn a_failed_file_is_in_no_count_of_bytes() {
        let mut totals = Totals::default();
        for size in [Some(100), Some(50), None] {
            totals.found(size);
        }
        totals.moved(0, 70);
        totals.failed(Some(100), 70);
        totals.failed(None, 0);
        totals.moved(0, 20);
        totals.done(Some(50), 20);
        totals.inputs_ended();
        let progress = totals.snapshot(SECOND);
        assert_eq!((progress.files_done, progress.files_failed, progress.files_total), (1, 2, 3));
        assert_eq!((progress.bytes_done, progress.bytes_total, progress.is_total_known), (50, 50, true));
    }

    #[test]
    fn a_file_that_is_begun_again_counts_once() {
        let mut totals = Totals::default();
        totals.found(Some(100));
        totals.snapshot(Duration::ZERO);
        totals.moved(0, 60);
        totals.moved(60, 0);
        totals.moved(0, 100);
        totals.done(Some(100), 100);
        let progress = totals.snapshot(SECOND);
        // The rate counts both times.
        assert_eq!((progress.bytes_done, progress.bytes_total, progress.bytes_per_second), (100, 100, 160));
    }
}
