//! Mutations that break the rules of the groups R, S, D, X and L.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use filestore_core::{
    ByteRange, Delete, Download, Downloaded, Effect, Error, ErrorKind, FileRef, FileStore, List, Page, PageToken,
    Result, Stat, StoredFile,
};
use tokio::task::yield_now;

use super::{locked, other, read};
use crate::broken_store::{BrokenStore, Reference};
use crate::memory::{Shape, not_found, stream_of};

pub(super) fn mutations() -> Vec<BrokenStore> {
    [references(), file_metadata(), ranges(), deletes(), listings(), pages()].concat()
}

fn references() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("R1", "gives references of another scheme").upload(|inner, request| async move {
            let mut file = inner.store.upload(request).await?;
            file.reference = FileRef::new("elsewhere", file.reference.components());
            Ok(file)
        }),
        BrokenStore::of("R1", "knows only the files of its own handle").download(|inner, request| async move {
            if inner.handle > 1 { Err(not_found()) } else { inner.store.download(request).await }
        }),
        BrokenStore::of("R2", "lists under other references").list(|inner, request| async move {
            let mut page = inner.store.list(request).await?;
            for file in &mut page.files {
                file.reference = FileRef::new("memory", [file.reference.components().join("/")]);
            }
            Ok(page)
        }),
        BrokenStore::of("R3", "accepts the name of another store").alias("tested-of-others"),
        BrokenStore::of("R4", "accepts any locator as a file").download(|inner, request| async move {
            match inner.store.download(request).await {
                Err(_) => Ok(Downloaded::new(
                    StoredFile::new(FileRef::new("memory", ["x"]), "x"),
                    stream_of(Bytes::from("secret")),
                )),
                found => found,
            }
        }),
        BrokenStore::of("R4", "fails with another error kind on a locator").stat(|inner, request| async move {
            if request.reference.components().iter().any(|part| part.contains('\0')) {
                return Err(other("cannot open file"));
            }
            inner.store.stat(request).await
        }),
        BrokenStore::of("R5", "repeats the key in its errors").on(Shape::Keys).download(|inner, request| async move {
            let key = request.reference.components().concat();
            inner.store.download(request).await.map_err(|_| Error::not_found(format!("no file {key}")))
        }),
    ]
}

