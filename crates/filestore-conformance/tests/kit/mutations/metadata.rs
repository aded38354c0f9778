//! Deeds against the chapters A, C, O, P, G, Q, E and T.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filestore_core::{
    DigestAlgorithm, Download, Effect, Error, ErrorKind, Expiry, Feature, FileStore, FileUrl, Operation, Upload,
    UrlKind,
};
use jiff::SignedDuration;
use tokio::task::yield_now;

use super::locked;
use crate::broken_store::BrokenStore;
use crate::memory::{Reads, Shape, not_found};

pub(super) fn mutations() -> Vec<BrokenStore> {
    [urls(), capabilities(), options(), provider_options(), digests(), reads(), errors()].concat()
}

fn urls() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("A1", "gives a URL of another kind").url(|honest, request| async move {
            let url = honest.store.url(request).await?;
            Ok(FileUrl::new(url.as_str(), UrlKind::Page, url.expires()))
        }),
        BrokenStore::of("A1", "does not say when a URL ends").url(|honest, request| async move {
            let url = honest.store.url(request).await?;
            Ok(FileUrl::new(url.as_str(), url.kind(), None))
        }),
        BrokenStore::of("A1", "gives half a URL").url(|honest, request| async move {
            let url = honest.store.url(request).await?;
            Ok(FileUrl::new("/files/1", url.kind(), url.expires()))
        }),
        BrokenStore::of("A2", "makes every URL for half a minute").url(|honest, mut request| async move {
            request.lifetime = Some(Duration::from_secs(30));
            honest.store.url(request).await
        }),
        BrokenStore::of("A2", "says of a long lifetime that it is not permitted").url(|honest, request| async move {
            if request.lifetime > Some(Duration::from_secs(60)) {
                return Err(Error::new(ErrorKind::Permission, Effect::Rejected, "too long"));
            }
            honest.store.url(request).await
        }),
        BrokenStore::of("A3", "does not encode names in URLs").url(|honest, request| async move {
            let url = honest.store.url(request).await?;
            Ok(FileUrl::new(url.as_str().replace("%23", "#"), url.kind(), url.expires()))
        }),
    ]
}

fn capabilities() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("C1", "gives no reason")
            .states(|stated| *stated = stated.clone().unsupported(Feature::Resume, " ")),
        BrokenStore::of("C1", "asks the service before it rejects")
            .on(Shape::Channels)
            .when_asked(|service| service.count_request()),
        BrokenStore::of("C2", "says native but fails").download(|honest, request| async move {
            if request.range.is_some() {
                return Err(Error::unsupported("ranges come later"));
            }
            honest.store.download(request).await
        }),
        BrokenStore::of("C3", "changes its mind about what it can").later_states(|stated| {
            *stated = stated.clone().unsupported(Feature::Url, "not any more");
        }),
        BrokenStore::of("C4", "states a kind of URL without URLs").states(|stated| {
            *stated = stated.clone().unsupported(Feature::Url, "none");
        }),
        BrokenStore::of("C4", "hides the cost of what it emulates").states(|stated| {
            *stated = stated.clone().emulated(Feature::Stat, "");
        }),
        BrokenStore::of("C4", "offers ranges of what a read takes away").on(Shape::Keys).states(|stated| {
            *stated = stated.clone().native([Feature::Range]);
        }),
        BrokenStore::of("C4", "offers to replace what never has the same address").on(Shape::Channels).states(
            |stated| {
                *stated = stated.clone().native([Feature::Replace]);
            },
        ),
    ]
}

/// Changes uploads, as if a part of them had never been asked for.
fn ignores(rule: &'static str, mutation: &'static str, change: fn(&mut Upload)) -> BrokenStore {
    BrokenStore::of(rule, mutation).upload(move |honest, mut request| async move {
        change(&mut request);
        honest.store.upload(request).await
    })
}

fn options() -> Vec<BrokenStore> {
    vec![
        ignores("O1", "ignores the content type", |request| request.content_type = None),
        ignores("O1", "guesses the content type", |request| request.content_type = Some("text/html".into())),
        ignores("O2", "drops metadata", |request| request.metadata.clear()),
        ignores("O2", "drops half of the metadata", |request| {
            request.metadata.pop_last();
        }),
        ignores("O3", "ignores the time of change", |request| request.modified = None),
        ignores("O4", "ignores the expiry", |request| request.expiry = Expiry::Default),
        ignores("O4", "cuts days to hours", |request| {
            if let Expiry::After(period) = request.expiry {
                request.expiry = filestore_core::Period::hours(period.count()).into();
            }
        }),
        ignores("O5", "takes never for the default", |request| request.expiry = Expiry::Default).on(Shape::Keys),
        BrokenStore::of("O5", "rejects never and stores all the same").upload(|honest, request| async move {
            let never = request.expiry == Expiry::Never;
            let file = honest.store.upload(request).await?;
            if never { Err(Error::new(ErrorKind::Quota, Effect::Rejected, "not in your plan")) } else { Ok(file) }
        }),
        BrokenStore::of("T1", "keeps what has expired").upload(|honest, mut request| async move {
            let expiry = std::mem::take(&mut request.expiry);
            let end = expiry.instant(honest.service.now())?;
            let mut file = honest.store.upload(request).await?;
            file.expiry = end.map_or(Expiry::Never, Expiry::At);
            Ok(file)
        }),
        BrokenStore::of("T1", "lets everything expire at once").upload(|honest, mut request| async move {
            request.expiry = Expiry::At(honest.service.now() + SignedDuration::from_mins(5));
            honest.store.upload(request).await
        }),
    ]
}

