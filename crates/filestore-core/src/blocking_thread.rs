//! [`BlockingThread`]: a thread for the blocking calls of one transfer, started before the request.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Effect, Error, ErrorKind, Result};

type Call = Box<dyn FnOnce() + Send>;

/// The number of calls of this process that are queued or running.
static CALLS: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A thread for the blocking calls of one transfer, such as writes to a file.
///
/// tokio starts a thread for blocking calls when it needs one. If the system allows none, the call fails or waits. After
/// the response to a read that consumes its file, that would lose the file, so this thread is started before the
/// request. It makes the calls one after the other, and ends after the last one when the value is dropped.
///
/// ```
/// # async fn example() -> filestore_core::Result<()> {
/// let thread = filestore_core::BlockingThread::start()?;
/// let written = thread.call(|| std::fs::write("a", "content")).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlockingThread {
    calls: mpsc::Sender<Call>,
}

impl BlockingThread {
    /// Starts a thread. Fails with *io* if the system allows no more threads.
    pub fn start() -> Result<Self> {
        let (calls, received) = mpsc::channel::<Call>();
        let run = move || received.into_iter().for_each(|call| call());
        thread::Builder::new().name("filestore-blocking".to_owned()).spawn(run).map_err(|error| {
            let message = format!("cannot start a thread: {error}; end other programs, or raise the limit of threads");
            Error::new(ErrorKind::Io, Effect::NotSent, message).with_source(error)
        })?;
        Ok(Self { calls })
    }

    /// Queues `call` at once. The future returns its result. If the future is dropped, the call is made nevertheless.
    ///
    /// Fails if `call` or an earlier call panicked.
    pub fn call<T, F>(&self, call: F) -> impl Future<Output = io::Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let (sender, result) = oneshot::channel();
        let running = Running::begin();
        let _ = self.calls.send(Box::new(move || {
            let result = call();
            drop(running);
            let _ = sender.send(result);
        }));
        async { result.await.unwrap_or_else(|_| Err(io::Error::other("the thread of a blocking call panicked"))) }
    }

    /// Waits at most `limit` until no call of this process is queued or running. A program that ends while a transfer is
    /// under way uses it, so that the last write is complete.
    pub fn wait_until_idle(limit: Duration) {
        let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ENDED.wait_timeout_while(calls, limit, |calls| *calls > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A call that is queued or running.
struct Running(());

impl Running {
    fn begin() -> Self {
        *CALLS.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *CALLS.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_calls_are_made_in_turn_on_the_thread_that_was_started() {
        let thread = BlockingThread::start().unwrap();
        let id = || Ok(thread::current().id());
        let (second, first) = (thread.call(id), thread.call(id).await.unwrap());
        assert_eq!(second.await.unwrap(), first);
        assert_ne!(first, thread::current().id());
        let failed = thread.call(|| Err::<(), _>(io::Error::other("full"))).await.unwrap_err();
        assert_eq!(failed.to_string(), "full");
    }

    #[tokio::test]
    async fn a_call_whose_future_is_dropped_is_made_and_can_be_waited_for() {
        let thread = BlockingThread::start().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let made = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&made);
        drop(thread.call(move || {
            let _ = wait.recv();
            flag.store(true, Ordering::SeqCst);
            Ok(())
        }));
        drop(thread);
        go.send(()).unwrap();
        BlockingThread::wait_until_idle(Duration::MAX);
        assert!(made.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error_and_so_is_each_later_call() {
        let thread = BlockingThread::start().unwrap();
        assert!(thread.call(|| -> io::Result<()> { panic!("on purpose") }).await.is_err());
        assert!(thread.call(|| Ok(())).await.is_err());
    }
}