fn file_metadata() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("S1", "states a wrong size in stat").stat(|inner, request| async move {
            let mut file = inner.store.stat(request).await?;
            file.size = file.size.map(|size| size - 1);
            Ok(file)
        }),
        BrokenStore::of("S1", "states the current time as the creation time").stat(|inner, request| async move {
            let mut file = inner.store.stat(request).await?;
            file.created = Some(inner.service.now());
            Ok(file)
        }),
        BrokenStore::of("S2", "reports a missing file as a permission error").stat(|inner, request| async move {
            let denied = |_| Error::new(ErrorKind::Permission, Effect::Rejected, "denied");
            inner.store.stat(request).await.map_err(denied)
        }),
        BrokenStore::of("S2", "does not know whether a stat had an effect").stat(|inner, request| async move {
            inner.store.stat(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
        BrokenStore::of("D1", "calls every download by one name").download(|inner, request| async move {
            let mut downloaded = inner.store.download(request).await?;
            downloaded.file.name = "download".into();
            Ok(downloaded)
        }),
        BrokenStore::of("D1", "states a wrong size in a download").download(|inner, request| async move {
            let mut downloaded = inner.store.download(request).await?;
            downloaded.file.size = downloaded.file.size.map(|size| size + 1);
            Ok(downloaded)
        }),
        BrokenStore::of("D2", "gives an empty file for a missing one").download(|inner, request| async move {
            let reference = request.reference.clone();
            match inner.store.download(request).await {
                Err(_) => Ok(Downloaded::new(StoredFile::new(reference, "x"), stream_of(Bytes::new()))),
                found => found,
            }
        }),
        BrokenStore::of("D2", "does not know whether it read a missing file").download(|inner, request| async move {
            inner.store.download(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
    ]
}

fn ranges() -> Vec<BrokenStore> {
    let readers = Arc::new(AtomicUsize::new(0));
    vec![
        BrokenStore::of("D3", "includes the end of a range").download(|inner, mut request| async move {
            if let Some(range) = &mut request.range {
                range.end = range.end.map(|end| end + 1);
            }
            inner.store.download(request).await
        }),
        BrokenStore::of("D3", "gives the whole file for a range").download(|inner, mut request| async move {
            request.range = None;
            inner.store.download(request).await
        }),
        BrokenStore::of("D3", "gives a part of a range").download(|inner, mut request| async move {
            if let Some(ByteRange { start, end: Some(end), .. }) = &mut request.range {
                *end = (*end).min(*start + 1000);
            }
            inner.store.download(request).await
        }),
        BrokenStore::of("D4", "rejects ranges without an end within the file").download(|inner, request| async move {
            let size = inner.store.stat(Stat::from(&request.reference)).await?.size;
            if request.range.is_some_and(|range| range.end.is_none() || range.end > size) {
                return Err(Error::invalid("a range has an end within the file"));
            }
            inner.store.download(request).await
        }),
        BrokenStore::of("D5", "gives nothing for a range beyond the end").download(|inner, request| async move {
            let reference = request.reference.clone();
            match inner.store.download(request).await {
                Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                    let file = inner.store.stat(Stat::from(reference)).await?;
                    let mut downloaded = Downloaded::new(file, stream_of(Bytes::new()));
                    downloaded.range = Some(10..10);
                    Ok(downloaded)
                }
                other => other,
            }
        }),
        BrokenStore::of("D6", "serves one reader at a time").download(move |inner, request| {
            let readers = Arc::clone(&readers);
            async move {
                let others = readers.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
                readers.fetch_sub(1, Ordering::Relaxed);
                if others > 0 { Err(other("busy")) } else { inner.store.download(request).await }
            }
        }),
    ]
}

fn deletes() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("X1", "forgets a delete").delete(|_, _| async { Ok(()) }),
        BrokenStore::of("X1", "lists deleted files").delete(truncate).download(hide_empty).stat(
            |inner, request| async move {
                let file = inner.store.stat(request).await?;
                if file.size == Some(0) { Err(not_found()) } else { Ok(file) }
            },
        ),
        BrokenStore::of("X1", "does not know the effect of a download of a deleted file").download(
            |inner, request| async move {
                inner.store.download(request).await.map_err(|error| error.with_effect(Effect::Unknown))
            },
        ),
        BrokenStore::of("X2", "fails to delete a missing file").delete(|inner, request| async move {
            inner.store.stat(Stat::from(&request.reference)).await?;
            inner.store.delete(request).await
        }),
        BrokenStore::of("X3", "deletes all files whose name begins with the name").delete(
            |inner, request| async move {
                let path = request.reference.components();
                let [scope @ .., name] = path.as_slice() else { return Ok(()) };
                let page = inner.store.list(List::new().scope(scope.join("/"))).await?;
                for file in page.files.into_iter().filter(|file| file.name.starts_with(name)) {
                    inner.store.delete(Delete::from(file.reference)).await?;
                }
                Ok(())
            },
        ),
    ]
}

/// Replaces the file by an empty one instead of deleting it.
async fn truncate(inner: Reference, request: Delete) -> Result<()> {
    let path = request.reference.components();
    let [scope @ .., name] = path.as_slice() else { return Ok(()) };
    inner.store.upload(filestore_core::Upload::new(name, "").scope(scope.join("/"))).await.map(drop)
}

async fn hide_empty(inner: Reference, request: Download) -> Result<Downloaded> {
    if read(&inner, &request.reference).await?.is_empty() {
        return Err(not_found());
    }
    inner.store.download(request).await
}

/// Returns a store that changes each page of a listing.
fn pages_with(rule: &'static str, mutation: &'static str, change: fn(&mut Page)) -> BrokenStore {
    BrokenStore::of(rule, mutation).list(move |inner, request| async move {
        let mut page = inner.store.list(request).await?;
        change(&mut page);
        Ok(page)
    })
}

fn listings() -> Vec<BrokenStore> {
    vec![
        pages_with("L1", "loses a file", |page| {
            page.files.pop();
        }),
        pages_with("L1", "lists a file twice", |page| page.files.extend(page.files.first().cloned())),
        pages_with("L5", "lists backwards", |page| page.files.reverse()),
        pages_with("L5", "lists the oldest first", |page| page.files.reverse()).on(Shape::Keys),
        BrokenStore::of("L6", "ignores a recursive listing")
            .list(|inner, request| async move { inner.store.list(request.recursive(false)).await }),
        BrokenStore::of("L6", "makes every listing recursive")
            .list(|inner, request| async move { inner.store.list(request.recursive(true)).await }),
        pages_with("L7", "names no folders", |page| page.folders.clear()),
        pages_with("L7", "names folders that cannot be listed", |page| {
            page.folders.iter_mut().for_each(|folder| folder.push('/'));
        }),
        BrokenStore::of("L8", "fails on an unknown scope").list(|inner, request| async move {
            let page = inner.store.list(request).await?;
            if page.files.is_empty() { Err(other("no such key")) } else { Ok(page) }
        }),
        pages_with("L9", "states a wrong size in a listing", |page| {
            page.files.iter_mut().for_each(|file| file.size = file.size.map(|size| size + 1));
        }),
        pages_with("L9", "lists names in capitals", |page| {
            page.files.iter_mut().for_each(|file| file.name.make_ascii_uppercase());
        }),
    ]
}

fn pages() -> Vec<BrokenStore> {
    let kept: Arc<Mutex<Vec<(usize, PageToken)>>> = Arc::default();
    vec![
        BrokenStore::of("L2", "loses the last page").list(|inner, request| async move {
            let mut page = inner.store.list(request.clone()).await?;
            if let Some(token) = &page.next
                && inner.store.list(request.page(token.clone())).await?.next.is_none()
            {
                page.next = None;
            }
            Ok(page)
        }),
        BrokenStore::of("L2", "repeats the last file of a page").list(|inner, request| async move {
            let is_first = request.page.is_none();
            let mut page = inner.store.list(request).await?;
            if !is_first && let Some(first) = page.files.first().cloned() {
                page.files.insert(0, first);
            }
            Ok(page)
        }),
        BrokenStore::of("L3", "ignores the limit").list(|inner, mut request| async move {
            request.limit = None;
            inner.store.list(request).await
        }),
        BrokenStore::of("L4", "repeats a page token").list(|inner, request| async move {
            let requested = request.page.clone();
            let mut page = inner.store.list(request).await?;
            page.next = page.next.map(|next| requested.unwrap_or(next));
            Ok(page)
        }),
        BrokenStore::of("L4", "gives page tokens that are valid for one handle only").list(
            move |inner, mut request| {
                let kept = Arc::clone(&kept);
                async move {
                    if let Some(token) = &request.page {
                        let number: usize = token.as_str().parse().map_err(|_| Error::invalid("not a token"))?;
                        let (handle, token) = locked(&kept)[number].clone();
                        if handle != inner.handle {
                            return Err(Error::invalid("the token belongs to another session"));
                        }
                        request.page = Some(token);
                    }
                    let mut page = inner.store.list(request).await?;
                    page.next = page.next.map(|token| {
                        let mut kept = locked(&kept);
                        kept.push((inner.handle, token));
                        PageToken::new((kept.len() - 1).to_string())
                    });
                    Ok(page)
                }
            },
        ),
    ]
}
