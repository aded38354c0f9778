//! Every input has one outcome, whatever happens to it and to the others.

use std::collections::BTreeSet;
use std::time::Duration;

use filestore_core::{Body, Effect, Error, ErrorKind, Upload};
use filestore_transfer::{Outcome, TransferPool};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::counting_store::{CountingStore, reference};
use crate::upload;

#[tokio::test(start_paused = true)]
async fn each_of_20_000_inputs_has_one_outcome_and_failed_ones_do_not_stop_the_others() {
    let double = CountingStore::new(Duration::from_millis(40)).failing(|name, _| match name {
        name if name.ends_with("13") => Some(Error::not_found("there is no such folder")),
        name if name.ends_with("0077") => panic!("the backend is broken"),
        _ => None,
    });
    let inputs = stream::iter(0..20_000).map(|number| (number, upload(&format!("file {number}"), number % 3)));
    let outcomes: Vec<_> = TransferPool::new().upload_all(&double.store(), inputs).collect().await;
    assert_eq!(outcomes.len(), 20_000);
    assert_eq!(outcomes.iter().map(|outcome| outcome.key).collect::<BTreeSet<_>>(), (0..20_000).collect());
    for Outcome { key, result, .. } in outcomes {
        match (key, result) {
            (key, Err(error)) if key % 100 == 13 => assert_eq!(error.kind(), ErrorKind::NotFound),
            (key, Err(error)) if key % 10_000 == 77 => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Other, Effect::Unknown))
            }
            (key, Ok(file)) => assert_eq!(file.name, format!("file {key}")),
            (key, Err(error)) => panic!("{key}: {error}"),
        }
    }
    assert!(double.counts().requests.values().all(|requests| *requests == 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_error_of_its_input() {
    let double = CountingStore::new(Duration::ZERO).failing(|_, _| panic!("index out of bounds"));
    let outcome = TransferPool::new().delete_all(&double.store(), stream::iter([("key", reference("a"))])).next().await;
    let Outcome { key, result, .. } = outcome.unwrap();
    let error = result.unwrap_err();
    assert_eq!((key, error.kind(), error.effect()), ("key", ErrorKind::Other, Effect::Unknown));
    assert_eq!(error.to_string(), "counting: the transfer panicked: index out of bounds");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_inputs_is_a_panic_of_the_outcomes() {
    let double = CountingStore::new(Duration::ZERO);
    let inputs = stream::iter(0..3).map(|number| match number {
        2 => panic!("no more inputs"),
        _ => ((), upload("a", 0)),
    });
    let outcomes = TransferPool::new().upload_all(&double.store(), inputs).collect::<Vec<_>>();
    let panic = std::panic::AssertUnwindSafe(outcomes).catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"no more inputs"));
}

#[tokio::test(start_paused = true)]
async fn the_largest_inputs_are_sent_first_within_a_window_of_10_000() {
    let double = CountingStore::new(Duration::from_millis(1));
    // In the window: an unknown size, 5, 0, 1, 2, 1, ... After it: one that is larger than all.
    let mut inputs = vec![upload("five", 5), upload("zero", 0)];
    inputs.push(Upload::new("unknown", Body::from_stream(stream::iter([Ok::<_, Error>("x")]), None)));
    inputs.extend((3..10_000).map(|number| upload(&format!("{number}"), 1 + number % 2)));
    inputs.push(upload("nine", 9));
    let inputs = stream::iter(inputs).map(|upload| ((), upload));
    let pool = TransferPool::new().jobs(1);
    assert_eq!(pool.upload_all(&double.store(), inputs).count().await, 10_001);
    let order = double.counts().order.clone();
    // When the first input is sent, the window has room for the next one.
    assert_eq!(order[..4], ["unknown", "nine", "five", "3"]);
    // Of equal inputs, the first is sent first.
    assert_eq!(order[4..6], ["5", "7"]);
    assert_eq!(order[5001..5003], ["9999", "4"]);
    assert_eq!(order.last().unwrap(), "zero");
}

#[tokio::test(start_paused = true)]
async fn an_input_does_not_wait_for_later_ones() {
    let double = CountingStore::new(Duration::ZERO);
    let inputs = stream::iter(0..3).then(|number| async move {
        sleep(Duration::from_secs(60) * number).await;
        (number, upload("a", 1))
    });
    let start = Instant::now();
    let mut outcomes = TransferPool::new().upload_all(&double.store(), Box::pin(inputs));
    for (number, seconds) in [(0, 0), (1, 60), (2, 180)] {
        assert_eq!(outcomes.next().await.unwrap().key, number);
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    assert!(outcomes.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn transfers_do_not_wait_for_the_outcomes_to_be_received() {
    let double = CountingStore::new(Duration::from_millis(40));
    let inputs = stream::iter(0..1000).map(|number| (number, upload(&format!("{number}"), 1)));
    let mut outcomes = TransferPool::new().upload_all(&double.store(), inputs);
    outcomes.next().await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(double.counts().state(), (1000, 0));
    assert_eq!(outcomes.count().await, 999);
}

#[tokio::test(start_paused = true)]
async fn at_most_10_000_outcomes_wait_to_be_received() {
    let double = CountingStore::new(Duration::from_millis(1));
    let inputs = stream::iter(0..15_000).map(|number| (number, reference(&format!("{number}"))));
    let mut outcomes = TransferPool::new().delete_all(&double.store(), inputs);
    outcomes.next().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!((10_000..10_010).contains(&double.counts().order.len()), "{:?}", double.counts().order.len());
    assert_eq!(outcomes.count().await, 14_999);
}

#[tokio::test(start_paused = true)]
async fn dropped_outcomes_drop_the_requests_in_flight_and_start_no_others() {
    let double = CountingStore::new(Duration::from_secs(60));
    let pool = TransferPool::new().jobs(8);
    let inputs = stream::iter(0..100).map(|number| (number, upload(&format!("{number}"), 1)));
    let mut outcomes = pool.upload_all(&double.store(), inputs);
    assert!(outcomes.next().now_or_never().is_none());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(double.counts().in_flight, 8);
    drop(outcomes);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(double.counts().state(), (8, 0));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(double.counts().order.len(), 8);
    // The pool is free again.
    let quick = CountingStore::new(Duration::from_millis(1));
    let inputs = stream::iter(0..100).map(|number| (number, upload(&format!("{number}"), 1)));
    assert_eq!(pool.upload_all(&quick.store(), inputs).count().await, 100);
    assert_eq!(quick.counts().most_in_flight, 8);
}

#[test]
fn outside_of_a_runtime_every_input_fails() {
    let double = CountingStore::new(Duration::ZERO);
    let inputs = stream::iter(0..3).map(|number| (number, upload("a", 1)));
    let outcomes = TransferPool::new().upload_all(&double.store(), inputs).collect::<Vec<_>>();
    let errors = outcomes.now_or_never().unwrap().into_iter().map(|outcome| outcome.result.unwrap_err().kind());
    assert_eq!(errors.collect::<Vec<_>>(), [ErrorKind::Config; 3]);
}

#[tokio::test(start_paused = true)]
async fn no_inputs_have_no_outcomes() {
    let double = CountingStore::new(Duration::ZERO);
    let mut outcomes = TransferPool::new().upload_all(&double.store(), stream::empty::<((), Upload)>());
    assert!(outcomes.next().await.is_none());
    assert!(outcomes.next().await.is_none());
}
