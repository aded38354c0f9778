//! Progress bars, on a terminal only.

use std::time::Duration;

use filestore::{Observer, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The time between two steps of the spinner.
const INTERVAL: Duration = Duration::from_millis(200);

/// A bar for one transfer. It draws nothing if `quiet` is set or standard error is not a terminal.
#[derive(Clone)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(name: &str, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(style("{bytes} {bytes_per_sec}"));
        bar.set_message(crate::output::visible(name));
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
            self.0.set_style(style("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
            self.0.set_length(total);
        }
        self.0.set_position(progress.transferred);
    }
}

/// Draws the bar also while nothing arrives. A task, because the bar's own ticker is a thread, which the system may not
/// allow.
async fn animate(bar: ProgressBar) {
    while !bar.is_finished() {
        bar.tick();
        tokio::time::sleep(INTERVAL).await;
    }
}

fn style(rest: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{spinner}} {{msg}} {rest}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
