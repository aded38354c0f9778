//! U6 to U15: bodies that are too short, too long, broken, dropped, too large, observed, sent concurrently, sent
//! repeatedly or changed.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use filestore_core::{Body, Download, Effect, Error, ErrorKind, Feature, Progress, StoredFile};
use futures::future::{self, Either};
use futures::stream::{self, StreamExt};

use super::upload::pieces;
use crate::case::{Case, LARGEST};
use crate::content::{self, SEVERAL_CHUNKS};
use crate::rule::{Rule, rule};
use crate::verdict::{
    NOT_APPLIED, Stop, UNSENT, Verdict, check, described, failed, needed, rejected, same, same_bytes, skipped, worked,
};

pub(crate) const RULES: &[Rule] = &[
    rule!("U6", "A short body stores nothing.", [], short),
    rule!("U7", "A long body stores nothing.", [], long),
    rule!("U8", "A broken body fails with its own error and stores nothing.", [], broken),
    rule!("U9", "A dropped upload stores nothing.", [List], dropped),
    rule!("U10", "A failed upload does not change the existing file of its name.", [Replace], failed_replacement),
    rule!("U11", "The largest file is stored and a larger one is rejected unsent.", [], largest),
    rule!("U12", "Concurrent uploads do not affect each other.", [], at_the_same_time),
    rule!("U13", "An observer is told of every byte.", [], on_progress),
    rule!("U14", "An upload can be cloned exactly if its body can be reopened.", [], repeated),
    rule!("U15", "A source that changes while it is read stores nothing.", [], changed),
];

/// The length that wrong bodies announce: more than one chunk in every known backend.
const ANNOUNCED: usize = 300_000;

async fn short(case: &Case<'_>) -> Verdict {
    wrong_length(case, "short.bin", ANNOUNCED - 1).await
}

async fn long(case: &Case<'_>) -> Verdict {
    wrong_length(case, "long.bin", ANNOUNCED + 1).await
}

async fn wrong_length(case: &Case<'_>, name: &str, length: usize) -> Verdict {
    case.put("right.bin", "right").await?;
    let before = case.snapshot().await?;
    let body = Body::from_stream(pieces(&content::bytes(10, length), 10_000), Some(ANNOUNCED as u64));
    let what = format!("a body of {length} bytes that announced {ANNOUNCED}");
    let result = case.send(case.upload(name, body)).await;
    rejected(&what, result, &[ErrorKind::InvalidInput], NOT_APPLIED)?;
    case.nothing_new(&before, &what).await
}

async fn broken(case: &Case<'_>) -> Verdict {
    case.put("right.bin", "right").await?;
    let before = case.snapshot().await?;
    let result = case.send(case.upload("broken.bin", broken_body())).await;
    let error = rejected("a body that breaks in the middle", result, &[ErrorKind::Io], NOT_APPLIED)?;
    let text = described(&error);
    check(text.contains(BROKEN), &format!("the error of the body, {BROKEN:?}"), text)?;
    case.nothing_new(&before, "a body that breaks in the middle").await
}

const BROKEN: &str = "the source of the body is gone (4711)";

/// Returns a body of two thirds of its announced length, and then an error.
fn broken_body() -> Body {
    let error = Error::new(ErrorKind::Io, Effect::NotSent, BROKEN);
    let begin = pieces(&content::bytes(11, 200_000), 10_000);
    Body::from_stream(begin.chain(stream::once(future::ready(Err(error)))), Some(ANNOUNCED as u64))
}

async fn dropped(case: &Case<'_>) -> Verdict {
    case.put("right.bin", "right").await?;
    let before = case.snapshot().await?;
    let (stalled, body) = stalling_body();
    {
        let upload = std::pin::pin!(case.send(case.upload("dropped.bin", body)));
        // The upload is also dropped if the store does not read the rest of the body within 1 s.
        let stall = std::pin::pin!(tokio::time::timeout(Duration::from_secs(1), stalled));
        if let Either::Left((result, _)) = future::select(upload, stall).await {
            let seen = result.map_or_else(|error| described(&error), |file| format!("success: {file:?}"));
            return failed("an upload waits for the rest of its body", seen);
        }
    }
    case.nothing_new(&before, "a dropped upload").await
}

