//! Mutations that break the rules of the groups U, N, F and W.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use filestore_core::{
    Delete, Effect, Error, ErrorKind, FileStore, IfExists, List, NameEquality, NameRules, Page, Result, Stat,
    StoredFile, Upload,
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
        BrokenStore::of("U1", "cuts the last byte").upload(|inner, request| async move {
            let mut content = read_body(&request).await?;
            content.pop();
            let mut file = inner.store.upload(with(request, content)).await?;
            file.size = None;
            Ok(file)
        }),
        BrokenStore::of("U1", "takes bytes for text").upload(|inner, request| async move {
            let content = read_body(&request).await?;
            let text = String::from_utf8_lossy(&content).into_owned();
            let mut file = inner.store.upload(with(request, text)).await?;
            file.size = None;
            Ok(file)
        }),
        BrokenStore::of("U1", "states a wrong size").upload(|inner, request| async move {
            let mut file = inner.store.upload(request).await?;
            file.size = file.size.map(|size| size + 1);
            Ok(file)
        }),
        BrokenStore::of("U2", "does not store empty files").upload(|inner, request| async move {
            match request.body.length() {
                Some(0) => Ok(StoredFile::new(path_of(&request), &request.name)),
                _ => inner.store.upload(request).await,
            }
        }),
        BrokenStore::of("U3", "keeps the first mebibyte").upload(|inner, request| async move {
            let mut content = read_body(&request).await?;
            content.truncate(1 << 20);
            let mut file = inner.store.upload(with(request, content)).await?;
            file.size = None;
            Ok(file)
        }),
        BrokenStore::of("U4", "opens every body twice").upload(|inner, request| async move {
            read_body(&request).await?;
            inner.store.upload(request).await
        }),
        BrokenStore::of("U5", "takes an unknown length for an empty body").upload(|inner, request| async move {
            let request = if request.body.length().is_none() { with(request, "") } else { request };
            inner.store.upload(request).await
        }),
    ]
}

