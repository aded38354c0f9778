//! The progress of all transfers of one call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use filestore_core::Error;
use filestore_transfer::{TransferPool, TransferProgress};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use crate::counting_store::{CountingStore, rate_limited};
use crate::upload;

/// Returns the progress of an upload of ten files of 1,000 bytes, one after the other in a second each, with its times.
async fn progress(double: CountingStore) -> Vec<(Duration, TransferProgress)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let observer = {
        let seen = Arc::clone(&seen);
        move |progress| seen.lock().unwrap().push((start.elapsed(), progress))
    };
    let inputs = stream::iter(0..10).map(|number| (number, upload(&format!("{number}"), 1000)));
    let pool = TransferPool::new().jobs(1);
    pool.upload_all(&double.store(), inputs).on_progress(observer).count().await;
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_observer_is_called_ten_times_a_second_and_at_the_end() {
    let seen = progress(CountingStore::new(Duration::from_secs(1))).await;
    assert!((100..=103).contains(&seen.len()), "{}", seen.len());
    let (time, last) = seen.last().unwrap();
    assert_eq!(time.as_secs(), 10);
    assert_eq!((last.files_done, last.files_failed, last.files_total), (10, 0, 10));
    assert_eq!((last.bytes_done, last.bytes_total, last.is_total_known), (10_000, 10_000, true));
    assert_eq!(last.remaining, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn rate_and_remaining_time_are_those_of_the_last_seconds() {
    let seen = progress(CountingStore::new(Duration::from_secs(1))).await;
    let (_, progress) = seen.iter().find(|(time, _)| time.as_millis() >= 7050).unwrap();
    assert_eq!((progress.files_done, progress.bytes_done, progress.bytes_per_second), (7, 7000, 1000));
    assert_eq!(progress.remaining.unwrap().as_secs_f64().round(), 3.0);
}

#[tokio::test(start_paused = true)]
async fn failed_and_repeated_files_are_counted_once() {
    let double = CountingStore::new(Duration::from_secs(1)).failing(|name, earlier| match name {
        "3" => Some(Error::not_found("there is no such folder")),
        "5" if earlier == 0 => Some(rate_limited()),
        _ => None,
    });
    let seen = progress(double).await;
    let (_, last) = seen.last().unwrap();
    assert_eq!((last.files_done, last.files_failed, last.files_total), (9, 1, 10));
    assert_eq!((last.bytes_done, last.bytes_total), (9000, 9000));
    for (_, progress) in seen {
        assert!(progress.bytes_done <= progress.bytes_total);
    }
}

#[tokio::test(start_paused = true)]
async fn totals_are_unknown_until_all_inputs_are_read() {
    let double = CountingStore::new(Duration::from_millis(500));
    let inputs = stream::iter(0..3).then(|number| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (number, upload("a", 10))
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let seen = Arc::clone(&seen);
        move |progress: TransferProgress| {
            let shown = (progress.is_total_known, progress.files_total, progress.bytes_total);
            let mut seen = seen.lock().unwrap();
            if seen.last() != Some(&shown) {
                seen.push(shown);
            }
        }
    };
    TransferPool::new().upload_all(&double.store(), Box::pin(inputs)).on_progress(observer).count().await;
    assert_eq!(*seen.lock().unwrap(), [(false, 0, 0), (false, 1, 10), (false, 2, 20), (true, 3, 30)]);
}
