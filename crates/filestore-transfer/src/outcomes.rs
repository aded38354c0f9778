//! [`Outcomes`]: the stream of results of one call.

use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use filestore_core::{Result, check_runtime};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::TransferProgress;
use crate::schedule::{Schedule, WINDOW};

/// The result of one input.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<K, T> {
    /// The key of the input.
    pub key: K,
    /// The result of the transfer.
    pub result: Result<T>,
}

/// The results of all inputs of one call, in the order of completion: one for each input.
///
/// The transfers start when the stream is polled for the first time. From then on they run in tasks of tokio, and do
/// not wait for the stream to be polled, until 10,000 results wait for it.
///
/// If the stream is dropped, no further request starts, and the futures of those in flight are dropped. The effect is
/// that of a dropped method of [`Store`](filestore_core::Store): an upload in flight is stored completely or not at
/// all, a download leaves no file behind, and [reads that consume](filestore_core::Capabilities::reads_consume) leave
/// their partial file.
///
/// Outside of a tokio runtime, every input fails with *config*.
#[must_use = "nothing is transferred until the stream is polled"]
pub struct Outcomes<K, T> {
    state: State<K, T>,
    /// Cancelled when no further transfer may start.
    last_start: CancellationToken,
}

enum State<K, T> {
    Created(Box<Schedule<K, T>>),
    Running { outcomes: mpsc::Receiver<(K, Result<T>)>, schedule: AbortOnDropHandle<()> },
    Ended,
}

impl<K: Send + 'static, T: Send + 'static> Outcomes<K, T> {
    pub(crate) fn new(schedule: Schedule<K, T>) -> Self {
        Self { last_start: schedule.last_start.clone(), state: State::Created(Box::new(schedule)) }
    }

    /// Reports the progress of all transfers of this call to `observer`: ten times a second, and once more at the end.
    /// The transfers wait for it: return quickly.
    ///
    /// Call it before the stream is polled; later it has no effect.
    pub fn on_progress(mut self, observer: impl FnMut(TransferProgress) + Send + 'static) -> Self {
        if let State::Created(schedule) = &mut self.state {
            schedule.observer = Some(Box::new(observer));
        }
        self
    }

    /// Calls `inspector` with each result as soon as it is known, before the stream has it: in the task of the transfer,
    /// or in the one that stops it. The stream may be polled much later.
    ///
    /// Call it before the stream is polled; later it has no effect.
    pub fn inspect(mut self, inspector: impl Fn(&K, &Result<T>) + Send + Sync + 'static) -> Self {
        if let State::Created(schedule) = &mut self.state {
            schedule.inspector = Some(Arc::new(inspector));
        }
        self
    }

    /// Returns a function that has the effect of [`finish_started`](Self::finish_started), for another task.
    pub fn finisher(&self) -> impl Fn() + Send + Sync + use<K, T> {
        let last_start = self.last_start.clone();
        move || last_start.cancel()
    }

    /// Starts no further transfer. The results of those in flight follow, and then the stream ends.
    pub fn finish_started(&mut self) {
        if matches!(self.state, State::Created(_)) {
            self.state = State::Ended;
        }
        self.last_start.cancel();
    }

    /// Starts no further transfer, and drops the futures of those in flight. The results that are known follow, then an
    /// error with the source [`Stopped`](crate::Stopped) for each transfer that was in flight or waited for its retry,
    /// and then the stream ends. Inputs that were not sent have no result.
    ///
    /// The effect of such an error is *unknown* for uploads and deletes, and for reads that consume; for other
    /// downloads and for transfers that wait for a retry it is *rejected*.
    pub fn stop(&mut self) {
        match &self.state {
            State::Created(_) => self.state = State::Ended,
            State::Running { schedule, .. } => schedule.abort(),
            State::Ended => {}
        }
    }

    fn start(&mut self) {
        if let State::Created(schedule) = std::mem::replace(&mut self.state, State::Ended) {
            let (sender, outcomes) = mpsc::channel(WINDOW);
            let schedule = AbortOnDropHandle::new(tokio::spawn(schedule.run(sender)));
            self.state = State::Running { outcomes, schedule };
        }
    }
}

impl<K: Send + 'static, T: Send + 'static> Stream for Outcomes<K, T> {
    type Item = Outcome<K, T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Created(schedule) = &mut self.state {
            if let Err(error) = check_runtime() {
                let next = ready!(schedule.inputs.poll_next_unpin(context));
                return Poll::Ready(next.map(|(key, _)| Outcome { key, result: Err(error) }));
            }
            self.start();
        }
        let State::Running { outcomes, schedule } = &mut self.state else { return Poll::Ready(None) };
        if let Some((key, result)) = ready!(outcomes.poll_recv(context)) {
            return Poll::Ready(Some(Outcome { key, result }));
        }
        let ended = ready!(schedule.poll_unpin(context));
        self.state = State::Ended;
        if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
            resume_unwind(panic);
        }
        Poll::Ready(None)
    }
}

impl<K, T> fmt::Debug for Outcomes<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Created(_) => "Outcomes(created)",
            State::Running { .. } => "Outcomes(running)",
            State::Ended => "Outcomes(ended)",
        })
    }
}
