//! [`Batch`]: runs the transfers of one command.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::pin::pin;

use filestore::{Effect, Result, Store};
use filestore_transfer::{Outcomes, Stopped, TransferPool};
use futures::StreamExt;

use crate::context::Context;
use crate::interrupt::NotBegun;
use crate::open_files;
use crate::output;
use crate::progress::Lines;
use crate::tally::{Action, State, Tally};

/// The transfers of one command over one store.
pub(crate) struct Batch<'a> {
    context: &'a Context,
    store: &'a Store,
    pub(crate) lines: Lines,
    /// `true` if results are printed in the order of the inputs, instead of at once.
    pub(crate) in_order: bool,
    /// `true` if `--if-exists skip` recognizes what is transferred.
    pub(crate) is_resumable: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(context: &'a Context, store: &'a Store) -> Self {
        Self { context, store, lines: Lines::new(context.quiet), in_order: true, is_resumable: false }
    }

    /// Runs the transfers, whose keys are the numbers of the inputs from 0 on. `print` receives each result, except those
    /// of transfers that were stopped. Returns `false` if the command must end.
    ///
    /// After a signal, no further transfer starts, and those in flight are stopped, except for reads that consume their
    /// files. If `print` fails, those in flight are finished. Reports what happened to the inputs without a result.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        inputs: Inputs<'_, T>,
        outcomes: Outcomes<usize, T>,
        mut print: impl FnMut(usize, Result<T>) -> Result<()>,
    ) -> bool {
        let Inputs { action, total, name, summary } = inputs;
        let reads = &self.context.reads;
        *reads.tally() = Some(Tally::new(action, total, self.is_resumable));
        let (lines, tallied) = (self.lines.clone(), reads.clone());
        // Standard output may not be read for a long time. Until then, results are recorded where a signal finds them.
        let mut outcomes =
            outcomes.on_progress(move |progress| lines.show(&progress)).inspect(move |number, result| {
                tallied.tally().iter_mut().for_each(|tally| tally.count(State::of(result)));
                if let Some(summary) = result.as_ref().ok().and_then(summary) {
                    output::wait_for_print(*number, summary);
                }
            });
        let (finish_started, signaled) = (outcomes.finisher(), reads.clone());
        let no_more = tokio::spawn(async move {
            signaled.signaled().await;
            finish_started();
        });
        let reads_files = matches!(action, Action::Download | Action::Copy | Action::Migrate);
        let is_consuming = reads_files && self.store.capabilities().reads_consume();
        let mut signaled = pin!(reads.signaled());
        let (mut is_signaled, mut failure) = (false, None);
        let mut order = Order::new(self.in_order);
        let mut states = vec![State::NotSent; total];
        let mut has_ended = false;
        while !has_ended {
            let due = tokio::select! {
                biased;
                () = &mut signaled, if !is_signaled => {
                    is_signaled = true;
                    if !is_consuming {
                        outcomes.stop();
                    }
                    order.rest()
                }
                outcome = outcomes.next() => match outcome {
                    Some(outcome) => {
                        states[outcome.key] = State::of(&outcome.result);
                        order.next(outcome.key, outcome.result, is_signaled || failure.is_some())
                    }
                    None => {
                        has_ended = true;
                        order.rest()
                    }
                },
            };
            for (number, result) in due {
                if matches!(states[number], State::Done | State::Failed)
                    && let Err(error) = self.lines.suspend(|| print(number, result))
                    && failure.is_none()
                {
                    outcomes.finish_started();
                    failure = Some(error);
                }
                output::printed(number);
            }
        }
        no_more.abort();
        self.lines.done();
        let are_named = failure.as_ref().is_some_and(|error| !output::is_closed_by_reader(error));
        for (number, state) in states.iter().enumerate() {
            match state {
                State::NotSent if are_named => output::report(&format!("not {}: {}", action.past(), name(number))),
                // The next run of a migration looks for them.
                State::Stopped if total > 1 && !matches!(action, Action::Download | Action::Migrate) => {
                    output::report(&format!("stopped, and possibly {}: {}", action.past(), name(number)));
                }
                _ => {}
            }
        }
        if is_signaled {
            reads.report_batch();
        } else {
            reads.tally().take();
        }
        !is_signaled && failure.is_none()
    }
}

