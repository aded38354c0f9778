//! The threads of the program. A system that allows too few of them is an error before anything else happens.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// The threads besides the workers of the runtime: one for its blocking calls, and one for those of a download.
const BLOCKING: usize = 2;

/// Builds the runtime. Fails if the system does not allow its threads, and those of one transfer, at the same time.
pub(crate) fn runtime() -> io::Result<Runtime> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    // tokio panics if it cannot start a worker.
    check(workers + BLOCKING)?;
    Builder::new_multi_thread().worker_threads(workers).enable_all().build()
}

/// Starts `count` threads, and ends them once all are there.
fn check(count: usize) -> io::Result<()> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel::<()>()).unzip();
    // Each thread waits for the end of its channel.
    let start = |receiver: mpsc::Receiver<()>| thread::Builder::new().spawn(move || receiver.iter().for_each(drop));
    let started: Vec<_> = receivers.into_iter().map(start).collect();
    drop(senders);
    let mut all = Ok(());
    for thread in started {
        match thread {
            Ok(thread) => drop(thread.join()),
            Err(error) => all = Err(error),
        }
    }
    wait_for_removal();
    all.map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("the system does not allow {count} threads: {error}; raise the limit"))
    })
}

/// Waits until the system no longer counts the threads that have ended, which is a moment after they were joined.
fn wait_for_removal() {
    const ATTEMPTS: usize = 1000;
    for _ in 0..ATTEMPTS {
        // Without `/proc`, there is nothing to wait for.
        if std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) <= 1 {
            break;
        }
        thread::yield_now();
    }
}
