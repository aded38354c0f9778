//! Mutations that break the rules M1 to M4.

use filestore_conformance::Disturbance;
use filestore_core::{Effect, Error, FileStore, StoredFile};

use super::path_of;
use crate::broken_store::BrokenStore;
use crate::memory::{Shape, not_found};

pub(super) fn mutations() -> Vec<BrokenStore> {
    let rejected = |error: Error| error.with_effect(Effect::Rejected);
    let not_sent = |error: Error| error.with_effect(Effect::NotSent);
    vec![
        BrokenStore::of("M1", "reports only the last rejection of an upload")
            .upload(move |inner, request| async move { inner.store.upload(request).await.map_err(rejected) }),
        BrokenStore::of("M1", "reports a lost upload as not sent")
            .on(Shape::Keys)
            .upload(move |inner, request| async move { inner.store.upload(request).await.map_err(not_sent) }),
        BrokenStore::of("M1", "reports a lost upload as stored without a check").upload(|inner, request| async move {
            if inner.service.disturbance() == Disturbance::LostThenRejected {
                return Ok(StoredFile::new(path_of(&request), &request.name));
            }
            inner.store.upload(request).await
        }),
        BrokenStore::of("M2", "reports only the last rejection of a delete")
            .delete(move |inner, request| async move { inner.store.delete(request).await.map_err(rejected) }),
        BrokenStore::of("M2", "reports a lost delete as done without a check").delete(|inner, request| async move {
            if inner.service.disturbance() == Disturbance::LostThenRejected {
                return Ok(());
            }
            inner.store.delete(request).await
        }),
        BrokenStore::of("M3", "accepts any response to a delete").delete(|inner, request| async move {
            let _ = inner.store.delete(request).await;
            Ok(())
        }),
        BrokenStore::of("M3", "accepts an empty response to a delete").delete(|inner, request| async move {
            match inner.store.delete(request).await {
                Err(_) if inner.service.disturbance() == Disturbance::OkEmpty => Ok(()),
                result => result,
            }
        }),
        BrokenStore::of("M4", "ends a listing at a repeated cursor").list(|inner, request| async move {
            let requested = request.page.clone();
            let mut page = inner.store.list(request).await?;
            page.next = page.next.filter(|next| requested.as_ref() != Some(next));
            Ok(page)
        }),
        BrokenStore::of("M4", "ends a listing at an empty page").list(|inner, request| async move {
            let mut page = inner.store.list(request).await?;
            page.next = page.next.filter(|_| !page.files.is_empty());
            Ok(page)
        }),
        BrokenStore::of("M4", "does not find a file in an endless listing").stat(|inner, request| async move {
            match inner.service.disturbance() {
                Disturbance::RepeatedPage => Err(not_found()),
                _ => inner.store.stat(request).await,
            }
        }),
    ]
}