/// The inputs of a batch.
pub(crate) struct Inputs<'a, T> {
    pub(crate) action: Action,
    pub(crate) total: usize,
    /// Returns the name of the input with this number.
    pub(crate) name: &'a (dyn Fn(usize) -> String + Sync),
    /// Describes a result that is recorded nowhere else until it is printed.
    pub(crate) summary: fn(&T) -> Option<String>,
}

/// Reports the number of files of further stores, if a batch has ended the command.
pub(crate) fn report_rest(action: Action, files: usize) {
    if files > 0 {
        output::report(&format!("{files} more files are not {}", action.past()));
    }
}

/// The memory of the transfer of a large file in bytes: it bounds the number of large files that are open at once.
const TRANSFER_MEMORY: u64 = 4 << 20;

/// Returns the pool of a command with `--jobs`.
pub(crate) fn pool(jobs: Option<u16>) -> TransferPool {
    let pool = TransferPool::new().transfer_memory(TRANSFER_MEMORY);
    match (jobs, open_files::limit()) {
        (Some(jobs), _) => pool.jobs(jobs.into()),
        (None, Some(files)) => pool.most_jobs(open_files::transfers(files)),
        (None, None) => pool,
    }
}

impl State {
    fn of<T>(result: &Result<T>) -> Self {
        let Err(error) = result else { return Self::Done };
        match error.source() {
            Some(source) if source.is::<Stopped>() && error.effect() == Effect::Unknown => Self::Stopped,
            Some(source) if source.is::<Stopped>() || source.is::<NotBegun>() => Self::NotSent,
            _ => Self::Failed,
        }
    }
}

/// Results that wait for those before them.
struct Order<T> {
    waiting: BTreeMap<usize, Result<T>>,
    /// The number of the next result. `None`: there is no order.
    next: Option<usize>,
}

impl<T> Order<T> {
    fn new(in_order: bool) -> Self {
        Self { waiting: BTreeMap::new(), next: in_order.then_some(0) }
    }

    /// Takes a result, and returns those that are due: all of them if `at_once`.
    fn next(&mut self, number: usize, result: Result<T>, at_once: bool) -> Vec<(usize, Result<T>)> {
        self.waiting.insert(number, result);
        let mut due = Vec::new();
        while let Some((number, _)) = self.waiting.first_key_value() {
            match &mut self.next {
                Some(next) if *number == *next => *next += 1,
                Some(_) if !at_once => break,
                _ => {}
            }
            due.extend(self.waiting.pop_first());
        }
        due
    }

    /// Returns all results that wait.
    fn rest(&mut self) -> Vec<(usize, Result<T>)> {
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(results: &[(usize, Result<()>)]) -> Vec<usize> {
        results.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn results_in_order_wait_for_those_before_them_until_all_are_due_at_once() {
        let mut order = Order::new(true);
        assert_eq!(numbers(&order.next(1, Ok(()), false)), [0; 0]);
        assert_eq!(numbers(&order.next(0, Ok(()), false)), [0, 1]);
        assert_eq!(numbers(&order.next(4, Ok(()), false)), [0; 0]);
        assert_eq!(numbers(&order.next(3, Ok(()), true)), [3, 4]);
        assert_eq!(numbers(&order.next(2, Ok(()), true)), [2]);
        let mut order = Order::new(false);
        assert_eq!(numbers(&order.next(7, Ok(()), false)), [7]);
        assert_eq!(numbers(&order.next(2, Ok(()), false)), [2]);
    }
}
