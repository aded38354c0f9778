//! Mutations that break the rules of the groups A, C, O, P, G, V, Q, E and T.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filestore_core::{
    DigestAlgorithm, Download, Effect, Error, ErrorKind, Expiry, Feature, FileStore, FileUrl, Operation, Upload,
    UrlKind,
};
use jiff::{SignedDuration, Timestamp};
use tokio::task::yield_now;

use super::locked;
use crate::broken_store::BrokenStore;
use crate::memory::{Reads, Shape, not_found};

pub(super) fn mutations() -> Vec<BrokenStore> {
    [urls(), capabilities(), options(), provider_options(), digests(), versions(), reads(), errors()].concat()
}

fn urls() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("A1", "gives a URL of another kind").url(|inner, request| async move {
            let url = inner.store.url(request).await?;
            Ok(FileUrl::new(url.as_str(), UrlKind::Page, url.expires()))
        }),
        BrokenStore::of("A1", "states no expiry of a URL").url(|inner, request| async move {
            let url = inner.store.url(request).await?;
            Ok(FileUrl::new(url.as_str(), url.kind(), None))
        }),
        BrokenStore::of("A1", "gives a URL without scheme and host").url(|inner, request| async move {
            let url = inner.store.url(request).await?;
            Ok(FileUrl::new("/files/1", url.kind(), url.expires()))
        }),
        BrokenStore::of("A2", "creates every URL for 30 s").url(|inner, mut request| async move {
            request.lifetime = Some(Duration::from_secs(30));
            inner.store.url(request).await
        }),
        BrokenStore::of("A2", "reports a long lifetime as a permission error").url(|inner, request| async move {
            if request.lifetime > Some(Duration::from_secs(60)) {
                return Err(Error::new(ErrorKind::Permission, Effect::Rejected, "too long"));
            }
            inner.store.url(request).await
        }),
        BrokenStore::of("A3", "does not encode names in URLs").url(|inner, request| async move {
            let url = inner.store.url(request).await?;
            Ok(FileUrl::new(url.as_str().replace("%23", "#"), url.kind(), url.expires()))
        }),
    ]
}

fn capabilities() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("C1", "gives no reason for an unsupported feature")
            .states(|stated| *stated = stated.clone().unsupported(Feature::Resume, " ")),
        BrokenStore::of("C1", "sends a request before it rejects")
            .on(Shape::Channels)
            .on_capabilities(|service| service.count_request()),
        BrokenStore::of("C2", "fails on a feature that is native").download(|inner, request| async move {
            if request.range.is_some() {
                return Err(Error::unsupported("ranges are not supported yet"));
            }
            inner.store.download(request).await
        }),
        BrokenStore::of("C3", "changes its capabilities").later_states(|stated| {
            *stated = stated.clone().unsupported(Feature::Url, "not any more");
        }),
        BrokenStore::of("C4", "states a URL kind without URLs").states(|stated| {
            *stated = stated.clone().unsupported(Feature::Url, "none");
        }),
        BrokenStore::of("C4", "hides the cost of an emulated feature").states(|stated| {
            *stated = stated.clone().emulated(Feature::Stat, "");
        }),
        BrokenStore::of("C4", "offers ranges although a read consumes the file").on(Shape::Keys).states(|stated| {
            *stated = stated.clone().native([Feature::Range]);
        }),
        BrokenStore::of("C4", "offers replace although every upload is a new file").on(Shape::Channels).states(
            |stated| {
                *stated = stated.clone().native([Feature::Replace]);
            },
        ),
    ]
}

