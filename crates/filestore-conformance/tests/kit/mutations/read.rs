//! Deeds against the chapters R, S, D, X and L.

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
    [references(), facts(), ranges(), deletes(), listings(), pages()].concat()
}

fn references() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("R1", "gives references of another scheme").upload(|honest, request| async move {
            let mut file = honest.store.upload(request).await?;
            file.reference = FileRef::new("elsewhere", file.reference.components());
            Ok(file)
        }),
        BrokenStore::of("R1", "knows only the files of its own handle").download(|honest, request| async move {
            if honest.handle > 1 { Err(not_found()) } else { honest.store.download(request).await }
        }),
        BrokenStore::of("R2", "lists under other references").list(|honest, request| async move {
            let mut page = honest.store.list(request).await?;
            for file in &mut page.files {
                file.reference = FileRef::new("memory", [file.reference.components().join("/")]);
            }
            Ok(page)
        }),
        BrokenStore::of("R3", "answers to the name of another store").alias("tested-of-others"),
        BrokenStore::of("R4", "takes any locator for a file").download(|honest, request| async move {
            match honest.store.download(request).await {
                Err(_) => Ok(Downloaded::new(
                    StoredFile::new(FileRef::new("memory", ["x"]), "x"),
                    stream_of(Bytes::from("secret")),
                )),
                found => found,
            }
        }),
        BrokenStore::of("R4", "stumbles over a locator").stat(|honest, request| async move {
            if request.reference.components().iter().any(|part| part.contains('\0')) {
                return Err(other("cannot open file"));
            }
            honest.store.stat(request).await
        }),
        BrokenStore::of("R5", "repeats the key in its errors").on(Shape::Keys).download(|honest, request| async move {
            let key = request.reference.components().concat();
            honest.store.download(request).await.map_err(|_| Error::not_found(format!("no file {key}")))
        }),
    ]
}