/// Returns a body that stalls after its first third, and a receiver of the moment when it stalls.
fn stalling_body() -> (tokio::sync::oneshot::Receiver<()>, Body) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let begin = pieces(&content::bytes(12, ANNOUNCED / 3), 10_000);
    let stall = stream::once(async move {
        let _ = sender.send(());
        future::pending().await
    });
    (receiver, Body::from_stream(begin.chain(stall), Some(ANNOUNCED as u64)))
}

async fn failed_replacement(case: &Case<'_>) -> Verdict {
    let old = case.put("kept.bin", "the old content").await?;
    let result = case.send(case.upload("kept.bin", broken_body())).await;
    rejected("a body that breaks in the middle", result, &[ErrorKind::Io], NOT_APPLIED)?;
    let seen = worked("the download of the old file", case.read(&old.reference).await)?;
    same_bytes("the old content", b"the old content", &seen)
}

async fn largest(case: &Case<'_>) -> Verdict {
    let stated = case.capabilities().max_size;
    let Some(max) = stated.and_then(|max| usize::try_from(max).ok()).filter(|max| *max < LARGEST) else {
        return skipped("max_size", "the store states no largest size that the kit can check");
    };
    let content = content::bytes(13, max);
    let file = worked("the upload of the largest file", case.send(case.upload("max.bin", content.clone())).await)?;
    let seen = worked("its download", case.read(&file.reference).await)?;
    same_bytes("the largest file", &content, &seen)?;

    let before = case.requests().await;
    let opened = Arc::new(AtomicBool::new(false));
    let body = {
        let opened = Arc::clone(&opened);
        let open = move || {
            opened.store(true, Ordering::Relaxed);
            future::ready(Err(Error::invalid("this body must not be opened")))
        };
        Body::reopenable(open, Some(max as u64 + 1))
    };
    let result = case.send(case.upload("beyond.bin", body)).await;
    rejected("one byte more than the largest file", result, &[ErrorKind::TooLarge], UNSENT)?;
    same("whether its body was opened", &false, &opened.load(Ordering::Relaxed))?;
    case.unsent(before, "a file that is too large").await
}

async fn at_the_same_time(case: &Case<'_>) -> Verdict {
    let contents: Vec<Bytes> = (0..8).map(|number| content::bytes(20 + number, 20_000)).collect();
    let uploads = contents.iter().enumerate().map(|(number, content)| {
        // In pieces, so that the uploads interleave.
        let body = Body::from_stream(pieces(content, 1000), Some(content.len() as u64));
        case.send(case.upload(&format!("at-the-same-time-{number}.bin"), body))
    });
    let results = future::join_all(uploads).await;
    for (content, result) in contents.iter().zip(results) {
        let file = worked("one of eight concurrent uploads", result)?;
        let seen = worked("its download", case.read(&file.reference).await)?;
        same_bytes("its content", content, &seen)?;
    }
    Ok(())
}

async fn on_progress(case: &Case<'_>) -> Verdict {
    let content = content::bytes(14, 300_001);
    let (up, seen_up) = observer();
    let file = worked("the upload", case.send(case.upload("observed.bin", content.clone()).on_progress(up)).await)?;
    is_complete("the observer of the upload", &seen_up, content.len())?;

    let (down, seen_down) = observer();
    let request = Download::from(&file.reference).on_progress(down);
    let seen = worked("the download", case.store.read(request, LARGEST).await)?;
    same_bytes("the content", &content, &seen)?;
    is_complete("the observer of the download", &seen_down, content.len())
}

type Observed = Arc<Mutex<Vec<Progress>>>;

