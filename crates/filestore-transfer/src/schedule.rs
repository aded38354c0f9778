//! [`Schedule`]: the task that reads the inputs of one call, starts their transfers, and sends their results.

use std::any::Any;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Progress, Result, Store};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Fuse, StreamExt};
use tokio::sync::mpsc::{OwnedPermit, Sender};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::pool::Permit;
use crate::progress::Totals;
use crate::transfer::Transfer;
use crate::{Stopped, TransferPool, TransferProgress};

/// The number of inputs that are read ahead, and the number of results that wait to be received.
pub(crate) const WINDOW: usize = 10_000;

/// The highest number of requests for one input.
const MOST_TRIES: u32 = 5;

/// The wait before the second request for an input. It doubles before each further one.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The longest wait that a service may ask for. If it asks for more, the input fails.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The time between two calls of the observer of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The inputs of one call.
pub(crate) type Inputs<K, T> = BoxStream<'static, (K, Box<dyn Transfer<T>>)>;

/// The transfers of one call.
pub(crate) struct Schedule<K, T> {
    pool: TransferPool,
    store: Store,
    pub(crate) inputs: Fuse<Inputs<K, T>>,
    inputs_read: u64,
    /// The inputs that were read, the largest first.
    queue: BinaryHeap<Queued<K, T>>,
    /// The inputs that are sent again, by the time and the number of the input.
    delayed: BTreeMap<(Instant, u64), Queued<K, T>>,
    /// The time until which the service asks to send nothing.
    paused_until: Option<Instant>,
    running: JoinSet<Option<Repeat<K, T>>>,
    totals: SharedTotals,
    /// Cancelled when no further transfer may start.
    pub(crate) last_start: CancellationToken,
    pub(crate) observer: Option<Box<dyn FnMut(TransferProgress) + Send>>,
    pub(crate) inspector: Option<Inspector<K, T>>,
}

/// Receives each result as soon as it is known.
pub(crate) type Inspector<K, T> = Arc<dyn Fn(&K, &Result<T>) + Send + Sync>;

/// An input. If it is dropped after its transfer has started and before it has a result, the result is [`Stopped`].
struct Input<K, T> {
    key: Option<K>,
    size: Option<u64>,
    /// The position in the order of the inputs.
    number: u64,
    /// The number of requests that failed, and the number of attempts that the store made for them.
    tries: u32,
    attempts: u32,
    /// The place of the result, from the first request on.
    place: Option<Place<K, T>>,
    /// The effect if it is dropped now.
    effect_if_dropped: Effect,
    inspector: Option<Inspector<K, T>>,
}

type Place<K, T> = OwnedPermit<(K, Result<T>)>;

struct Queued<K, T> {
    input: Input<K, T>,
    transfer: Box<dyn Transfer<T>>,
}

/// A transfer that was rejected and is sent again.
struct Repeat<K, T> {
    queued: Queued<K, T>,
    delay: Duration,
    /// `true` if the service asks to send nothing until then.
    pauses_all: bool,
}

impl<K: Send + 'static, T: Send + 'static> Schedule<K, T> {
    pub(crate) fn new(pool: TransferPool, store: Store, inputs: Inputs<K, T>) -> Self {
        Self {
            pool,
            store,
            inputs: inputs.fuse(),
            inputs_read: 0,
            queue: BinaryHeap::new(),
            delayed: BTreeMap::new(),
            paused_until: None,
            running: JoinSet::new(),
            totals: SharedTotals::default(),
            last_start: CancellationToken::new(),
            observer: None,
            inspector: None,
        }
    }