fn bodies() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("U6", "fills a short body up with zeros").upload(|inner, request| async move {
            let announced = request.body.length();
            let (mut content, _) = gather(&request).await;
            content.resize(announced.map_or(content.len(), |length| length as usize), 0);
            inner.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U6", "stores a short body and then fails").upload(store_then_fail),
        BrokenStore::of("U7", "cuts a long body at its announced length").upload(|inner, request| async move {
            let announced = request.body.length();
            let (mut content, _) = gather(&request).await;
            content.resize(announced.map_or(content.len(), |length| length as usize), 0);
            inner.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U8", "stores the bytes before the error").upload(store_then_fail),
        BrokenStore::of("U8", "swallows the error of the body").upload(|inner, request| async move {
            let (content, _) = gather(&request).await;
            inner.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U8", "replaces the error of the body by another one").upload(|inner, request| async move {
            match gather(&request).await {
                (content, None) => inner.store.upload(with(request, content)).await,
                (_, Some(_)) => Err(other("the upload failed")),
            }
        }),
        BrokenStore::of("U8", "reports a broken upload as applied").upload(|inner, request| async move {
            inner.store.upload(request).await.map_err(|error| error.with_effect(Effect::Applied))
        }),
        BrokenStore::of("U9", "creates the file before its body arrives").upload(|inner, request| async move {
            let mut empty = Upload::new(&request.name, "");
            empty.scope.clone_from(&request.scope);
            let begun = inner.store.upload(empty).await?;
            let result = inner.store.upload(request).await;
            if result.is_err() {
                inner.store.delete(Delete::from(begun.reference)).await?;
            }
            result
        }),
        BrokenStore::of("U10", "deletes the old file before it has the new one").upload(|inner, request| async move {
            inner.store.delete(Delete::from(path_of(&request))).await?;
            inner.store.upload(request).await
        }),
        BrokenStore::of("U11", "states a largest size that is too large").upload(|inner, request| async move {
            if request.body.length() == Some(4 << 20) {
                return Err(Error::new(ErrorKind::TooLarge, Effect::Rejected, "too large"));
            }
            inner.store.upload(request).await
        }),
        BrokenStore::of("U15", "does not check its source for a change").upload(|inner, request| async move {
            let (content, _) = gather(&request).await;
            inner.store.upload(with(request, content)).await
        }),
        BrokenStore::of("U15", "stores a changed source and then fails").upload(store_then_fail),
        BrokenStore::of("U13", "reads the body once more after it was sent").upload(|inner, request| async move {
            let clone = request.body.try_clone();
            let file = inner.store.upload(request).await?;
            if let Some((body, length)) = clone.and_then(|body| body.length().map(|length| (body, length))) {
                body.open_range(0, length).await?.try_collect::<Vec<_>>().await?;
            }
            Ok(file)
        }),
    ]
}

async fn store_then_fail(inner: Reference, request: Upload) -> Result<StoredFile> {
    let (content, error) = gather(&request).await;
    let file = inner.store.upload(with(request, content)).await?;
    error.map_or(Ok(file), Err)
}

async fn read_body(request: &Upload) -> Result<Vec<u8>> {
    match gather(request).await {
        (content, None) => Ok(content),
        (_, Some(error)) => Err(error),
    }
}

fn several() -> Vec<BrokenStore> {
    let buffer: Arc<Mutex<Vec<u8>>> = Arc::default();
    let seen: Arc<Mutex<HashMap<Vec<u8>, StoredFile>>> = Arc::default();
    vec![
        BrokenStore::of("U12", "has one buffer for all uploads").upload(move |inner, request| {
            let buffer = Arc::clone(&buffer);
            async move {
                locked(&buffer).clear();
                let mut stream = request.body.open().await?;
                while let Some(chunk) = stream.try_next().await? {
                    locked(&buffer).extend_from_slice(&chunk);
                    yield_now().await;
                }
                let content = locked(&buffer).clone();
                let mut file = inner.store.upload(with(request, content)).await?;
                file.size = None;
                Ok(file)
            }
        }),
        BrokenStore::of("U14", "skips an upload of content that it already has").upload(move |inner, request| {
            let seen = Arc::clone(&seen);
            async move {
                let content = read_body(&request).await?;
                if let Some(file) = locked(&seen).get(&content) {
                    return Ok(file.clone());
                }
                let file = inner.store.upload(with(request, content.clone())).await?;
                locked(&seen).insert(content, file.clone());
                Ok(file)
            }
        }),
    ]
}

/// Returns a store that changes the name of each upload with `change`.
fn renames(rule: &'static str, mutation: &'static str, change: fn(&str) -> String) -> BrokenStore {
    BrokenStore::of(rule, mutation).upload(move |inner, mut request| async move {
        request.name = change(&request.name);
        inner.store.upload(request).await
    })
}

fn names() -> Vec<BrokenStore> {
    let probe = |rule| {
        BrokenStore::of(rule, "requests the limits of the service all the time")
            .on_capabilities(|service| service.count_request())
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
        BrokenStore::of("N2", "sends a name that it could reject itself").upload(|inner, request| async move {
            if request.name.contains('?') {
                inner.service.count_request();
                return Err(Error::invalid("no question marks"));
            }
            inner.store.upload(request).await
        }),
        BrokenStore::of("N3", "rejects spaces").upload(|inner, request| async move {
            if request.name.contains(' ') {
                return Err(Error::invalid("no spaces"));
            }
            inner.store.upload(request).await
        }),
        renames("N4", "stores fewer bytes of a name than it states", |name| name.chars().take(255).collect())
            .states(long),
        renames("N5", "takes capital letters for small ones", str::to_lowercase),
        renames("N5", "composes letters", |name| name.replace("e\u{301}", "\u{e9}")),
        BrokenStore::of("N5", "keeps spellings apart that it states to be equal").states(|capabilities| {
            capabilities.names.equality = NameEquality::Folded { ignores: "case", fold: str::to_lowercase };
        }),
    ]
}

fn scopes() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("F1", "stores the files of all scopes in one scope")
            .upload(|inner, mut request| async move {
                request.scope = Some("one".into());
                inner.store.upload(request).await
            })
            .list(|inner, request| async move { inner.store.list(request.scope("one")).await }),
        BrokenStore::of("F1", "lists scopes by the beginning of their names").list(|inner, request| async move {
            let page = inner.store.list(request.clone()).await?;
            let other = request.scope.as_ref().map(|scope| format!("{scope}-other")).unwrap_or_default();
            let more = inner.store.list(request.scope(other)).await?;
            Ok(Page::new([page.files, more.files].concat(), None))
        }),
        BrokenStore::of("F3", "does not create folders").upload(|inner, request| async move {
            if request.scope.as_ref().is_some_and(|scope| scope.contains('/')) {
                return Err(Error::not_found("there is no such folder"));
            }
            inner.store.upload(request).await
        }),
    ]
}

