//! Counting repetitions, without which nobody can tell what a refusal means: a store request that is
//! repeated after a lost answer is refused because the first one worked.

use std::cell::Cell;
use std::future::Future;

tokio::task_local! {
    static REPEATED: Cell<u32>;
}

/// Runs `request` and tells how often OpenDAL's retry layer repeated a part of it.
pub(crate) async fn counted<F: Future>(request: F) -> (F::Output, u32) {
    REPEATED
        .scope(Cell::new(0), async {
            let output = request.await;
            (output, REPEATED.with(Cell::get))
        })
        .await
}

/// OpenDAL's retry layer with the policy of all backends: three repetitions, after 0.5 s and at most
/// 2 s, with jitter.
#[cfg(feature = "remote")]
pub(crate) fn layer() -> impl opendal::Layer {
    use std::time::Duration;

    opendal::layers::RetryLayer::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(3)
        .with_jitter()
        .with_notify(|_: opendal::layers::RetryEvent<'_>| {
            // A stream that is read later is repeated outside of any count, and changes nothing.
            let _ = REPEATED.try_with(|repeated| repeated.set(repeated.get() + 1));
        })
}
