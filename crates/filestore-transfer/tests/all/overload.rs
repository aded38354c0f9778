//! Services that reject requests because there are too many.

use std::time::Duration;

use filestore_core::{Body, Delete, Effect, Error, ErrorKind, Upload};
use filestore_transfer::{Save, TransferPool};
use futures::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::counting_store::{CountingStore, rate_limited, reference};
use crate::upload;

#[tokio::test(start_paused = true)]
async fn a_service_that_rejects_requests_above_16_stores_all_files_with_few_rejections() {
    let double = CountingStore::new(Duration::from_millis(40)).accepting(16);
    let inputs = stream::iter(0..5000).map(|number| (number, upload(&format!("{number}"), 100)));
    let start = Instant::now();
    let mut outcomes = TransferPool::new().upload_all(&double.store(), inputs);
    let mut rejected_in_first_second = 0;
    while let Some(outcome) = outcomes.next().await {
        outcome.result.unwrap();
        if start.elapsed() < Duration::from_secs(1) {
            rejected_in_first_second = double.counts().rejected;
        }
    }
    let counts = double.counts();
    assert_eq!((counts.order.len(), counts.most_in_flight), (5000, 16));
    // The first 128 requests find the limit; the others seek a higher one from time to time.
    assert!((112..140).contains(&rejected_in_first_second), "{rejected_in_first_second}");
    assert!(counts.rejected < 160, "{}", counts.rejected);
    assert!(counts.requests.values().all(|requests| *requests <= 3));
    // 16 at a time would take 12.5 s.
    assert!(start.elapsed() < Duration::from_millis(14_700), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_service_gets_the_same_input_again_four_times() {
    let double = CountingStore::new(Duration::ZERO).failing(|name, earlier| {
        let error = match name {
            "unavailable" => {
                Error::new(ErrorKind::Unavailable, Effect::Rejected, "come back later").with_http_status(503)
            }
            _ => rate_limited(),
        };
        (earlier < 4 || name == "hopeless").then(|| error.with_attempts(4))
    });
    let names = ["limited", "unavailable", "hopeless"];
    let inputs = stream::iter(names).map(|name| (name, reference(name)));
    let start = Instant::now();
    let mut outcomes: Vec<_> = TransferPool::new().delete_all(&double.store(), inputs).collect().await;
    // After 0.5 s, 1 s, 2 s and 4 s.
    assert_eq!(start.elapsed().as_millis() / 100, 75);
    outcomes.sort_by_key(|outcome| outcome.key);
    let [hopeless, limited, unavailable] = outcomes.try_into().unwrap();
    limited.result.unwrap();
    unavailable.result.unwrap();
    let error = hopeless.result.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::RateLimited, 20));
    assert!(double.counts().requests.values().all(|requests| *requests == 5));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_taken_effect_is_not_repeated() {
    let errors = [
        (ErrorKind::Unavailable, Effect::Unknown),
        (ErrorKind::RateLimited, Effect::Unknown),
        (ErrorKind::Unavailable, Effect::Applied),
        // The retries of the store are enough if there is no connection.
        (ErrorKind::Unavailable, Effect::NotSent),
        // So they are if it breaks.
        (ErrorKind::Unavailable, Effect::Rejected),
        (ErrorKind::Timeout, Effect::Rejected),
        (ErrorKind::Quota, Effect::Rejected),
    ];
    for (kind, effect) in errors {
        let double = CountingStore::new(Duration::ZERO).failing(move |_, _| Some(Error::new(kind, effect, "failed")));
        let inputs = stream::iter(["a", "b"]).map(|name| ((), upload(name, 1)));
        let mut outcomes = TransferPool::new().upload_all(&double.store(), inputs);
        while let Some(outcome) = outcomes.next().await {
            let error = outcome.result.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (kind, effect));
        }
        assert!(double.counts().requests.values().all(|requests| *requests == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_input_has_the_retries_of_the_store_alone() {
    let double = CountingStore::new(Duration::ZERO).failing(|_, _| Some(rate_limited()));
    let outcome = TransferPool::new().delete_all(&double.store(), stream::iter([((), reference("a"))])).next().await;
    assert_eq!(outcome.unwrap().result.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(double.counts().requests["a"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_replayed_is_sent_once() {
    let double = CountingStore::new(Duration::ZERO).failing(|_, _| Some(rate_limited()));
    let body = Body::from_stream(stream::iter([Ok::<_, Error>("x")]), Some(1));
    let inputs = stream::iter([("a", Upload::new("a", body)), ("b", upload("b", 1))]);
    let mut outcomes = TransferPool::new().upload_all(&double.store(), inputs);
    while let Some(outcome) = outcomes.next().await {
        assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::RateLimited);
        assert_eq!(double.counts().requests[outcome.key], if outcome.key == "a" { 1 } else { 5 });
    }
    assert_eq!(double.counts().requests["a"], 1);
}

#[tokio::test]
async fn a_read_that_consumes_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    for (double, requests) in [
        (CountingStore::new(Duration::ZERO).failing(|_, earlier| (earlier == 0).then(rate_limited)).consuming(), 1),
        (CountingStore::new(Duration::ZERO).failing(|_, earlier| (earlier == 0).then(rate_limited)), 2),
    ] {
        let folder = folder.path().to_owned();
        let inputs = stream::iter(["a", "b"]).map(move |name| (name, Save::to_folder(reference(name), &folder)));
        let mut outcomes = TransferPool::new().download_all(&double.store(), inputs);
        while let Some(outcome) = outcomes.next().await {
            let sent = double.counts().requests[outcome.key];
            assert_eq!((outcome.result.is_ok(), sent), (requests == 2, requests));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_service_asks_to_wait() {
    let double = CountingStore::new(Duration::from_millis(10)).failing(|name, earlier| {
        (name == "first" && earlier == 0).then(|| rate_limited().with_retry_after(Duration::from_secs(20)))
    });
    let names = stream::iter(["first"]).chain(stream::once(async {
        sleep(Duration::from_secs(1)).await;
        "second"
    }));
    let start = Instant::now();
    let inputs = Box::pin(names).map(|name| (name, reference(name)));
    let outcomes = TransferPool::new().delete_all(&double.store(), inputs);
    let seconds = outcomes.map(|outcome| (outcome.result.is_ok(), start.elapsed().as_secs()));
    assert_eq!(seconds.collect::<Vec<_>>().await, [(true, 20), (true, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_to_wait_for_more_than_60_seconds_fails_the_input() {
    let long = Duration::from_secs(61);
    let double = CountingStore::new(Duration::ZERO).failing(move |_, _| Some(rate_limited().with_retry_after(long)));
    let inputs = stream::iter([((), Delete::from(reference("a")))]);
    let outcome = TransferPool::new().delete_all(&double.store(), inputs).next().await.unwrap();
    assert_eq!(outcome.result.unwrap_err().retry_after(), Some(long));
    assert_eq!(double.counts().requests["a"], 1);
}
