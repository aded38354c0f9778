//! Deeds against the chapter M.

use filestore_conformance::Disturbance;
use filestore_core::{Effect, Error, FileStore, StoredFile};

use super::path_of;
use crate::broken_store::BrokenStore;
use crate::memory::{Shape, not_found};

pub(super) fn mutations() -> Vec<BrokenStore> {
    let rejected = |error: Error| error.with_effect(Effect::Rejected);
    let not_sent = |error: Error| error.with_effect(Effect::NotSent);
    vec![
        BrokenStore::of("M1", "takes the last rejection of an upload for the whole story")
            .upload(move |honest, request| async move { honest.store.upload(request).await.map_err(rejected) }),
        BrokenStore::of("M1", "takes a lost upload for one that was not sent")
            .on(Shape::Keys)
            .upload(move |honest, request| async move { honest.store.upload(request).await.map_err(not_sent) }),
        BrokenStore::of("M1", "takes a lost upload for stored without looking").upload(|honest, request| async move {
            if honest.service.disturbance() == Disturbance::LostThenRejected {
                return Ok(StoredFile::new(path_of(&request), &request.name));
            }
            honest.store.upload(request).await
        }),
        BrokenStore::of("M2", "takes the last rejection of a delete for the whole story")
            .delete(move |honest, request| async move { honest.store.delete(request).await.map_err(rejected) }),
        BrokenStore::of("M2", "takes a lost delete for done without looking").delete(|honest, request| async move {
            if honest.service.disturbance() == Disturbance::LostThenRejected {
                return Ok(());
            }
            honest.store.delete(request).await
        }),
        BrokenStore::of("M3", "takes any answer for a delete").delete(|honest, request| async move {
            let _ = honest.store.delete(request).await;
            Ok(())
        }),
        BrokenStore::of("M3", "takes an empty answer for a delete").delete(|honest, request| async move {
            match honest.store.delete(request).await {
                Err(_) if honest.service.disturbance() == Disturbance::OkEmpty => Ok(()),
                result => result,
            }
        }),
        BrokenStore::of("M4", "takes a cursor that comes again for the end").list(|honest, request| async move {
            let asked = request.page.clone();
            let mut page = honest.store.list(request).await?;
            page.next = page.next.filter(|next| asked.as_ref() != Some(next));
            Ok(page)
        }),
        BrokenStore::of("M4", "takes an empty page for the end").list(|honest, request| async move {
            let mut page = honest.store.list(request).await?;
            page.next = page.next.filter(|_| !page.files.is_empty());
            Ok(page)
        }),
        BrokenStore::of("M4", "does not find a file in a listing without end").stat(|honest, request| async move {
            match honest.service.disturbance() {
                Disturbance::RepeatedPage => Err(not_found()),
                _ => honest.store.stat(request).await,
            }
        }),
    ]
}