    /// Runs all transfers, and sends a result for each input.
    pub(crate) async fn run(mut self, results: Sender<(K, Result<T>)>) {
        let began = Instant::now();
        let mut ticks = interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut next_start = self.next_start(&results);
        let last_start = self.last_start.clone();
        loop {
            let is_cancelled = last_start.is_cancelled();
            if is_cancelled {
                self.queue.clear();
                self.delayed.clear();
                self.paused_until = None;
            }
            let may_read = !is_cancelled && !self.inputs.is_done() && self.queue.len() + self.delayed.len() < WINDOW;
            let may_start = !self.queue.is_empty() && self.paused_until.is_none();
            let wake_at = self.paused_until.or(self.delayed.first_key_value().map(|((due, _), _)| *due));
            if !may_read && !may_start && wake_at.is_none() && self.running.is_empty() {
                break;
            }
            tokio::select! {
                // In this order, the window is full before the largest input is chosen.
                biased;
                _ = ticks.tick(), if self.observer.is_some() => self.report(began.elapsed()),
                () = last_start.cancelled(), if !is_cancelled => {}
                Some(finished) = self.running.join_next() => {
                    match finished.map_err(JoinError::try_into_panic) {
                        Ok(repeat) => repeat.into_iter().for_each(|repeat| self.delay(repeat)),
                        Err(Ok(panic)) => resume_unwind(panic),
                        // The runtime shuts down.
                        Err(Err(_)) => return,
                    }
                    if self.paused_until.is_some() {
                        // A call that sends nothing must not keep the others from starting.
                        next_start = self.next_start(&results);
                    }
                }
                input = self.inputs.next(), if may_read => self.read(input),
                () = sleep_until(wake_at.unwrap_or(began)), if wake_at.is_some() => self.wake(),
                start = &mut next_start, if may_start => {
                    // Without a receiver, this task is about to be aborted.
                    let Some((place, permit)) = start else { return };
                    self.start(place, permit);
                    next_start = self.next_start(&results);
                }
            }
        }
        self.report(began.elapsed());
    }

    /// Waits for the right to start a transfer: a place for its result, and then a request. So a request never waits
    /// for a result to be received.
    fn next_start(&self, results: &Sender<(K, Result<T>)>) -> BoxFuture<'static, Option<(Place<K, T>, Permit)>> {
        let (pool, results) = (self.pool.clone(), results.clone());
        Box::pin(async move {
            let place = results.reserve_owned().await.ok()?;
            Some((place, pool.acquire().await))
        })
    }

    fn read(&mut self, input: Option<(K, Box<dyn Transfer<T>>)>) {
        let Some((key, transfer)) = input else { return self.totals.lock().inputs_ended() };
        let (size, number) = (transfer.size(), self.inputs_read);
        self.inputs_read += 1;
        self.totals.lock().found(size);
        let (key, effect_if_dropped) = (Some(key), Effect::NotSent);
        let inspector = self.inspector.clone();
        let input = Input { key, size, number, tries: 0, attempts: 0, place: None, effect_if_dropped, inspector };
        self.queue.push(Queued { input, transfer });
    }

    fn start(&mut self, place: Place<K, T>, mut permit: Permit) {
        let Some(Queued { mut input, transfer }) = self.queue.pop() else { return };
        input.place.get_or_insert(place);
        input.effect_if_dropped = transfer.effect_if_dropped(&self.store);
        if let Some(size) = input.size {
            permit.shrink(size);
        }
        // The retries of the store are enough for a single file.
        let is_single = self.inputs.is_done() && self.inputs_read == 1;
        let may_repeat = !is_single && input.tries + 1 < MOST_TRIES;
        let again = if may_repeat { transfer.try_clone(&self.store) } else { None };
        let totals = self.totals.clone();
        let meter = Meter { pool: self.pool.clone(), totals: totals.clone(), transferred: Arc::default() };
        let (store, transferred) = (self.store.clone(), Arc::clone(&meter.transferred));
        self.running.spawn(async move {
            let name = store.name().to_owned();
            let observer = Box::new(move |progress| meter.progress(progress));
            let request = async move { transfer.run(store, observer).await };
            let result = AssertUnwindSafe(request).catch_unwind().await;
            let result = result.unwrap_or_else(|panic| Err(panicked(&*panic).with_store(name)));
            let transferred = transferred.load(atomic::Ordering::Relaxed);
            match &result {
                Err(error) if is_overload(error) => permit.rejected(),
                _ => permit.done(transferred),
            }
            // No result is lost if this task is aborted after the transfer has ended: there is no await from here on.
            input.finish(result, again, &totals, transferred)
        });
    }

    /// Keeps a transfer that was rejected until it is sent again.
    fn delay(&mut self, repeat: Repeat<K, T>) {
        let due = Instant::now() + repeat.delay;
        if repeat.pauses_all {
            self.paused_until = self.paused_until.max(Some(due));
        }
        self.delayed.insert((due, repeat.queued.input.number), repeat.queued);
    }

    /// Ends a pause, and returns the inputs that are due to the queue.
    fn wake(&mut self) {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let later = self.delayed.split_off(&(now, u64::MAX));
        self.queue.extend(std::mem::replace(&mut self.delayed, later).into_values());
    }

    fn report(&mut self, elapsed: Duration) {
        if let Some(observer) = &mut self.observer {
            let progress = self.totals.lock().snapshot(elapsed);
            observer(progress);
        }
    }
}

