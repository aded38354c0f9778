//! Deeds against the chapters U, N, F and W.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use filestore_core::{
    Delete, Effect, Error, ErrorKind, FileStore, IfExists, List, NameRules, Page, Result, Stat, StoredFile, Upload,
};
use futures::TryStreamExt;
use tokio::task::yield_now;

use super::{gather, locked, other, path_of, read, with};
use crate::broken_store::{BrokenStore, Reference};
use crate::memory::Shape;

pub(super) fn mutations() -> Vec<BrokenStore> {
    [contents(), bodies(), several(), names(), scopes(), taken_names()].concat()
}

fn contents() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("U1", "cuts the last byte").upload(|honest, request| async move {
            let mut content = honest_body(&request).await?;
            content.pop();
            let mut file = honest.store.upload(with(request, content)).await?;
            file.size = None;
            Ok(file)
        }),
        BrokenStore::of("U1", "takes bytes for text").upload(|honest, request| async move {
            let content = honest_body(&request).await?;
            let text = String::from_utf8_lossy(&content).into_owned();
            let mut file = honest.store.upload(with(request, text)).await?;
            file.size = None;
            Ok(file)
        }),
        BrokenStore::of("U1", "lies about the size").upload(|honest, request| async move {
            let mut file = honest.store.upload(request).await?;
            file.size = file.size.map(|size| size + 1);
            Ok(file)
        }),
        BrokenStore::of("U2", "does not store empty files").upload(|honest, request| async move {
            match request.body.length() {
                Some(0) => Ok(StoredFile::new(path_of(&request), &request.name)),
                _ => honest.store.upload(request).await,
            }
        }),
        BrokenStore::of("U3", "keeps the first mebibyte").upload(|honest, request| async move {
            let mut content = honest_body(&request).await?;
            content.truncate(1 << 20);
            let mut file = honest.store.upload(with(request, content)).await?;
            file.size = None;
            Ok(file)
        }),
        BrokenStore::of("U4", "opens every body twice").upload(|honest, request| async move {
            honest_body(&request).await?;
            honest.store.upload(request).await
        }),
        BrokenStore::of("U5", "takes an unknown length for none").upload(|honest, request| async move {
            let request = if request.body.length().is_none() { with(request, "") } else { request };
            honest.store.upload(request).await
        }),
    ]
}

