//! Everything that the connections of one emulator share, and which part of it a path leads to.

use std::io;

use http::request::Parts;

use crate::clock::Clock;
use crate::control::Guard;
use crate::faults::{FaultPlan, Faults};
use crate::fileio::{self, FileIo};
use crate::journal::Journal;

/// Where redirects of the `redirect` fault lead to.
pub(crate) const GONE_PAGE: &str = "/_emulator/gone";

#[derive(Debug)]
pub(crate) struct Site {
    /// What links and written configurations begin with, without a slash at the end.
    pub(crate) base: String,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    pub(crate) guard: Guard,
    pub(crate) fileio: FileIo,
}

impl Site {
    /// As if it had just been started with nothing: files, faults, journal and clock.
    pub(crate) async fn reset(&self) -> io::Result<()> {
        self.fileio.clear().await?;
        self.faults.load(FaultPlan::default());
        self.journal.clear();
        self.clock.reset()
    }
}

/// The part of the emulator that answers a request.
#[derive(Debug)]
pub(crate) enum Destination {
    Control,
    Gone,
    Fileio(fileio::Route),
    Nowhere,
}

impl Destination {
    pub(crate) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        if path == GONE_PAGE || path.starts_with(&format!("{GONE_PAGE}/")) {
            return Destination::Gone;
        }
        match path.split('/').nth(1).unwrap_or_default() {
            "_emulator" => Destination::Control,
            // The paths of PubNub and Files.com and of their storage, which are not emulated yet.
            "v1" | "v2" | "v3" | "publish" | "time" | "api" | "f" | "_storage" => Destination::Nowhere,
            _ => Destination::Fileio(fileio::Route::of(&head.method, path)),
        }
    }
}
