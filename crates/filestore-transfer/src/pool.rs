//! [`TransferPool`]: the bounds of requests and memory that all transfers share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::concurrency::{Concurrency, Event, MAX};

const MIB: u32 = 1024 * 1024;

/// The bounds of everything that is transferred through it, to any number of stores. It is cheap to clone, and clones
/// share the bounds.
///
/// - **Requests.** The number of transfers in flight adapts by default: 128 at first, and then between 1 and 256, so
///   that more would not raise the rate. If a service rejects requests as *rate limited* or *unavailable*, the number
///   falls at once to what the service accepts. [`jobs`](Self::jobs) sets a fixed number.
/// - **Memory.** Each transfer reserves what it may buffer before it starts, and [`memory`](Self::memory) bounds the
///   sum: 64 MiB by default.
///
/// A transfer is one upload, download or delete of one file. A store may send several requests for it, such as the
/// parts of a large file.
///
/// ```
/// use filestore_transfer::TransferPool;
///
/// let adaptive = TransferPool::new();
/// let fixed = TransferPool::new().jobs(8).memory(16 << 20);
/// ```
#[derive(Clone)]
pub struct TransferPool(Arc<Bounds>);

struct Bounds {
    settings: Settings,
    /// One permit for each request that may be in flight.
    requests: Arc<Semaphore>,
    /// One permit for each byte.
    memory: Arc<Semaphore>,
    state: Mutex<State>,
    created: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    jobs: Option<usize>,
    most_jobs: usize,
    memory: u32,
    transfer_memory: u32,
}

struct State {
    concurrency: Concurrency,
    in_flight: usize,
    /// The number of permits of requests, in use or not. It is above the limit while the limit falls.
    permits: usize,
}

impl TransferPool {
    /// Creates bounds that adapt to the link and to the service, and 64 MiB of memory.
    pub fn new() -> Self {
        Self::with(Settings { jobs: None, most_jobs: MAX, memory: 64 * MIB, transfer_memory: 2 * MIB })
    }

    /// Returns a new pool in which `jobs` transfers are in flight, and which does not adapt. 0 counts as 1.
    pub fn jobs(self, jobs: usize) -> Self {
        Self::with(Settings { jobs: Some(jobs), ..self.0.settings })
    }

    /// Returns a new pool in which at most `jobs` transfers are in flight while the number adapts: 1 to 256, which is the
    /// default. Each transfer needs up to four open files. It has no effect together with [`jobs`](Self::jobs).
    pub fn most_jobs(self, jobs: usize) -> Self {
        Self::with(Settings { most_jobs: jobs, ..self.0.settings })
    }

    /// Returns a new pool whose transfers buffer at most `bytes` bytes together. The default is 64 MiB, and the highest
    /// bound 4 GiB.
    pub fn memory(self, bytes: u64) -> Self {
        Self::with(Settings { memory: bounded(bytes), ..self.0.settings })
    }

    /// Returns a new pool in which each transfer may buffer `bytes` bytes. The default is 2 MiB, which is enough for
    /// stores that stream. If a store buffers parts of large files, set what its configuration allows for one transfer.
    ///
    /// A file that is known to be smaller reserves its size. A transfer that may buffer more than [all
    /// together](Self::memory) reserves everything, and runs alone.
    pub fn transfer_memory(self, bytes: u64) -> Self {
        Self::with(Settings { transfer_memory: bounded(bytes), ..self.0.settings })
    }

    fn with(settings: Settings) -> Self {
        let concurrency = match settings.jobs {
            Some(jobs) => Concurrency::fixed(jobs),
            None => Concurrency::adaptive(settings.most_jobs),
        };
        let permits = concurrency.limit();
        Self(Arc::new(Bounds {
            settings,
            requests: Arc::new(Semaphore::new(permits)),
            memory: Arc::new(Semaphore::new(settings.memory as usize)),
            state: Mutex::new(State { concurrency, in_flight: 0, permits }),
            created: Instant::now(),
        }))
    }

    /// Waits until a request may start, and until the memory of one transfer is free. Requests start in the order of
    /// these calls.
    pub(crate) async fn acquire(&self) -> Permit {
        const OPEN: &str = "the semaphores are never closed";
        let Bounds { settings, requests, memory, .. } = &*self.0;
        let request = Arc::clone(requests).acquire_owned().await.expect(OPEN);
        let reserved = settings.transfer_memory.min(settings.memory);
        let memory = Arc::clone(memory).acquire_many_owned(reserved).await.expect(OPEN);
        let mut state = self.0.state();
        state.in_flight += 1;
        self.0.observe(&mut state, Event::Started);
        drop(state);
        Permit { pool: self.clone(), request: Some(request), memory, started: Instant::now(), end: None }
    }

    /// Takes note of content that was moved.
    pub(crate) fn moved(&self, bytes: u64) {
        self.0.observe(&mut self.0.state(), Event::Moved(bytes));
    }
}

impl Default for TransferPool {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TransferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        f.debug_struct("TransferPool")
            .field("settings", &self.0.settings)
            .field("limit", &state.concurrency.limit())
            .field("in_flight", &state.in_flight)
            .finish()
    }
}

impl Bounds {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports an event to the limit, and adjusts the number of permits to it.
    fn observe(&self, state: &mut State, event: Event) {
        state.concurrency.observe(self.created.elapsed(), state.in_flight, event);
        let limit = state.concurrency.limit();
        if limit > state.permits {
            self.requests.add_permits(limit - state.permits);
            state.permits = limit;
        } else {
            // Permits in use are taken away when their requests are done.
            state.permits -= self.requests.forget_permits(state.permits - limit);
        }
    }
}

fn bounded(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).max(1)
}

/// The right to have one request in flight, and the memory of its transfer. Both are free again when it is dropped.
pub(crate) struct Permit {
    pool: TransferPool,
    request: Option<OwnedSemaphorePermit>,
    memory: OwnedSemaphorePermit,
    started: Instant,
    /// `None`: the future of the request was dropped.
    end: Option<Event>,
}

impl Permit {
    /// Returns the memory that a file of `size` bytes does not need.
    pub(crate) fn shrink(&mut self, size: u64) {
        let excess = self.memory.num_permits().saturating_sub(usize::try_from(size).unwrap_or(usize::MAX));
        drop(self.memory.split(excess));
    }

    /// Ends the request, after it has moved so many bytes.
    pub(crate) fn done(mut self, bytes: u64) {
        self.end = Some(Event::Done { bytes, latency: self.started.elapsed() });
    }

    /// Ends the request that the service rejected, because of too many requests or because it is unavailable.
    pub(crate) fn rejected(mut self) {
        self.end = Some(Event::Rejected);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let bounds = &*self.pool.0;
        let mut state = bounds.state();
        if let Some(event) = self.end {
            bounds.observe(&mut state, event);
        }
        state.in_flight -= 1;
        if state.permits > state.concurrency.limit() {
            state.permits -= 1;
            self.request.take().into_iter().for_each(OwnedSemaphorePermit::forget);
        }
    }
}