fn bodies() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("U6", "fills a short body up with zeros").upload(|honest, request| async move {
            let announced = request.body.length();
            let (mut content, _) = gather(&request).await;
            content.resize(announced.map_or(content.len(), |length| length as usize), 0);
            honest.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U6", "stores a short body and then complains").upload(store_then_complain),
        BrokenStore::of("U7", "cuts a long body at its announced length").upload(|honest, request| async move {
            let announced = request.body.length();
            let (mut content, _) = gather(&request).await;
            content.resize(announced.map_or(content.len(), |length| length as usize), 0);
            honest.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U8", "stores what came before the break").upload(store_then_complain),
        BrokenStore::of("U8", "swallows the error of the body").upload(|honest, request| async move {
            let (content, _) = gather(&request).await;
            honest.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U8", "hides the error of the body behind its own").upload(|honest, request| async move {
            match gather(&request).await {
                (content, None) => honest.store.upload(with(request, content)).await,
                (_, Some(_)) => Err(other("the upload failed")),
            }
        }),
        BrokenStore::of("U8", "says that a broken upload applied").upload(|honest, request| async move {
            honest.store.upload(request).await.map_err(|error| error.with_effect(Effect::Applied))
        }),
        BrokenStore::of("U9", "makes the file before its body has come").upload(|honest, request| async move {
            let mut empty = Upload::new(&request.name, "");
            empty.scope.clone_from(&request.scope);
            let begun = honest.store.upload(empty).await?;
            let result = honest.store.upload(request).await;
            if result.is_err() {
                honest.store.delete(Delete::from(begun.reference)).await?;
            }
            result
        }),
        BrokenStore::of("U10", "deletes the old file before it has the new one").upload(|honest, request| async move {
            honest.store.delete(Delete::from(path_of(&request))).await?;
            honest.store.upload(request).await
        }),
        BrokenStore::of("U11", "states a largest size that is too large").upload(|honest, request| async move {
            if request.body.length() == Some(4 << 20) {
                return Err(Error::new(ErrorKind::TooLarge, Effect::Rejected, "too large"));
            }
            honest.store.upload(request).await
        }),
        BrokenStore::of("U15", "does not look at its source again").upload(|honest, request| async move {
            let (content, _) = gather(&request).await;
            honest.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U15", "stores a changed source and then complains").upload(store_then_complain),
        BrokenStore::of("U13", "reads the body once more after it was sent").upload(|honest, request| async move {
            let again = request.body.try_clone();
            let file = honest.store.upload(request).await?;
            if let Some((body, length)) = again.and_then(|body| body.length().map(|length| (body, length))) {
                body.open_range(0, length).await?.try_collect::<Vec<_>>().await?;
            }
            Ok(file)
        }),
    ]
}

async fn store_then_complain(honest: Reference, request: Upload) -> Result<StoredFile> {
    let (content, error) = gather(&request).await;
    let file = honest.store.upload(with(request, content)).await?;
    error.map_or(Ok(file), Err)
}

async fn honest_body(request: &Upload) -> Result<Vec<u8>> {
    match gather(request).await {
        (content, None) => Ok(content),
        (_, Some(error)) => Err(error),
    }
}

fn several() -> Vec<BrokenStore> {
    let buffer: Arc<Mutex<Vec<u8>>> = Arc::default();
    let seen: Arc<Mutex<HashMap<Vec<u8>, StoredFile>>> = Arc::default();
    vec![
        BrokenStore::of("U12", "has one buffer for all uploads").upload(move |honest, request| {
            let buffer = Arc::clone(&buffer);
            async move {
                locked(&buffer).clear();
                let mut stream = request.body.open().await?;
                while let Some(chunk) = stream.try_next().await? {
                    locked(&buffer).extend_from_slice(&chunk);
                    yield_now().await;
                }
                let content = locked(&buffer).clone();
                let mut file = honest.store.upload(with(request, content)).await?;
                file.size = None;
                Ok(file)
            }
        }),
        BrokenStore::of("U14", "takes content that it has for sent").upload(move |honest, request| {
            let seen = Arc::clone(&seen);
            async move {
                let content = honest_body(&request).await?;
                if let Some(file) = locked(&seen).get(&content) {
                    return Ok(file.clone());
                }
                let file = honest.store.upload(with(request, content.clone())).await?;
                locked(&seen).insert(content, file.clone());
                Ok(file)
            }
        }),
    ]
}

/// Stores under the name that `change` makes of the caller's.
fn renames(rule: &'static str, mutation: &'static str, change: fn(&str) -> String) -> BrokenStore {
    BrokenStore::of(rule, mutation).upload(move |honest, mut request| async move {
        request.name = change(&request.name);
        honest.store.upload(request).await
    })
}

fn names() -> Vec<BrokenStore> {
    let probe = |rule| {
        BrokenStore::of(rule, "asks the service for its limits all the time")
            .when_asked(|service| service.count_request())
    };
    let long = |capabilities: &mut filestore_core::Capabilities| {
        capabilities.names = NameRules { max_bytes: Some(300), ..NameRules::default() };
    };
    vec![
        probe("N1"),
        probe("F2"),
        renames("N2", "trims names", |name| name.trim().to_owned()),
        renames("N2", "decodes names", |name| name.replace("%2F", "_").replace('+', " ")),
        renames("N2", "composes letters", |name| name.replace("e\u{301}", "\u{e9}")),
        renames("N2", "writes names in lower case", str::to_lowercase),
        renames("N2", "cuts long names", |name| name.chars().take(200).collect()),
        BrokenStore::of("N2", "sends names to learn that they are rejected").upload(|honest, request| async move {
            if request.name.contains('?') {
                honest.service.count_request();
                return Err(Error::invalid("no question marks"));
            }
            honest.store.upload(request).await
        }),
        BrokenStore::of("N3", "rejects spaces").upload(|honest, request| async move {
            if request.name.contains(' ') {
                return Err(Error::invalid("no spaces"));
            }
            honest.store.upload(request).await
        }),
        renames("N4", "keeps less of a name than it states", |name| name.chars().take(255).collect()).states(long),
    ]
}

fn scopes() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("F1", "has one place for all scopes")
            .upload(|honest, mut request| async move {
                request.scope = Some("one".into());
                honest.store.upload(request).await
            })
            .list(|honest, request| async move { honest.store.list(request.scope("one")).await }),
        BrokenStore::of("F1", "lists scopes by the beginning of their names").list(|honest, request| async move {
            let page = honest.store.list(request.clone()).await?;
            let other = request.scope.as_ref().map(|scope| format!("{scope}-other")).unwrap_or_default();
            let more = honest.store.list(request.scope(other)).await?;
            Ok(Page::new([page.files, more.files].concat(), None))
        }),
        BrokenStore::of("F3", "wants folders to be there").upload(|honest, request| async move {
            if request.scope.as_ref().is_some_and(|scope| scope.contains('/')) {
                return Err(Error::not_found("there is no such folder"));
            }
            honest.store.upload(request).await
        }),
    ]
}

fn taken_names() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("W1", "keeps the old file and numbers the new one").upload(|honest, mut request| async move {
            if honest.store.stat(Stat::from(path_of(&request))).await.is_ok() {
                request.name.push_str(" (1)");
            }
            honest.store.upload(request).await
        }),
        BrokenStore::of("W1", "keeps the old content").upload(|honest, request| async move {
            match honest.store.stat(Stat::from(path_of(&request))).await {
                Ok(old) => Ok(StoredFile::new(old.reference, old.name)),
                Err(_) => honest.store.upload(request).await,
            }
        }),
        BrokenStore::of("W2", "overwrites on reject")
            .upload(|honest, request| async move { honest.store.upload(request.if_exists(IfExists::Replace)).await }),
        BrokenStore::of("W2", "overwrites and then rejects").upload(|honest, request| async move {
            let taken = honest.store.stat(Stat::from(path_of(&request))).await.is_ok();
            let file = honest.store.upload(request.if_exists(IfExists::Replace)).await?;
            if taken { Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, "taken")) } else { Ok(file) }
        }),
        BrokenStore::of("W2", "does not know whether it rejected").upload(|honest, request| async move {
            honest.store.upload(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
        BrokenStore::of("W3", "looks first and stores later").upload(|honest, request| async move {
            if request.if_exists == IfExists::Fail {
                if honest.store.stat(Stat::from(path_of(&request))).await.is_ok() {
                    return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, "taken"));
                }
                yield_now().await;
            }
            honest.store.upload(request.if_exists(IfExists::Replace)).await
        }),
        BrokenStore::of("W4", "replaces although it says that it cannot").on(Shape::Channels).upload(
            |honest, request| async move {
                let mut list = List::new();
                list.scope.clone_from(&request.scope);
                let same = |file: &StoredFile| file.name == request.name;
                for old in honest.store.list(list).await?.files.into_iter().filter(same) {
                    honest.store.delete(Delete::from(old.reference)).await?;
                }
                honest.store.upload(request).await
            },
        ),
        BrokenStore::of("W5", "writes in place").upload(|honest, request| async move {
            let content = honest_body(&request).await?;
            let (begin, end) = content.split_at(content.len() / 2);
            let half = |content: Vec<u8>| {
                let mut upload = Upload::new(&request.name, content);
                upload.scope.clone_from(&request.scope);
                upload
            };
            let begun = honest.store.upload(half(begin.to_vec())).await?;
            yield_now().await;
            let mut all = read(&honest, &begun.reference).await?;
            all.extend_from_slice(end);
            let mut file = honest.store.upload(half(all)).await?;
            file.size = None;
            Ok(file)
        }),
    ]
}
