//! Signals that end the program, and what is left of a read that consumes its file.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filestore::locate_partial;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::output;

/// After a signal, how long the program waits for the response to a read that was sent: the file is consumed
/// with it, so what the service sends is kept.
const RESPONSE_GRACE: Duration = Duration::from_secs(5);

/// After a signal, how long a response that has begun may still take: a short one arrives whole.
const BODY_GRACE: Duration = Duration::from_millis(500);

/// The longest time until the program ends where no such read is under way.
const END: Duration = Duration::from_secs(1);

/// The longest time until it ends where one is.
const LONGEST: Duration = Duration::from_secs(8);

/// The signals that end the program, listened to from now on.
pub(crate) struct Signals {
    #[cfg(unix)]
    received: Vec<(tokio::signal::unix::Signal, u8)>,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // A file beyond the limit of this process is then a failed write, which is reported.
            #[cfg(all(target_os = "linux", not(target_arch = "mips"), not(target_arch = "mips64")))]
            let _ = signal(SignalKind::from_raw(25));
            let ignored = ignored_signals();
            let kinds = [
                SignalKind::hangup(),
                SignalKind::interrupt(),
                SignalKind::quit(),
                SignalKind::user_defined1(),
                SignalKind::user_defined2(),
                SignalKind::alarm(),
                SignalKind::terminate(),
                // SIGXCPU: the limit of processor time is near.
                #[cfg(any(target_os = "linux", target_os = "macos"))]
                SignalKind::from_raw(24),
            ];
            let listen = |kind: SignalKind| {
                let number = u8::try_from(kind.as_raw_value()).ok()?;
                let is_ignored = ignored >> (number - 1) & 1 == 1;
                (!is_ignored).then(|| signal(kind).ok()).flatten().map(|signal| (signal, 128 + number))
            };
            Self { received: kinds.into_iter().filter_map(listen).collect() }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Waits for the next one; the code is the one that shells use.
    pub(crate) async fn next(&mut self) -> u8 {
        #[cfg(unix)]
        {
            if self.received.is_empty() {
                return std::future::pending().await;
            }
            let received = self.received.iter_mut().map(|(signal, code)| {
                Box::pin(async {
                    signal.recv().await;
                    *code
                })
            });
            futures::future::select_all(received).await.0
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            130
        }
    }
}

/// The signals that the parent process asked to ignore, as `nohup` does: bit 0 is signal 1. Empty where the system does
/// not tell.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// The reads under way that consume their files, and whether something else is being changed.
#[derive(Clone, Default)]
pub(crate) struct Reads(Arc<State>);

#[derive(Default)]
struct State {
    begun: AtomicUsize,
    under_way: Mutex<Vec<Entry>>,
    arrived: Notify,
    changing: AtomicBool,
}

struct Entry {
    id: usize,
    /// As messages may show it.
    subject: String,
    place: Place,
    arrived: bool,
}

enum Place {
    /// Opened when it was told, because it may be moved, removed or replaced since.
    Partial(PathBuf, Option<File>),
    Whole(PathBuf),
    StandardOutput,
}

/// One of them. It stays under way until it [ended](Self::ended): a dropped future and a panic do not end it.
#[derive(Clone)]
pub(crate) struct Read {
    reads: Reads,
    id: usize,
    subject: String,
}

impl Reads {
    /// A read of `subject`, which is under way once its place is known.
    pub(crate) fn begin(&self, subject: String) -> Read {
        let id = self.0.begun.fetch_add(1, Ordering::Relaxed);
        Read { reads: self.clone(), id, subject }
    }

    /// Runs a request that changes something, which a signal must not end silently.
    pub(crate) async fn changing<T>(&self, request: impl Future<Output = T>) -> T {
        self.0.changing.store(true, Ordering::Relaxed);
        let result = request.await;
        self.0.changing.store(false, Ordering::Relaxed);
        result
    }

    /// Says, after a signal, that a request under way may have changed something. Says it once.
    pub(crate) fn warn_of_change(&self) {
        if self.0.changing.swap(false, Ordering::Relaxed) {
            output::report("interrupted: the operation may have taken effect; look before you repeat it");
        }
    }

    pub(crate) fn are_under_way(&self) -> bool {
        !self.under_way().is_empty()
    }