/// Returns a store that changes uploads, as if a part of the request were missing.
fn ignores(rule: &'static str, mutation: &'static str, change: fn(&mut Upload)) -> BrokenStore {
    BrokenStore::of(rule, mutation).upload(move |inner, mut request| async move {
        change(&mut request);
        inner.store.upload(request).await
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
        ignores("O3", "ignores the modification time", |request| request.modified = None),
        ignores("O3", "ignores the modification time of a local file", |request| {
            request.modified.get_or_insert_with(Timestamp::now);
        }),
        ignores("O4", "ignores the expiry", |request| request.expiry = Expiry::Default),
        ignores("O4", "takes days for hours", |request| {
            if let Expiry::After(period) = request.expiry {
                request.expiry = filestore_core::Period::hours(period.count()).into();
            }
        }),
        ignores("O5", "takes never for the default", |request| request.expiry = Expiry::Default).on(Shape::Keys),
        BrokenStore::of("O5", "rejects never but stores the file").upload(|inner, request| async move {
            let never = request.expiry == Expiry::Never;
            let file = inner.store.upload(request).await?;
            if never { Err(Error::new(ErrorKind::Quota, Effect::Rejected, "not in your plan")) } else { Ok(file) }
        }),
        BrokenStore::of("T1", "keeps an expired file").upload(|inner, mut request| async move {
            let expiry = std::mem::take(&mut request.expiry);
            let end = expiry.instant(inner.service.now())?;
            let mut file = inner.store.upload(request).await?;
            file.expiry = end.map_or(Expiry::Never, Expiry::At);
            Ok(file)
        }),
        BrokenStore::of("T1", "lets every file expire after 5 min").upload(|inner, mut request| async move {
            request.expiry = Expiry::At(inner.service.now() + SignedDuration::from_mins(5));
            inner.store.upload(request).await
        }),
    ]
}

fn provider_options() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("P1", "accepts every option and ignores it")
            .states(|stated| stated.options.push("conformance-unknown-options")),
        BrokenStore::of("P2", "skips an option without naming it")
            .states(|stated| stated.options.push("conformance-unknown-options")),
        BrokenStore::of("P2", "names skipped options that were not given").upload(|inner, request| async move {
            let mut file = inner.store.upload(request).await?;
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
        BrokenStore::of("G1", "drops leading zeros").upload(|inner, request| async move {
            let mut file = inner.store.upload(request).await?;
            for digest in file.digests.iter_mut().filter(|digest| digest.algorithm == DigestAlgorithm::Crc32) {
                digest.hex = digest.hex.trim_start_matches('0').to_owned();
            }
            Ok(file)
        }),
        BrokenStore::of("G1", "gives the digest of other content").stat(|inner, request| async move {
            let mut file = inner.store.stat(request).await?;
            for digest in file.digests.iter_mut().filter(|digest| digest.algorithm == DigestAlgorithm::Md5) {
                digest.hex = "d41d8cd98f00b204e9800998ecf8427f".into();
            }
            Ok(file)
        }),
        BrokenStore::of("G2", "forgets a promised digest").upload(|inner, request| async move {
            let mut file = inner.store.upload(request).await?;
            file.digests.pop();
            Ok(file)
        }),
    ]
}

fn versions() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("V1", "has another version in the response to the upload").upload(
            |inner, request| async move {
                let mut file = inner.store.upload(request).await?;
                file.version = Some("pending".into());
                Ok(file)
            },
        ),
        BrokenStore::of("V1", "has another version in the response to stat").stat(|inner, request| async move {
            let mut file = inner.store.stat(request).await?;
            file.version = file.version.map(|version| format!("{version}-weak"));
            Ok(file)
        }),
        BrokenStore::of("V1", "has another version in a listing").on(Shape::Channels).list(
            |inner, request| async move {
                let mut page = inner.store.list(request).await?;
                page.files.iter_mut().for_each(|file| file.version = Some(file.name.clone()));
                Ok(page)
            },
        ),
        BrokenStore::of("V1", "has another version in the response to a download").on(Shape::Keys).download(
            |inner, request| async move {
                let mut downloaded = inner.store.download(request).await?;
                downloaded.file.version = Some("read".into());
                Ok(downloaded)
            },
        ),
        BrokenStore::of("V1", "keeps the quotes of an ETag")
            .states(|stated| {
                for feature in [Feature::Stat, Feature::List, Feature::RecursiveList] {
                    *stated = stated.clone().unsupported(feature, "not offered");
                }
            })
            .upload(|inner, request| async move {
                let mut file = inner.store.upload(request).await?;
                file.version = Some("\"1\"".into());
                Ok(file)
            })
            .download(|inner, request| async move {
                let mut downloaded = inner.store.download(request).await?;
                downloaded.file.version = None;
                Ok(downloaded)
            }),
        BrokenStore::of("V2", "has the same version of a replaced file").upload(|inner, request| async move {
            let mut file = inner.store.upload(request).await?;
            file.version = Some(file.name.clone());
            Ok(file)
        }),
        BrokenStore::of("V2", "lists a replaced file with its old version").list(|inner, request| async move {
            let mut page = inner.store.list(request).await?;
            page.files.iter_mut().for_each(|file| file.version = Some("1".into()));
            Ok(page)
        }),
    ]
}

