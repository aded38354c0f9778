//! Calls that end early.

use std::time::Duration;

use filestore_core::{Effect, Error};
use filestore_transfer::{Outcome, Save, Stopped, TransferPool};
use futures::{StreamExt, stream};
use tokio::time::sleep;

use crate::counting_store::{CountingStore, rate_limited, reference};
use crate::upload;

fn is_stopped(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Stopped>())
}

/// The key of an outcome; for an error whether the transfer was stopped, and the effect.
type Shown = (u32, Result<(), (bool, Effect)>);

fn results<T>(mut outcomes: Vec<Outcome<u32, T>>) -> Vec<Shown> {
    outcomes.sort_by_key(|outcome| outcome.key);
    let result = |error: Error| (is_stopped(&error), error.effect());
    outcomes.into_iter().map(|outcome| (outcome.key, outcome.result.map(drop).map_err(result))).collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_each_input_that_was_sent_has_a_result() {
    let double = CountingStore::new(Duration::from_secs(1)).failing(|name, _| (name == "1").then(rate_limited));
    let inputs = stream::iter(0..10).map(|number| (number, upload(&number.to_string(), 1)));
    let mut outcomes = TransferPool::new().jobs(3).upload_all(&double.store(), inputs);
    let first = outcomes.next().await.unwrap();
    // 0 is done. 1 waits for its retry. 2 has ended, and its result is not received yet. 3 to 5 are in flight.
    sleep(Duration::from_millis(100)).await;
    outcomes.stop();
    let rest = results(outcomes.collect().await);
    assert_eq!((first.key, first.result.is_ok()), (0, true));
    let stopped = |effect| Err((true, effect));
    let unknown = stopped(Effect::Unknown);
    assert_eq!(rest, [(1, stopped(Effect::Rejected)), (2, Ok(())), (3, unknown), (4, unknown), (5, unknown)]);
    assert_eq!(double.counts().state(), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_download_that_is_stopped_changes_nothing_unless_its_read_consumes() {
    let folder = tempfile::tempdir().unwrap();
    for (double, effect) in [
        (CountingStore::new(Duration::from_secs(1)), Effect::Rejected),
        (CountingStore::new(Duration::from_secs(1)).consuming(), Effect::Unknown),
    ] {
        let inputs = stream::iter([(0, Save::to_path(reference("a"), folder.path().join("a")))]);
        let mut outcomes = TransferPool::new().download_all(&double.store(), inputs);
        tokio::select! {
            biased;
            _ = outcomes.next() => unreachable!(),
            () = sleep(Duration::from_millis(100)) => outcomes.stop(),
        }
        assert_eq!(results(outcomes.collect().await), [(0, Err((true, effect)))]);
    }
}

#[tokio::test(start_paused = true)]
async fn transfers_that_have_started_are_finished_and_no_others_start() {
    let double = CountingStore::new(Duration::from_secs(1));
    let inputs = stream::iter(0..10).map(|number| (number, upload(&number.to_string(), 1)));
    let mut outcomes = TransferPool::new().jobs(3).upload_all(&double.store(), inputs);
    tokio::select! {
        biased;
        _ = outcomes.next() => unreachable!(),
        () = sleep(Duration::from_millis(100)) => outcomes.finish_started(),
    }
    assert_eq!(results(outcomes.collect().await), [(0, Ok(())), (1, Ok(())), (2, Ok(()))]);
    assert_eq!(double.counts().state(), (3, 0));
}

#[tokio::test]
async fn nothing_is_sent_if_a_call_ends_before_it_begins() {
    let double = CountingStore::new(Duration::ZERO);
    for stop in [true, false] {
        let mut outcomes = TransferPool::new().delete_all(&double.store(), stream::iter([(0, reference("a"))]));
        if stop {
            outcomes.stop()
        } else {
            outcomes.finish_started()
        }
        assert!(outcomes.next().await.is_none());
    }
    assert_eq!(double.counts().state(), (0, 0));
}