    /// After a signal: goes on with `command` for as long as a read must not be dropped.
    pub(crate) async fn settle(&self, command: impl Future<Output = u8>) {
        if !self.are_under_way() {
            return;
        }
        let bounds = async {
            if self.await_response() {
                output::report(&format!(
                    "waiting up to {} s for the response to the read that was sent; interrupt again to stop now",
                    RESPONSE_GRACE.as_secs()
                ));
                let response = async {
                    while self.await_response() {
                        self.0.arrived.notified().await;
                    }
                };
                if timeout(RESPONSE_GRACE, response).await.is_err() {
                    return;
                }
            }
            sleep(BODY_GRACE).await;
        };
        tokio::select! {
            _ = command => {}
            () = bounds => {}
        }
    }

    /// Says of each read under way where its bytes are, once they are on the disk.
    pub(crate) fn report(&self) {
        // Held until it is said: who finds none under way may end the program.
        for Entry { subject, place, .. } in self.under_way().drain(..) {
            let kept = match &place {
                Place::Partial(path, file) => kept(path, file.as_ref()),
                Place::Whole(path) => format!("the whole file is in {}", path.display()),
                Place::StandardOutput => "what arrived of it went to standard output".to_owned(),
            };
            output::report(&format!(
                "error: download {subject:?}: it was interrupted; the file is possibly consumed; {kept}"
            ));
        }
    }

    fn await_response(&self) -> bool {
        self.under_way().iter().any(|entry| !entry.arrived)
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    /// The bytes are at `path`: first of a partial file, then of the whole one.
    pub(crate) fn located(&self, path: &Path) {
        let mut under_way = self.reads.under_way();
        match under_way.iter_mut().find(|entry| entry.id == self.id) {
            Some(entry) => entry.place = Place::Whole(path.to_owned()),
            None => {
                let file = File::options().read(true).append(true).open(path).ok();
                under_way.push(self.entry(Place::Partial(path.to_owned(), file)));
            }
        }
    }

    pub(crate) fn goes_to_standard_output(&self) {
        self.reads.under_way().push(self.entry(Place::StandardOutput));
    }

    /// Bytes of the response are here.
    pub(crate) fn arrived(&self) {
        if let Some(entry) = self.reads.under_way().iter_mut().find(|entry| entry.id == self.id) {
            entry.arrived = true;
        }
        self.reads.0.arrived.notify_one();
    }

    /// Its result is known, and says what is left.
    pub(crate) fn ended(&self) {
        self.reads.under_way().retain(|entry| entry.id != self.id);
    }

    fn entry(&self, place: Place) -> Entry {
        Entry { id: self.id, subject: self.subject.clone(), place, arrived: false }
    }
}

/// Says where the partial file is that was at `path`, and how much is on the disk.
fn kept(path: &Path, file: Option<&File>) -> String {
    let locate = || {
        let file = file.ok_or(std::io::ErrorKind::NotFound)?;
        file.sync_all()?;
        let place = locate_partial(file, path)?;
        std::io::Result::Ok((place.metadata()?.len(), place))
    };
    match locate() {
        Ok((size, place)) => format!("{size} bytes of it are kept in {}", place.display()),
        Err(error) => format!("what arrived of it was written to {} ({error})", path.display()),
    }
}

/// Reports the reads under way when a panic ends the program.
pub(crate) struct ReportAfterPanic(pub(crate) Reads);

impl Drop for ReportAfterPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.report();
        }
    }
}

/// Ends the program although its thread is held by a standard output that nobody reads (`list | less`), or
/// although a read is waited for, at the second signal.
pub(crate) async fn force_exit(mut signals: Signals, reads: Reads) {
    let code = signals.next().await;
    let begun = Instant::now();
    loop {
        let limit = if reads.are_under_way() { LONGEST } else { END };
        let again = timeout_at(begun + limit, signals.next()).await.is_ok();
        // A read may have begun at the very moment of the signal: asked anew.
        match (reads.are_under_way(), again) {
            (true, true) | (false, false) => break,
            (true, false) if limit == LONGEST => break,
            _ => {}
        }
    }
    reads.warn_of_change();
    reads.report();
    std::process::exit(i32::from(code));
}

/// Waits until what was read is written, and says where it is.
pub(crate) fn report_after(runtime: tokio::runtime::Runtime, reads: &Reads) {
    if reads.are_under_way() {
        // Writes that were begun are ended before the runtime is.
        runtime.shutdown_timeout(END);
        reads.report();
    } else {
        // A read of standard input may still be waiting for its terminal; do not wait with it.
        runtime.shutdown_background();
    }
}
