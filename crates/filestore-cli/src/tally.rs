//! [`Tally`]: the number of files of a command in each state, for the report after a signal.

/// The operation of a command on its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Upload,
    Download,
    Delete,
    Copy,
    Migrate,
}

impl Action {
    /// Returns the past participle, as in *the file is uploaded*.
    pub(crate) fn past(self) -> &'static str {
        match self {
            Self::Upload => "uploaded",
            Self::Download => "downloaded",
            Self::Delete => "deleted",
            Self::Copy => "copied",
            Self::Migrate => "moved",
        }
    }
}

/// The state of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    NotSent,
    /// Its transfer was stopped while it was in flight.
    Stopped,
    Failed,
    Done,
}

/// The number of files of a command, and of those with a result.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) action: Action,
    pub(crate) total: usize,
    pub(crate) done: usize,
    pub(crate) failed: usize,
    /// The number of transfers that were stopped while they were in flight.
    pub(crate) stopped: usize,
    /// `true` if the same command with `--if-exists skip` goes on.
    pub(crate) is_resumable: bool,
    /// `true` if the program ends although transfers are in flight.
    pub(crate) is_cut_off: bool,
}

impl Tally {
    pub(crate) fn new(action: Action, total: usize, is_resumable: bool) -> Self {
        Self { action, total, done: 0, failed: 0, stopped: 0, is_resumable, is_cut_off: false }
    }

    pub(crate) fn count(&mut self, state: State) {
        match state {
            State::NotSent => {}
            State::Stopped => self.stopped += 1,
            State::Failed => self.failed += 1,
            State::Done => self.done += 1,
        }
    }

    /// Returns the report after a signal: the files that are done and those that are not. `None` if there is nothing to
    /// report.
    pub(crate) fn describe(&self) -> Option<String> {
        let Self { action, total, done, failed, stopped, is_resumable, is_cut_off } = *self;
        if total <= 1 {
            let is_unknown = action != Action::Download && done + failed == 0;
            return is_unknown
                .then(|| "interrupted: the operation may have taken effect; check before you retry it".to_owned());
        }
        let past = action.past();
        let mut text = format!("interrupted: {done} of {total} files are {past}");
        if failed > 0 {
            text = format!("{text}, {failed} failed");
        }
        if stopped > 0 && action != Action::Download {
            text = format!("{text}, {stopped} were under way and may be {past}");
        }
        let rest = total.saturating_sub(done + failed + if action == Action::Download { 0 } else { stopped });
        if rest > 0 {
            let unknown = if is_cut_off { format!(" or were under way and may be {past}") } else { String::new() };
            text = format!("{text}, {rest} are not{unknown}");
        }
        if is_resumable {
            text = format!("{text}; the same command with `--if-exists skip` transfers the rest");
        } else if action == Action::Delete {
            text = format!("{text}; the same command deletes the rest");
        } else if action == Action::Migrate {
            text = format!("{text}; the same command goes on");
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_one_count() {
        let tally = |action, is_resumable| {
            let mut tally = Tally::new(action, 10, is_resumable);
            (tally.done, tally.failed, tally.stopped) = (4, 1, 2);
            tally.describe().unwrap()
        };
        assert_eq!(
            tally(Action::Upload, true),
            "interrupted: 4 of 10 files are uploaded, 1 failed, 2 were under way and may be uploaded, 3 are not; the \
             same command with `--if-exists skip` transfers the rest"
        );
        assert_eq!(
            tally(Action::Upload, false),
            "interrupted: 4 of 10 files are uploaded, 1 failed, 2 were under way and may be uploaded, 3 are not"
        );
        assert_eq!(tally(Action::Download, false), "interrupted: 4 of 10 files are downloaded, 1 failed, 5 are not");
        assert!(tally(Action::Delete, false).ends_with("3 are not; the same command deletes the rest"));
    }

    #[test]
    fn a_single_file_is_unknown_until_it_has_a_result() {
        let mut tally = Tally::new(Action::Upload, 1, true);
        assert!(tally.describe().unwrap().contains("may have taken effect"));
        tally.done = 1;
        assert_eq!(tally.describe(), None);
        assert_eq!(Tally::new(Action::Download, 1, true).describe(), None);
    }
}
