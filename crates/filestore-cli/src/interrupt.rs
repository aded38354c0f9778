//! Signals that end the program, and the bytes of an interrupted read that consumes its file.
//!
//! A read consumes a file if the service deletes the file after its last allowed download, as file.io does. Then the
//! bytes that arrived may be the only copy.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filestore::{BlockingThread, Cleanup, Effect, Error, ErrorKind, Result, locate_partial};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::output;
use crate::tally::Tally;

/// The longest wait after a signal for the response to a read that may have been sent. The response consumes the file, so
/// its bytes are kept.
const RESPONSE_GRACE: Duration = Duration::from_secs(5);

/// The time after a signal for the rest of a response that has begun: a short one arrives whole.
const BODY_GRACE: Duration = Duration::from_millis(500);

/// The longest wait after a signal for the removal of what an interrupted upload has left at the service.
const CLEANUP_GRACE: Duration = Duration::from_secs(5);

/// The longest time from a signal to the end of the program while no such read is under way.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest time from a signal to the end of the program while such a read is under way.
const EXIT_TIMEOUT_IN_READ: Duration = Duration::from_secs(8);

/// The longest time from a signal to the end of the program while an upload is removed.
const EXIT_TIMEOUT_IN_CLEANUP: Duration = Duration::from_secs(6);

/// The numbers of the signals for which tokio has no names, and which end a program by default: SIGXCPU (the process has
/// reached its soft limit of processor time), SIGVTALRM and SIGPROF (its timers), SIGSTKFLT, SIGIO and SIGPWR.
#[cfg(all(target_os = "linux", not(target_arch = "mips"), not(target_arch = "mips64")))]
const OTHER_SIGNALS: [i32; 6] = [24, 26, 27, 16, 29, 30];
/// The same for macOS, which has neither SIGSTKFLT nor SIGPWR, and ignores SIGIO.
#[cfg(target_os = "macos")]
const OTHER_SIGNALS: [i32; 3] = [24, 26, 27];
#[cfg(all(
    unix,
    not(target_os = "macos"),
    not(all(target_os = "linux", not(target_arch = "mips"), not(target_arch = "mips64")))
))]
const OTHER_SIGNALS: [i32; 0] = [];

/// Makes a write beyond the file size limit of this process an error. Without a handler, SIGXFSZ ends the program.
pub(crate) fn survive_file_size_limit() {
    #[cfg(all(target_os = "linux", not(target_arch = "mips"), not(target_arch = "mips64")))]
    let _ = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(25));
}

/// The time in which a second signal is the first one again: `timeout` and a terminal signal a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// The signals that end the program.
pub(crate) struct Signals {
    #[cfg(unix)]
    received: Vec<(tokio::signal::unix::Signal, u8)>,
}

impl Signals {
    /// Listens to the signals from now on.
    pub(crate) fn listen() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let ignored = ignored_signals();
            let kinds = [
                SignalKind::hangup(),
                SignalKind::interrupt(),
                SignalKind::quit(),
                SignalKind::user_defined1(),
                SignalKind::user_defined2(),
                SignalKind::alarm(),
                SignalKind::terminate(),
            ];
            let kinds = kinds.into_iter().chain(OTHER_SIGNALS.iter().map(|number| SignalKind::from_raw(*number)));
            let listen = |kind: SignalKind| {
                let number = u8::try_from(kind.as_raw_value()).ok()?;
                let is_ignored = ignored >> (number - 1) & 1 == 1;
                (!is_ignored).then(|| signal(kind).ok()).flatten().map(|signal| (signal, 128 + number))
            };
            Self { received: kinds.filter_map(listen).collect() }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Waits for the next signal. Returns the exit code that shells use for it.
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

/// Returns the signals that the parent process asked to ignore, as `nohup` does: bit 0 is signal 1. Returns 0 on a
/// system without `/proc`.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// The reads under way that consume their files, and a flag for any other change under way.
#[derive(Clone, Default)]
pub(crate) struct Reads(Arc<State>);

#[derive(Default)]
struct State {
    begun: AtomicUsize,
    under_way: Mutex<Vec<Entry>>,
    arrived: Notify,
    changing: AtomicBool,
    /// `true` after a signal.
    signaled: watch::Sender<bool>,
    /// The files of the batch under way.
    tally: Mutex<Option<Tally>>,
    /// `true` while the reads under way are reported.
    reporting: AtomicBool,
}

struct Entry {
    id: usize,
    /// The file in a form that messages may show.
    subject: String,
    location: Location,
    arrived: bool,
}

/// The source of the error of a read that a signal has stopped before its request was sent.
#[derive(Debug)]
pub(crate) struct NotBegun;

impl std::error::Error for NotBegun {}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signal came first")
    }
}

/// The place of the bytes that were read.
enum Location {
    /// A partial file. It is opened at once, because it may be moved, removed or replaced later.
    Partial(PathBuf, Option<File>),
    Whole(PathBuf),
    /// Standard output, with the number of bytes that arrived, and of those that it accepted.
    StandardOutput {
        arrived: u64,
        accepted: u64,
    },
}