fn taken_names() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("W1", "keeps the old file and numbers the new one").upload(|inner, mut request| async move {
            if inner.store.stat(Stat::from(path_of(&request))).await.is_ok() {
                request.name.push_str(" (1)");
            }
            inner.store.upload(request).await
        }),
        BrokenStore::of("W1", "keeps the old content").upload(|inner, request| async move {
            match inner.store.stat(Stat::from(path_of(&request))).await {
                Ok(old) => Ok(StoredFile::new(old.reference, old.name)),
                Err(_) => inner.store.upload(request).await,
            }
        }),
        BrokenStore::of("W2", "replaces the file despite IfExists::Fail")
            .upload(|inner, request| async move { inner.store.upload(request.if_exists(IfExists::Replace)).await }),
        BrokenStore::of("W2", "replaces the file and then rejects").upload(|inner, request| async move {
            let taken = inner.store.stat(Stat::from(path_of(&request))).await.is_ok();
            let file = inner.store.upload(request.if_exists(IfExists::Replace)).await?;
            if taken { Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, "taken")) } else { Ok(file) }
        }),
        BrokenStore::of("W2", "reports a rejection with an unknown effect").upload(|inner, request| async move {
            inner.store.upload(request).await.map_err(|error| error.with_effect(Effect::Unknown))
        }),
        BrokenStore::of("W3", "checks first and stores later").upload(|inner, request| async move {
            if request.if_exists == IfExists::Fail {
                if inner.store.stat(Stat::from(path_of(&request))).await.is_ok() {
                    return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, "taken"));
                }
                yield_now().await;
            }
            inner.store.upload(request.if_exists(IfExists::Replace)).await
        }),
        BrokenStore::of("W4", "replaces a file although replace is unsupported").on(Shape::Channels).upload(
            |inner, request| async move {
                let mut list = List::new();
                list.scope.clone_from(&request.scope);
                let same = |file: &StoredFile| file.name == request.name;
                for old in inner.store.list(list).await?.files.into_iter().filter(same) {
                    inner.store.delete(Delete::from(old.reference)).await?;
                }
                inner.store.upload(request).await
            },
        ),
        BrokenStore::of("W5", "writes in place").upload(|inner, request| async move {
            let content = read_body(&request).await?;
            let (begin, end) = content.split_at(content.len() / 2);
            let half = |content: Vec<u8>| {
                let mut upload = Upload::new(&request.name, content);
                upload.scope.clone_from(&request.scope);
                upload
            };
            let begun = inner.store.upload(half(begin.to_vec())).await?;
            yield_now().await;
            let mut all = read(&inner, &begun.reference).await?;
            all.extend_from_slice(end);
            let mut file = inner.store.upload(half(all)).await?;
            file.size = None;
            Ok(file)
        }),
    ]
}
