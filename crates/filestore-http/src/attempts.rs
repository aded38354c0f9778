//! [`Attempts`]: what the requests of one protocol step share.

use std::time::Duration;

use filestore_core::Effect;

use crate::History;

/// How often a step was tried and how long it waited, over all the requests that it took.
///
/// A flow that repeats a step with fresh means (a new URL for an expired one) does so out of the same
/// attempts and the same time as the retries below it:
/// [`HttpClient::send_within`](crate::HttpClient::send_within) and
/// [`HttpClient::retry_step`](crate::HttpClient::retry_step) both count here.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    pub(crate) made: u32,
    pub(crate) waited: Duration,
    /// What its retries took from the shared budget. It comes back when one of them succeeds.
    pub(crate) paid: u32,
    pub(crate) history: History,
}

impl Attempts {
    /// None made, nothing waited.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more is made, of a step whose requests have attempts of their own.
    pub fn begin(&mut self) {
        self.made += 1;
    }

    /// Some of an answer came: the attempts for its rest count anew, after this one.
    pub fn progressed(&mut self) {
        (self.made, self.waited) = (1, Duration::ZERO);
    }

    /// What all of them prove about the effect of the step.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Takes in that a read-back has found no trace of the step; see [`History::record_nothing_found`].
    pub fn record_nothing_found(&mut self) -> Effect {
        self.history.record_nothing_found()
    }

    /// How many were made.
    pub fn made(&self) -> u32 {
        self.made
    }
}