/// A read that consumes its file. It stays under way until [`ended`](Self::ended) is called: neither a dropped
/// future nor a panic ends it.
#[derive(Clone)]
pub(crate) struct Read {
    reads: Reads,
    id: usize,
    subject: String,
}

impl Reads {
    /// Returns a read of `subject`. It is under way once the location of its bytes is known.
    pub(crate) fn begin(&self, subject: String) -> Read {
        let id = self.0.begun.fetch_add(1, Ordering::Relaxed);
        Read { reads: self.clone(), id, subject }
    }

    /// Runs a request that changes something. A signal must not end it without a warning.
    pub(crate) async fn changing<T>(&self, request: impl Future<Output = T>) -> T {
        self.0.changing.store(true, Ordering::Relaxed);
        let result = request.await;
        self.0.changing.store(false, Ordering::Relaxed);
        result
    }

    /// Waits for a signal.
    pub(crate) async fn signaled(&self) {
        let mut signaled = self.0.signaled.subscribe();
        let _ = signaled.wait_for(|signaled| *signaled).await;
    }

    /// Returns the files of the batch under way; `None` if there is none.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Option<Tally>> {
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` after a signal.
    pub(crate) fn is_signaled(&self) -> bool {
        *self.0.signaled.borrow()
    }

    /// Reports the batch under way. Does so only once.
    pub(crate) fn report_batch(&self) {
        let tally = self.tally().take();
        if let Some(text) = tally.and_then(|tally| tally.describe()) {
            output::report(&text);
        }
    }

    /// Warns, after a signal, that a request under way may have changed something. Warns only once.
    pub(crate) fn warn_of_change(&self) {
        if self.0.changing.swap(false, Ordering::Relaxed) {
            output::report("interrupted: the operation may have taken effect; check before you retry it");
        }
    }

    /// Returns `true` if a read is under way, or is being reported.
    pub(crate) fn are_under_way(&self) -> bool {
        self.0.reporting.load(Ordering::SeqCst) || !self.under_way().is_empty()
    }

    /// Continues `command` after a signal for as long as a read must not be dropped, or until a batch has stopped.
    pub(crate) async fn wait(&self, command: impl Future<Output = u8>) {
        self.0.signaled.send_replace(true);
        let has_batch = self.tally().is_some();
        if !self.are_under_way() && !has_batch {
            return;
        }
        let timeouts = async {
            // The request of a read may be sent at the moment of the signal.
            if !self.are_under_way() {
                sleep(EXIT_TIMEOUT).await;
            }
            if !self.are_under_way() {
                return;
            }
            if self.is_response_due() {
                output::report(&format!(
                    "waiting up to {} s for the response to the read, which may have been sent; interrupt again to stop now",
                    RESPONSE_GRACE.as_secs()
                ));
                let response = async {
                    while self.is_response_due() {
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
            () = timeouts => {}
        }
    }

    /// Reports for each read under way where its bytes are, once they are on the disk.
    pub(crate) fn report(&self) {
        // A thread that finds no read under way may end the program. The lock is not held, because the report waits for
        // ever if standard error is not read.
        self.0.reporting.store(true, Ordering::SeqCst);
        let entries = std::mem::take(&mut *self.under_way());
        for Entry { subject, location, .. } in entries {
            let location = match &location {
                Location::Partial(path, file) => describe_partial(path, file.as_ref()),
                Location::Whole(path) => format!("the whole file is in {}", path.display()),
                Location::StandardOutput { arrived, accepted } => describe_output(*arrived, *accepted),
            };
            output::report(&format!(
                "error: download {subject:?}: it was interrupted; the file is possibly consumed; {location}"
            ));
        }
        self.0.reporting.store(false, Ordering::SeqCst);
    }

    /// Returns `true` if a read under way has no response yet.
    fn is_response_due(&self) -> bool {
        self.under_way().iter().any(|entry| !entry.arrived)
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    /// Records that the bytes are at `path`. The first call names the partial file, the second the whole file. After a
    /// signal, the first one is an error, so that the request is not sent.
    pub(crate) fn located(&self, path: &Path) -> Result<()> {
        let mut under_way = self.reads.under_way();
        match under_way.iter_mut().find(|entry| entry.id == self.id) {
            Some(entry) => entry.location = Location::Whole(path.to_owned()),
            None if self.reads.is_signaled() => {
                let message = "it was interrupted before the request was sent";
                return Err(Error::new(ErrorKind::Other, Effect::NotSent, message).with_source(NotBegun));
            }
            None => {
                let file = File::options().read(true).append(true).open(path).ok();
                under_way.push(self.entry(Location::Partial(path.to_owned(), file)));
            }
        }
        Ok(())
    }

    /// Records that the bytes go to standard output.
    pub(crate) fn goes_to_standard_output(&self) {
        self.reads.under_way().push(self.entry(Location::StandardOutput { arrived: 0, accepted: 0 }));
    }

    /// Records bytes that go to standard output.
    pub(crate) fn received(&self, bytes: u64) {
        self.count(|arrived, _| *arrived += bytes);
    }

    /// Records bytes that standard output has accepted.
    pub(crate) fn passed_on(&self, bytes: u64) {
        self.count(|_, accepted| *accepted += bytes);
    }

    /// Describes how much of the file standard output has accepted. `None` if none has arrived.
    pub(crate) fn output(&self) -> Option<String> {
        let mut counted = (0, 0);
        self.count(|arrived, accepted| counted = (*arrived, *accepted));
        (counted.0 > 0).then(|| describe_output(counted.0, counted.1))
    }

    fn count(&self, add: impl FnOnce(&mut u64, &mut u64)) {
        let mut under_way = self.reads.under_way();
        let entry = under_way.iter_mut().find(|entry| entry.id == self.id);
        if let Some(Entry { location: Location::StandardOutput { arrived, accepted }, .. }) = entry {
            add(arrived, accepted);
        }
    }

    /// Records that bytes of the response have arrived.
    pub(crate) fn arrived(&self) {
        if let Some(entry) = self.reads.under_way().iter_mut().find(|entry| entry.id == self.id) {
            entry.arrived = true;
        }
        self.reads.0.arrived.notify_one();
    }

    /// Ends the read: its result is known, and says where the bytes are.
    pub(crate) fn ended(&self) {
        self.reads.under_way().retain(|entry| entry.id != self.id);
    }

    fn entry(&self, location: Location) -> Entry {
        Entry { id: self.id, subject: self.subject.clone(), location, arrived: false }
    }
}

/// Returns a text that names the path of the partial file, which was at `path`, and its size on the disk.
fn describe_partial(path: &Path, file: Option<&File>) -> String {
    let Some(file) = file else { return format!("the bytes that arrived were written to {}", path.display()) };
    let synced = file.sync_all();
    let located = locate_partial(file, path).and_then(|partial| Ok((partial.metadata()?.len(), partial)));
    match (located, synced) {
        (Ok((size, partial)), Ok(())) => format!("{size} bytes of it are kept in {}", partial.display()),
        (Ok((size, partial)), Err(error)) => {
            format!("{size} bytes of it were written to {}, which cannot be synced ({error})", partial.display())
        }
        // The file has no name any more.
        (Err(error), _) => {
            format!("nothing of it is kept: cannot copy the bytes to the folder of {}: {error}", path.display())
        }
    }
}

/// Describes how much of the file standard output has accepted.
fn describe_output(arrived: u64, accepted: u64) -> String {
    match accepted < arrived {
        true => format!(
            "standard output accepted {accepted} of the {arrived} bytes that arrived, and a part of the next; the rest \
             is lost"
        ),
        false => format!("the {arrived} bytes that arrived went to standard output"),
    }
}

/// Reports the reads under way when a panic ends the program.
pub(crate) struct ReportAfterPanic(pub(crate) Reads);

impl Drop for ReportAfterPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            BlockingThread::wait_until_idle(EXIT_TIMEOUT);
            self.0.report();
        }
    }
}

/// Ends the program after a signal even if its main thread is blocked by a standard output that is not read
/// (`list | less`). While a read or a cleanup is under way, it ends the program at the second signal.
pub(crate) async fn force_exit(mut signals: Signals, reads: Reads) {
    let code = signals.next().await;
    let begun = Instant::now();
    loop {
        let limit = exit_timeout(&reads);
        let again = async {
            loop {
                signals.next().await;
                if begun.elapsed() >= SAME_SIGNAL {
                    return;
                }
            }
        };
        let signaled_again = timeout_at(begun + limit, again).await.is_ok();
        // Checked once more: a read may have begun at the moment of the signal.
        let limit_now = exit_timeout(&reads);
        let is_busy = limit_now > EXIT_TIMEOUT;
        if is_busy == signaled_again || (is_busy && limit_now == limit) {
            break;
        }
    }
    // Standard error may not be read either.
    let report = std::thread::spawn(move || {
        reads.warn_of_change();
        reads.tally().iter_mut().for_each(|tally| tally.is_cut_off = true);
        reads.report_batch();
        output::report_unprinted();
        reads.report();
    });
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while !report.is_finished() && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
    std::process::exit(i32::from(code));
}

fn exit_timeout(reads: &Reads) -> Duration {
    match (reads.are_under_way(), Cleanup::is_running()) {
        (true, _) => EXIT_TIMEOUT_IN_READ,
        (false, true) => EXIT_TIMEOUT_IN_CLEANUP,
        (false, false) => EXIT_TIMEOUT,
    }
}

/// Waits, after a signal, until what the interrupted uploads have left is removed.
pub(crate) async fn end_cleanups() {
    if Cleanup::is_running() && timeout(CLEANUP_GRACE, Cleanup::all_ended()).await.is_err() {
        output::report("the service does not respond: a part of the interrupted operation may remain there");
    }
}

/// Waits until the bytes of the reads under way are written, and reports where they are.
pub(crate) fn report_after(runtime: tokio::runtime::Runtime, reads: &Reads) {
    if reads.are_under_way() {
        BlockingThread::wait_until_idle(EXIT_TIMEOUT);
        reads.report();
    }
    // A read of standard input may still wait for the terminal; do not wait for it.
    runtime.shutdown_background();
}