fn reads() -> Vec<BrokenStore> {
    let served: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    vec![
        BrokenStore::of("Q1", "allows one read more").on(Shape::Keys).upload(|inner, mut request| async move {
            let reads = request.options.get::<Reads>().map_or(1, |reads| reads.0);
            request.options.required(Arc::new(Reads(reads + 1)));
            let mut file = inner.store.upload(request).await?;
            file.remaining_downloads = Some(reads);
            Ok(file)
        }),
        BrokenStore::of("Q1", "ignores the allowed number of reads").on(Shape::Keys).upload(
            |inner, mut request| async move {
                request.options.required(Arc::new(Reads(1)));
                inner.store.upload(request).await
            },
        ),
        BrokenStore::of("Q1", "reports a consumed file as forbidden").on(Shape::Keys).download(
            |inner, request| async move {
                let denied = |_| Error::new(ErrorKind::Permission, Effect::Rejected, "denied");
                inner.store.download(request).await.map_err(denied)
            },
        ),
        BrokenStore::of("Q2", "reads on stat").on(Shape::Keys).stat(|inner, request| async move {
            inner.store.download(Download::from(request.reference)).await.map(|downloaded| downloaded.file)
        }),
        BrokenStore::of("Q2", "probes the file on url").on(Shape::Keys).url(|inner, request| async move {
            inner.service.count_read();
            inner.store.url(request).await
        }),
        BrokenStore::of("Q3", "probes before it reads").on(Shape::Keys).download(|inner, request| async move {
            inner.service.count_read();
            inner.store.download(request).await
        }),
        BrokenStore::of("Q4", "checks first and counts later")
            .on(Shape::Keys)
            .upload(|inner, mut request| async move {
                request.options.required(Arc::new(Reads(1000)));
                let mut file = inner.store.upload(request).await?;
                file.remaining_downloads = Some(1);
                Ok(file)
            })
            .download(move |inner, request| {
                let served = Arc::clone(&served);
                async move {
                    let key = request.reference.components().concat();
                    if locked(&served).get(&key).is_some_and(|count| *count > 0) {
                        return Err(not_found());
                    }
                    yield_now().await;
                    *locked(&served).entry(key).or_default() += 1;
                    inner.store.download(request).await
                }
            }),
    ]
}

fn errors() -> Vec<BrokenStore> {
    vec![
        BrokenStore::of("E1", "reports a request that was sent as not sent").upload(|inner, request| async move {
            if request.metadata.contains_key("") {
                inner.service.count_request();
                return Err(Error::invalid("the service rejects this"));
            }
            inner.store.upload(request).await
        }),
        BrokenStore::of("E1", "sends requests all the time").on_capabilities(|service| service.count_request()),
        BrokenStore::of("E2", "names an internal step instead of the operation").download(
            |inner, request| async move {
                inner.store.download(request).await.map_err(|error| error.with_operation(Operation::Open))
            },
        ),
        BrokenStore::of("E2", "gives an error without a message")
            .stat(|inner, request| async move { inner.store.stat(request).await.map_err(|_| Error::not_found(" ")) }),
    ]
}
