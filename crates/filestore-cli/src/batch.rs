//! [`Batch`]: runs the transfers of one command.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::pin::pin;

use filestore::{Result, Store};
use filestore_transfer::{Outcomes, Stopped, TransferPool};
use futures::StreamExt;

use crate::context::Context;
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

    /// Runs `total` transfers, whose keys are their numbers from 0 on. `print` receives each result, except those of
    /// transfers that were stopped.
    ///
    /// After a signal, or if `print` fails, no further transfer starts, and those in flight are stopped, except for reads
    /// that consume their files. Reports the counts after a signal, and returns the state of each input if `print` has
    /// failed.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        action: Action,
        total: usize,
        outcomes: Outcomes<usize, T>,
        mut print: impl FnMut(usize, Result<T>) -> Result<()>,
    ) -> Vec<State> {
        let reads = &self.context.reads;
        *reads.tally() = Some(Tally::new(action, total, self.is_resumable));
        let lines = self.lines.clone();
        let mut outcomes = outcomes.on_progress(move |progress| lines.show(&progress));
        let mut signaled = pin!(reads.signaled());
        let (mut is_signaled, mut is_broken) = (false, false);
        let mut order = Order::new(self.in_order);
        let mut states = vec![State::NotSent; total];
        let is_consuming = action == Action::Download && self.store.capabilities().reads_consume();
        let end =
            |outcomes: &mut Outcomes<usize, T>| if is_consuming { outcomes.finish_started() } else { outcomes.stop() };
        loop {
            let outcome = tokio::select! {
                biased;
                () = &mut signaled, if !is_signaled => {
                    is_signaled = true;
                    end(&mut outcomes);
                    continue;
                }
                outcome = outcomes.next() => outcome,
            };
            let is_last = outcome.is_none();
            let due = match outcome {
                Some(outcome) => {
                    states[outcome.key] = State::of(&outcome.result);
                    reads.tally().iter_mut().for_each(|tally| tally.count(states[outcome.key]));
                    order.next(outcome.key, outcome.result, is_signaled || is_broken)
                }
                None => order.rest(),
            };
            for (number, result) in due.into_iter().filter(|(number, _)| states[*number] != State::Stopped) {
                if self.lines.suspend(|| print(number, result)).is_err() && !is_broken {
                    is_broken = true;
                    end(&mut outcomes);
                }
            }
            if is_last {
                break;
            }
        }
        self.lines.done();
        if is_signaled {
            reads.report_batch();
        } else {
            reads.tally().take();
        }
        if is_broken { states } else { Vec::new() }
    }
}

/// Returns the pool of a command with `--jobs`.
pub(crate) fn pool(jobs: Option<u16>) -> TransferPool {
    match jobs {
        Some(jobs) => TransferPool::new().jobs(jobs.into()),
        None => TransferPool::new(),
    }
}

impl State {
    fn of<T>(result: &Result<T>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) if error.source().is_some_and(|source| source.is::<Stopped>()) => Self::Stopped,
            Err(_) => Self::Failed,
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