fn facts() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("S1", "lies about the size in stat").stat(|honest, request| async move {
            let mut file = honest.store.stat(request).await?;
            file.size = file.size.map(|size| size - 1);
            Ok(file)
        }),
        BrokenStore::of("S1", "says that every file was made now").stat(|honest, request| async move {
            let mut file = honest.store.stat(request).await?;
            file.created = Some(honest.service.now());
            Ok(file)
        }),
        BrokenStore::of("S2", "says permission for a missing file").stat(|honest, request| async move {
            let denied = |_| Error::new(ErrorKind::Permission, Effect::Rejected, "denied");
            honest.store.stat(request).await.map_err(denied)
        }),
        BrokenStore::of("S2", "does not know whether a stat had an effect").stat(|honest, request| async move {
            honest.store.stat(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
        BrokenStore::of("D1", "calls every download by one name").download(|honest, request| async move {
            let mut answer = honest.store.download(request).await?;
            answer.file.name = "download".into();
            Ok(answer)
        }),
        BrokenStore::of("D1", "lies about the size of a download").download(|honest, request| async move {
            let mut answer = honest.store.download(request).await?;
            answer.file.size = answer.file.size.map(|size| size + 1);
            Ok(answer)
        }),
        BrokenStore::of("D2", "gives an empty file for a missing one").download(|honest, request| async move {
            let reference = request.reference.clone();
            match honest.store.download(request).await {
                Err(_) => Ok(Downloaded::new(StoredFile::new(reference, "x"), stream_of(Bytes::new()))),
                found => found,
            }
        }),
        BrokenStore::of("D2", "does not know whether it read a missing file").download(|honest, request| async move {
            honest.store.download(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
    ]
}

fn ranges() -> Vec<BrokenStore> {
    let readers = Arc::new(AtomicUsize::new(0));
    vec![
        BrokenStore::of("D3", "counts the end of a range in").download(|honest, mut request| async move {
            if let Some(range) = &mut request.range {
                range.end = range.end.map(|end| end + 1);
            }
            honest.store.download(request).await
        }),
        BrokenStore::of("D3", "gives the whole file for a range").download(|honest, mut request| async move {
            request.range = None;
            honest.store.download(request).await
        }),
        BrokenStore::of("D3", "gives a part of a range").download(|honest, mut request| async move {
            if let Some(ByteRange { start, end: Some(end), .. }) = &mut request.range {
                *end = (*end).min(*start + 1000);
            }
            honest.store.download(request).await
        }),
        BrokenStore::of("D4", "rejects ranges without a true end").download(|honest, request| async move {
            let size = honest.store.stat(Stat::from(&request.reference)).await?.size;
            if request.range.is_some_and(|range| range.end.is_none() || range.end > size) {
                return Err(Error::invalid("a range has an end within the file"));
            }
            honest.store.download(request).await
        }),
        BrokenStore::of("D5", "gives nothing for a range beyond the end").download(|honest, request| async move {
            let reference = request.reference.clone();
            match honest.store.download(request).await {
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    let file = honest.store.stat(Stat::from(reference)).await?;
                    let mut answer = Downloaded::new(file, stream_of(Bytes::new()));
                    answer.range = Some(10..10);
                    Ok(answer)
                }
                other => other,
            }
        }),
        BrokenStore::of("D6", "serves one reader at a time").download(move |honest, request| {
            let readers = Arc::clone(&readers);
            async move {
                let others = readers.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
                readers.fetch_sub(1, Ordering::Relaxed);
                if others > 0 { Err(other("busy")) } else { honest.store.download(request).await }
            }
        }),
    ]
}

fn deletes() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("X1", "forgets a delete").delete(|_, _| async { Ok(()) }),
        BrokenStore::of("X1", "lists deleted files").delete(empty_it).download(hide_empty).stat(
            |honest, request| async move {
                let file = honest.store.stat(request).await?;
                if file.size == Some(0) { Err(not_found()) } else { Ok(file) }
            },
        ),
        BrokenStore::of("X1", "does not know whether a deleted file is there").download(|honest, request| async move {
            honest.store.download(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
        BrokenStore::of("X2", "wants a file to be there before it deletes it").delete(|honest, request| async move {
            honest.store.stat(Stat::from(&request.reference)).await?;
            honest.store.delete(request).await
        }),
        BrokenStore::of("X3", "deletes all files that begin with the name").delete(|honest, request| async move {
            let path = request.reference.components();
            let [scope @ .., name] = path.as_slice() else { return Ok(()) };
            let page = honest.store.list(List::new().scope(scope.join("/"))).await?;
            for file in page.files.into_iter().filter(|file| file.name.starts_with(name)) {
                honest.store.delete(Delete::from(file.reference)).await?;
            }
            Ok(())
        }),
    ]
}

/// Leaves an empty file where the deleted one was.
async fn empty_it(honest: Reference, request: Delete) -> Result<()> {
    let path = request.reference.components();
    let [scope @ .., name] = path.as_slice() else { return Ok(()) };
    honest.store.upload(filestore_core::Upload::new(name, "").scope(scope.join("/"))).await.map(drop)
}

async fn hide_empty(honest: Reference, request: Download) -> Result<Downloaded> {
    if read(&honest, &request.reference).await?.is_empty() {
        return Err(not_found());
    }
    honest.store.download(request).await
}

/// Changes each page of a listing.
fn pages_with(rule: &'static str, mutation: &'static str, change: fn(&mut Page)) -> BrokenStore {
    BrokenStore::of(rule, mutation).list(move |honest, request| async move {
        let mut page = honest.store.list(request).await?;
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
        BrokenStore::of("L6", "does not look below")
            .list(|honest, request| async move { honest.store.list(request.recursive(false)).await }),
        BrokenStore::of("L6", "looks below without being asked")
            .list(|honest, request| async move { honest.store.list(request.recursive(true)).await }),
        pages_with("L7", "names no folders", |page| page.folders.clear()),
        pages_with("L7", "names folders that cannot be listed", |page| {
            page.folders.iter_mut().for_each(|folder| folder.push('/'));
        }),
        BrokenStore::of("L8", "fails on a scope that it does not know").list(|honest, request| async move {
            let page = honest.store.list(request).await?;
            if page.files.is_empty() { Err(other("no such key")) } else { Ok(page) }
        }),
        pages_with("L9", "lies about the size in a listing", |page| {
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
        BrokenStore::of("L2", "loses the last page").list(|honest, request| async move {
            let mut page = honest.store.list(request.clone()).await?;
            if let Some(token) = &page.next
                && honest.store.list(request.page(token.clone())).await?.next.is_none()
            {
                page.next = None;
            }
            Ok(page)
        }),
        BrokenStore::of("L2", "repeats the last file of a page").list(|honest, request| async move {
            let begins = request.page.is_none();
            let mut page = honest.store.list(request).await?;
            if !begins && let Some(first) = page.files.first().cloned() {
                page.files.insert(0, first);
            }
            Ok(page)
        }),
        BrokenStore::of("L3", "ignores the limit").list(|honest, mut request| async move {
            request.limit = None;
            honest.store.list(request).await
        }),
        BrokenStore::of("L4", "gives the same page token again").list(|honest, request| async move {
            let asked = request.page.clone();
            let mut page = honest.store.list(request).await?;
            page.next = page.next.map(|next| asked.unwrap_or(next));
            Ok(page)
        }),
        BrokenStore::of("L4", "gives page tokens for its own handle").list(move |honest, mut request| {
            let kept = Arc::clone(&kept);
            async move {
                if let Some(token) = &request.page {
                    let number: usize = token.as_str().parse().map_err(|_| Error::invalid("not a token"))?;
                    let (handle, token) = locked(&kept)[number].clone();
                    if handle != honest.handle {
                        return Err(Error::invalid("the token is of another session"));
                    }
                    request.page = Some(token);
                }
                let mut page = honest.store.list(request).await?;
                page.next = page.next.map(|token| {
                    let mut kept = locked(&kept);
                    kept.push((honest.handle, token));
                    PageToken::new((kept.len() - 1).to_string())
                });
                Ok(page)
            }
        }),
    ]
}