fn observer() -> (impl Fn(Progress) + Send + Sync + 'static, Observed) {
    let observed = Observed::default();
    let shared = Arc::clone(&observed);
    (move |progress| shared.lock().unwrap_or_else(PoisonError::into_inner).push(progress), observed)
}

fn is_complete(what: &str, all: &Observed, size: usize) -> Verdict {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let size = size as u64;
    let last = all.last().map(|progress| progress.transferred);
    same(&format!("{what}: the last progress"), &Some(size), &last)?;
    let beyond = all.iter().find(|progress| progress.transferred > size);
    check(beyond.is_none(), &format!("{what}: at most {size} bytes"), beyond)?;
    let wrong = all.iter().find(|progress| progress.total.is_some_and(|total| total != size));
    check(wrong.is_none(), &format!("{what}: {size} bytes in all, if stated"), wrong)
}

async fn repeated(case: &Case<'_>) -> Verdict {
    let content = content::bytes(15, 50_000);
    let length = Some(content.len() as u64);
    let once = case.upload("once.bin", Body::from_stream(pieces(&content, 5000), length));
    check(once.try_clone().is_none(), "an upload from a stream has no clone", "it has one")?;

    let upload = case.upload("first.bin", content.clone());
    let Some(clone) = upload.try_clone() else {
        return failed("an upload of bytes has a clone", "it has none");
    };
    let clone = clone.name(case.name("second.bin"));
    let first = needed("the first upload", case.send(upload).await)?;
    let second = worked("the upload of the clone", case.send(clone).await)?;
    same("the name of the second file", &case.name("second.bin"), &second.name)?;
    check(first.reference != second.reference, "two files", "one reference")?;
    if case.supports(Feature::List) {
        let listed: Vec<String> = needed("listing", case.list().await)?.into_iter().map(|file| file.name).collect();
        for name in ["first.bin", "second.bin"].map(|name| case.name(name)) {
            check(listed.contains(&name), &format!("{name:?} in the listing"), &listed)?;
        }
    }
    for StoredFile { reference, .. } in [first, second] {
        let seen = worked("a download", case.read(&reference).await)?;
        same_bytes("the content", &content, &seen)?;
    }
    Ok(())
}

async fn changed(case: &Case<'_>) -> Verdict {
    case.put("right.bin", "right").await?;
    for (name, change) in [("grown.bin", grow as Change), ("rewritten.bin", rewrite)] {
        let before = case.snapshot().await?;
        let folder = tempfile::tempdir().map_err(local)?;
        let path = folder.path().join(name);
        let max = case.capabilities().max_size.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        std::fs::write(&path, content::bytes(16, SEVERAL_CHUNKS.min(max))).map_err(local)?;
        // The times of some file systems are coarse. An old time makes sure that the change is visible.
        let written = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&path).and_then(|file| file.set_modified(written)).map_err(local)?;

        let body = worked("a body of a path", Body::from_path(&path))?;
        // At the first progress, a part of the file has been read.
        let failure: Arc<Mutex<Option<io::Result<()>>>> = Arc::default();
        let shared = Arc::clone(&failure);
        let upload = case.upload(name, body).on_progress(move |_: Progress| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| change(&path));
        });
        let result = case.send(upload).await;
        match failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(change) => change.map_err(local)?,
            None => return failed("progress while the body is sent", "none"),
        }
        let what = format!("the upload of the file {name:?} that changes while it is read");
        rejected(&what, result, &[ErrorKind::InvalidInput], NOT_APPLIED)?;
        case.nothing_new(&before, &what).await?;
    }
    Ok(())
}

type Change = fn(&Path) -> io::Result<()>;

fn grow(path: &Path) -> io::Result<()> {
    File::options().append(true).open(path)?.write_all(b"more")
}

/// Replaces the content by other bytes of the same length.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all(&content::bytes(17, length))
}

fn local(error: io::Error) -> Stop {
    Stop::Blocked { by: format!("a temporary file: {error}") }
}
