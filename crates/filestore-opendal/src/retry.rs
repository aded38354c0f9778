//! Counting repetitions, without which nobody can tell what a refusal means: a request that stores
//! and is repeated after a lost answer is refused because the first one worked.

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

/// Called by the retry layer for every repetition.
#[cfg(feature = "remote")]
pub(crate) fn count() {
    // The rest of a download is read outside of any count; it changes nothing, so none is needed.
    let _ = REPEATED.try_with(|repeated| repeated.set(repeated.get() + 1));
}
