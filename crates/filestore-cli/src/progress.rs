//! Progress bars, on a terminal only.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use filestore::{Observer, Progress};
use filestore_transfer::TransferProgress;
use indicatif::{BinaryBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// The time between two steps of the spinner.
const INTERVAL: Duration = Duration::from_millis(200);

/// A bar for one transfer. It draws nothing if `quiet` is set or standard error is not a terminal.
#[derive(Clone)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(name: &str, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, target(quiet)).with_style(style(" {bytes} {bytes_per_sec}"));
        bar.set_message(output::visible(name));
        if !bar.is_hidden() {
            tokio::spawn(animate(bar.clone()));
        }
        Self(bar)
    }

    /// Removes the bar from the terminal.
    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Observer for Bar {
    fn progress(&self, progress: Progress) {
        if let (None, Some(total)) = (self.0.length(), progress.total) {
            self.0.set_style(style(" {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
            self.0.set_length(total);
        }
        self.0.set_position(progress.transferred);
    }
}

/// The most running files that have a line. The others are in the line of all files.
const LINES: usize = 8;

/// The lines of many transfers: one for each running file, and one for all of them. They draw nothing if `quiet` is set
/// or standard error is not a terminal.
#[derive(Clone)]
pub(crate) struct Lines {
    all: MultiProgress,
    total: ProgressBar,
    files_shown: Arc<AtomicUsize>,
}

impl Lines {
    pub(crate) fn new(quiet: bool) -> Self {
        let all = MultiProgress::with_draw_target(target(quiet));
        let total = all.add(ProgressBar::no_length().with_style(style("")));
        if !all.is_hidden() {
            tokio::spawn(animate(total.clone()));
        }
        Self { all, total, files_shown: Arc::default() }
    }

    /// Returns the observer of one file, whose line ends when the observer is dropped.
    pub(crate) fn file(&self, name: &str) -> FileLine {
        FileLine { lines: self.clone(), name: name.to_owned(), bar: OnceLock::new() }
    }

    /// Shows the progress of all files.
    pub(crate) fn show(&self, progress: &TransferProgress) {
        if !self.all.is_hidden() {
            self.total.set_message(describe(progress));
        }
    }

    /// Prints other text, above the lines.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        if self.all.is_hidden() { print() } else { self.all.suspend(print) }
    }

    /// Removes the lines from the terminal.
    pub(crate) fn done(&self) {
        self.total.finish_and_clear();
    }
}

/// The line of a running file. It appears with the first progress, if there is space and the file is not small.
pub(crate) struct FileLine {
    lines: Lines,
    name: String,
    bar: OnceLock<ProgressBar>,
}

impl FileLine {
    fn add(&self) -> Option<&ProgressBar> {
        let Lines { all, files_shown, .. } = &self.lines;
        if files_shown.fetch_add(1, Ordering::Relaxed) >= LINES {
            files_shown.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let bar = all.insert_from_back(1, ProgressBar::no_length().with_style(style(" {bytes}")));
        bar.set_message(output::visible(&self.name));
        if self.bar.set(bar).is_err() {
            files_shown.fetch_sub(1, Ordering::Relaxed);
        }
        self.bar.get()
    }
}

impl Observer for FileLine {
    fn progress(&self, progress: Progress) {
        // A small file is sent at once.
        let is_small = self.bar.get().is_none() && progress.total == Some(progress.transferred);
        if is_small || self.lines.all.is_hidden() {
            return;
        }
        let Some(bar) = self.bar.get().or_else(|| self.add()) else { return };
        if let (None, Some(total)) = (bar.length(), progress.total) {
            bar.set_style(style(" {percent:>3}% {total_bytes:>10}"));
            bar.set_length(total);
        }
        bar.set_position(progress.transferred);
    }
}

impl Drop for FileLine {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
            self.lines.all.remove(bar);
            self.lines.files_shown.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Returns the text of the line of all files, which fits into 40 columns.
fn describe(progress: &TransferProgress) -> String {
    let files = progress.files_done + progress.files_failed;
    let mut text = format!("{files}/{} files", progress.files_total);
    text = match progress.is_total_known && progress.bytes_total > 0 {
        true => format!("{text}, {}%", 100 * progress.bytes_done / progress.bytes_total),
        false => format!("{text}, {}", BinaryBytes(progress.bytes_done)),
    };
    text = format!("{text}, {}/s", BinaryBytes(progress.bytes_per_second));
    match progress.remaining {
        Some(remaining) => format!("{text}, {:#}", HumanDuration(remaining)),
        None => text,
    }
}

fn target(quiet: bool) -> ProgressDrawTarget {
    if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}

/// Draws the bar also while nothing arrives. A task, because the bar's own ticker is a thread, which the system may not
/// allow.
async fn animate(bar: ProgressBar) {
    while !bar.is_finished() {
        bar.tick();
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Returns the style of a line: a text, which is cut to the width of the terminal, and `rest`.
fn style(rest: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{spinner}} {{wide_msg}}{rest}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