impl<K, T> Input<K, T> {
    /// Sends the result, or returns the transfer to repeat.
    fn finish(
        mut self,
        result: Result<T>,
        again: Option<Box<dyn Transfer<T>>>,
        totals: &SharedTotals,
        transferred: u64,
    ) -> Option<Repeat<K, T>> {
        let error = match result {
            Ok(value) => {
                totals.lock().done(self.size, transferred);
                self.send(Ok(value));
                return None;
            }
            Err(error) => error,
        };
        self.attempts += error.attempts();
        if let Some((transfer, delay)) = again.zip(retry_delay(&error, self.tries)) {
            totals.lock().moved(transferred, 0);
            self.tries += 1;
            self.effect_if_dropped = error.effect();
            let pauses_all = error.retry_after().is_some();
            return Some(Repeat { queued: Queued { input: self, transfer }, delay, pauses_all });
        }
        totals.lock().failed(self.size, transferred);
        let attempts = self.attempts;
        self.send(Err(error.with_attempts(attempts)));
        None
    }

    fn send(&mut self, result: Result<T>) {
        if let Some((place, key)) = self.place.take().zip(self.key.take()) {
            self.inspector.iter().for_each(|inspector| inspector(&key, &result));
            place.send((key, result));
        }
    }
}

impl<K, T> Drop for Input<K, T> {
    fn drop(&mut self) {
        #[cfg(planted_bugs)]
        if filestore_core::planted_bug("stopped-not-reported") {
            return;
        }
        let effect = self.effect_if_dropped;
        self.send(Err(Error::new(ErrorKind::Other, effect, "the transfer was stopped").with_source(Stopped)));
    }
}

/// The order of the queue: by size, and the first of equal ones. An unknown size is the largest.
impl<K, T> Queued<K, T> {
    fn priority(&self) -> (u64, Reverse<u64>) {
        (self.input.size.unwrap_or(u64::MAX), Reverse(self.input.number))
    }
}

impl<K, T> PartialEq for Queued<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.priority() == other.priority()
    }
}

impl<K, T> Eq for Queued<K, T> {}

impl<K, T> PartialOrd for Queued<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K, T> Ord for Queued<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority().cmp(&other.priority())
    }
}

/// Returns `true` if fewer requests may help.
fn is_overload(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable)
}

/// Returns the wait until the same transfer is repeated after `tries` others, or `None` if it is not.
fn retry_delay(error: &Error, tries: u32) -> Option<Duration> {
    // The retries of the store are enough for other failures, such as connections that break.
    let asks_to_wait = match error.kind() {
        ErrorKind::RateLimited => true,
        ErrorKind::Unavailable => error.http_status() == Some(503),
        _ => false,
    };
    let delay = error.retry_after().unwrap_or(FIRST_RETRY_DELAY * (1 << tries));
    (asks_to_wait && error.effect() == Effect::Rejected && delay <= LONGEST_RETRY_AFTER).then_some(delay)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    let message = format!("the transfer panicked: {}", text.unwrap_or("the panic has no message"));
    Error::new(ErrorKind::Other, Effect::Unknown, message)
}

/// The totals of the call, which its transfers share.
#[derive(Clone, Default)]
struct SharedTotals(Arc<Mutex<Totals>>);

impl SharedTotals {
    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observer of one transfer: it reports what was moved to the totals and to the pool.
struct Meter {
    pool: TransferPool,
    totals: SharedTotals,
    transferred: Arc<AtomicU64>,
}

impl Meter {
    fn progress(&self, progress: Progress) {
        let now = progress.transferred;
        let before = self.transferred.swap(now, atomic::Ordering::Relaxed);
        self.totals.lock().moved(before, now);
        self.pool.moved(now.saturating_sub(before));
    }
}
