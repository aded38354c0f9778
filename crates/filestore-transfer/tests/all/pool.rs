//! One pool bounds everything that is transferred through it.

use std::time::Duration;

use filestore_transfer::TransferPool;
use futures::{StreamExt, stream};

use crate::counting_store::{CountingStore, reference};
use crate::upload;

#[tokio::test(start_paused = true)]
async fn the_store_never_has_more_requests_than_jobs() {
    for jobs in [1, 7, 300] {
        let double = CountingStore::new(Duration::from_millis(40));
        let inputs = stream::iter(0..1000).map(|number| (number, reference(&format!("{number}"))));
        TransferPool::new().jobs(jobs).delete_all(&double.store(), inputs).count().await;
        assert_eq!(double.counts().most_in_flight, jobs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bound_and_the_outcomes_are_the_same_on_many_threads() {
    let double = CountingStore::new(Duration::from_millis(1));
    let inputs = stream::iter(0..5000).map(|number| (number, upload(&format!("{number}"), 1)));
    let outcomes = TransferPool::new().jobs(50).upload_all(&double.store(), inputs);
    let mut keys: Vec<_> = outcomes.map(|outcome| outcome.key).collect().await;
    keys.sort_unstable();
    assert_eq!(keys, (0..5000).collect::<Vec<_>>());
    let counts = double.counts();
    assert_eq!((counts.most_in_flight, counts.order.len()), (50, 5000));
}

#[tokio::test(start_paused = true)]
async fn without_jobs_128_requests_begin_and_256_is_the_most() {
    let double = CountingStore::new(Duration::from_millis(40));
    let inputs = |count: usize| stream::iter(0..count).map(|number| (number, reference(&format!("{number}"))));
    TransferPool::new().delete_all(&double.store(), inputs(200)).count().await;
    assert_eq!(double.counts().most_in_flight, 128);
    TransferPool::new().delete_all(&double.store(), inputs(10_000)).count().await;
    assert_eq!(double.counts().most_in_flight, 256);
}

#[tokio::test(start_paused = true)]
async fn two_stores_share_the_requests_of_a_pool() {
    let double = CountingStore::new(Duration::from_millis(40));
    let pool = TransferPool::new().jobs(10);
    let inputs = || stream::iter(0..500).map(|number| (number, upload(&format!("{number}"), 1)));
    let (one, two) = (double.store(), double.store());
    let uploads = pool.upload_all(&one, inputs()).collect::<Vec<_>>();
    let others = pool.clone().upload_all(&two, inputs()).collect::<Vec<_>>();
    let (uploads, others) = tokio::join!(uploads, others);
    assert_eq!((uploads.len(), others.len(), double.counts().most_in_flight), (500, 500, 10));
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_same_pool_for_each_outcome_of_another_one_is_no_deadlock() {
    let double = CountingStore::new(Duration::from_millis(1));
    let pool = TransferPool::new().jobs(1);
    let inputs = stream::iter(0..50).map(|number| (number, upload(&format!("{number}"), 1)));
    let mut outcomes = pool.upload_all(&double.store(), inputs);
    let mut deleted = 0;
    while let Some(outcome) = outcomes.next().await {
        let inputs = stream::iter([((), outcome.result.unwrap().reference)]);
        deleted += pool.delete_all(&double.store(), inputs).count().await;
    }
    assert_eq!(deleted, 50);
}

#[tokio::test(start_paused = true)]
async fn transfers_reserve_what_they_may_buffer() {
    let upload_all = async |pool: TransferPool, size: u64| {
        let double = CountingStore::new(Duration::from_millis(40));
        let inputs = stream::iter(0..200).map(move |number| (number, upload(&format!("{number}"), size)));
        assert_eq!(pool.upload_all(&double.store(), inputs).count().await, 200);
        let counts = double.counts();
        (counts.most_buffered, counts.most_in_flight)
    };
    const MIB: u64 = 1 << 20;
    // By default 64 MiB together, and 2 MiB for each.
    assert_eq!(upload_all(TransferPool::new(), 3 * MIB).await, (64 * MIB, 32));
    assert_eq!(upload_all(TransferPool::new().memory(9 * MIB), 3 * MIB).await, (8 * MIB, 4));
    // A small file reserves its size. The last one needs 2 MiB until it is chosen.
    assert_eq!(upload_all(TransferPool::new().memory(10 * MIB), MIB).await, (9 * MIB, 9));
    assert_eq!(upload_all(TransferPool::new(), 4096).await.1, 128);
    // A transfer that needs more than all together runs alone.
    assert_eq!(upload_all(TransferPool::new().memory(MIB), 3 * MIB).await.1, 1);
    assert_eq!(upload_all(TransferPool::new().memory(0), 1).await.1, 1);
    // Stores that buffer more.
    assert_eq!(upload_all(TransferPool::new().transfer_memory(16 * MIB), 32 * MIB).await.1, 4);
}

#[tokio::test]
async fn debug_shows_the_limit_and_the_requests_in_flight() {
    let shown = format!("{:?}", TransferPool::new().jobs(8));
    assert!(shown.contains("limit: 8, in_flight: 0"), "{shown}");
}