fn provider_options() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("P1", "accepts every option and ignores it")
            .states(|stated| stated.options.push("conformance-nobody-knows")),
        BrokenStore::of("P2", "skips an option without a word")
            .states(|stated| stated.options.push("conformance-nobody-knows")),
        BrokenStore::of("P2", "names options that nobody gave").upload(|honest, request| async move {
            let mut file = honest.store.upload(request).await?;
            file.skipped.push("something");
            Ok(file)
        }),
        BrokenStore::of("P3", "forgets to state its own options")
            .on(Shape::Keys)
            .states(|stated| stated.options.clear()),
    ]
}

fn digests() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("G1", "drops leading zeros").upload(|honest, request| async move {
            let mut file = honest.store.upload(request).await?;
            for digest in file.digests.iter_mut().filter(|digest| digest.algorithm == DigestAlgorithm::Crc32) {
                digest.hex = digest.hex.trim_start_matches('0').to_owned();
            }
            Ok(file)
        }),
        BrokenStore::of("G1", "gives the digest of something else").stat(|honest, request| async move {
            let mut file = honest.store.stat(request).await?;
            for digest in file.digests.iter_mut().filter(|digest| digest.algorithm == DigestAlgorithm::Md5) {
                digest.hex = "d41d8cd98f00b204e9800998ecf8427f".into();
            }
            Ok(file)
        }),
        BrokenStore::of("G2", "forgets a promised digest").upload(|honest, request| async move {
            let mut file = honest.store.upload(request).await?;
            file.digests.pop();
            Ok(file)
        }),
    ]
}

fn reads() -> Vec<BrokenStore> {
    let served: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    vec![
        BrokenStore::of("Q1", "allows one read more").on(Shape::Keys).upload(|honest, mut request| async move {
            let reads = request.options.get::<Reads>().map_or(1, |reads| reads.0);
            request.options.required(Arc::new(Reads(reads + 1)));
            let mut file = honest.store.upload(request).await?;
            file.remaining_downloads = Some(reads);
            Ok(file)
        }),
        BrokenStore::of("Q1", "ignores how often a file may be read").on(Shape::Keys).upload(
            |honest, mut request| async move {
                request.options.required(Arc::new(Reads(1)));
                honest.store.upload(request).await
            },
        ),
        BrokenStore::of("Q1", "says that a consumed file is forbidden").on(Shape::Keys).download(
            |honest, request| async move {
                let denied = |_| Error::new(ErrorKind::Permission, Effect::Rejected, "denied");
                honest.store.download(request).await.map_err(denied)
            },
        ),
        BrokenStore::of("Q2", "reads on stat").on(Shape::Keys).stat(|honest, request| async move {
            honest.store.download(Download::from(request.reference)).await.map(|answer| answer.file)
        }),
        BrokenStore::of("Q2", "probes on url and gets away with the file").on(Shape::Keys).url(
            |honest, request| async move {
                honest.service.count_read();
                honest.store.url(request).await
            },
        ),
        BrokenStore::of("Q3", "probes before it reads").on(Shape::Keys).download(|honest, request| async move {
            honest.service.count_read();
            honest.store.download(request).await
        }),
        BrokenStore::of("Q4", "looks first and counts later")
            .on(Shape::Keys)
            .upload(|honest, mut request| async move {
                request.options.required(Arc::new(Reads(1000)));
                let mut file = honest.store.upload(request).await?;
                file.remaining_downloads = Some(1);
                Ok(file)
            })
            .download(move |honest, request| {
                let served = Arc::clone(&served);
                async move {
                    let key = request.reference.components().concat();
                    if locked(&served).get(&key).is_some_and(|count| *count > 0) {
                        return Err(not_found());
                    }
                    yield_now().await;
                    *locked(&served).entry(key).or_default() += 1;
                    honest.store.download(request).await
                }
            }),
    ]
}

fn errors() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("E1", "says not sent of what was sent").upload(|honest, request| async move {
            if request.metadata.contains_key("") {
                honest.service.count_request();
                return Err(Error::invalid("the service does not like this"));
            }
            honest.store.upload(request).await
        }),
        BrokenStore::of("E1", "asks the service all the time").when_asked(|service| service.count_request()),
        BrokenStore::of("E2", "names a step of its own instead of the operation").download(
            |honest, request| async move {
                honest.store.download(request).await.map_err(|error| error.with_operation(Operation::Open))
            },
        ),
        BrokenStore::of("E2", "says nothing")
            .stat(|honest, request| async move { honest.store.stat(request).await.map_err(|_| Error::not_found(" ")) }),
    ]
}
