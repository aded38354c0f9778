//! A download, step by step: the address, the first answer, ranges side by side, and the digest.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{
    ByteStream, Download, Downloaded, Effect, Error, ErrorKind, FileUrl, Result, UrlKind, UrlRequest,
};
use filestore_http::{Attempts, presigned_url};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::config::Verify;
use crate::content::{RangeReader, RemoteContent};
use crate::digest::{DigestSet, Digests, Hasher, crc32_hex};
use crate::metadata::{self, URL_LIFETIME};
use crate::store::FilesComStore;

/// A range of a large download. Each is held in memory until those before it have been taken.
const RANGE: u64 = 2 << 20;

/// The first range of a large download, which is not held, and tells how fast one connection is.
const FIRST: u64 = 2 * RANGE;

/// Smaller files come with one request.
const LARGE: u64 = 2 * FIRST;

/// Who has the first range by then (200 MiB a second) is not made faster by more connections.
const FAST: Duration = Duration::from_millis(20);

/// The pauses before the digest of a file that was just stored is looked for again.
const DIGEST_POLL_DELAYS: [u64; 7] = [100, 200, 400, 800, 1600, 3200, 3200];

impl FilesComStore {
    pub(crate) async fn begin_download(&self, request: Download) -> Result<Downloaded> {
        // 1. The facts, and an address that works for a minute.
        let content = Arc::new(self.content(self.path_of(&request.reference)?).await?);
        let size = content.entry().size;
        // 2. Which bytes.
        let range = match (request.range, size) {
            (Some(range), Some(size)) => Some(range.of(size).map_err(|error| error.with_effect(Effect::Rejected))?),
            (Some(_), None) => {
                return Err(Error::unsupported("the service does not know the size of this file; read the whole"));
            }
            (None, _) => None,
        };
        // 3. The bytes, checked at the end if they are all.
        let wanted = range.clone().or_else(|| size.map(|size| 0..size));
        let length = wanted.as_ref().map(|wanted| wanted.end - wanted.start);
        let bytes = read(Arc::clone(&content), wanted, range.is_some()).await?;
        let bytes = match (&range, self.config().verify) {
            (Some(_), _) | (None, Verify::None) => bytes,
            (None, verify) => verified(bytes, Arc::clone(&content), verify),
        };
        let file = metadata::stored(content.path(), content.entry().clone());
        let mut answer = Downloaded::new(file, ByteStream::download(bytes, length));
        answer.range = range;
        Ok(answer)
    }

    pub(crate) async fn signed_url(&self, request: UrlRequest) -> Result<FileUrl> {
        let path = self.path_of(&request.reference)?;
        let too_long = |longest: Duration| {
            Error::unsupported(format!(
                "an address for {} s is not to be had: the service signs for {} s; make a share link (a bundle), which \
                 lasts as long as you say",
                request.lifetime.unwrap_or_default().as_secs(),
                longest.as_secs()
            ))
        };
        if request.lifetime.is_some_and(|wanted| wanted > URL_LIFETIME) {
            return Err(too_long(URL_LIFETIME));
        }
        let (_, uri) = self.download_uri(&path).await?;
        let url = presigned_url(&uri, self.api().base())?;
        let lifetime = filestore_http::lifetime(&url).unwrap_or(URL_LIFETIME);
        if request.lifetime.is_some_and(|wanted| wanted > lifetime) {
            return Err(too_long(lifetime).with_effect(Effect::Rejected));
        }
        let end = filestore_http::expiry(&url).or_else(|| self.api().clock().now().checked_add(lifetime).ok());
        // As it was understood, not as it was written: that may hold what a terminal obeys.
        Ok(FileUrl::new(url, UrlKind::Signed, end))
    }
}

/// The bytes of `wanted`; `None`: all, of a file whose size nobody knows.
async fn read(
    content: Arc<RemoteContent>,
    wanted: Option<Range<u64>>,
    is_part: bool,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let mut attempts = Attempts::new();
    let Some(wanted) = wanted else { return Ok(content.get(None, &mut attempts).await?.stream().boxed()) };
    let config = content.store().config();
    // RemoteContent is in memory elsewhere, too: on its way from the socket, and to the disk.
    let window = (config.memory.as_u64() / 4 / RANGE).min(u64::from(config.parallel.get()));
    // A large file is asked for piece by piece, if the storage plays along.
    if wanted.end - wanted.start > LARGE && window > 1 {
        let begun = content.store().api().clock().elapsed();
        let first = wanted.start..wanted.start + FIRST;
        let answer = content.get(Some(first.clone()), &mut attempts).await?;
        if answer.status().as_u16() == 206 && content.has_etag() {
            let rest = first.end..wanted.end;
            let first = sequential(Arc::clone(&content), RangeReader::new(answer, first, attempts));
            let rest = async move {
                let took = content.store().api().clock().elapsed() - begun;
                if took > FAST {
                    return Ok(concurrent(content, rest, usize::try_from(window).unwrap_or(1)));
                }
                let mut attempts = Attempts::new();
                let answer = content.get_range(rest.clone(), &mut attempts).await?;
                Ok(sequential(content, RangeReader::new(answer, rest, attempts)))
            };
            return Ok(first.chain(stream::once(rest).try_flatten()).boxed());
        }
        // It gives the whole at once.
        if answer.status().as_u16() == 200 && !is_part {
            return Ok(sequential(content, RangeReader::new(answer, wanted, attempts)));
        }
    }
    let asked = is_part.then(|| wanted.clone());
    let answer = content.get(asked, &mut attempts).await?;
    if is_part && answer.status().as_u16() != 206 {
        return Err(Error::unsupported("the storage of this file gives no ranges; read the whole")
            .with_effect(Effect::Rejected));
    }
    Ok(sequential(content, RangeReader::new(answer, wanted, attempts)))
}

/// One range, as it comes.
fn sequential(content: Arc<RemoteContent>, reading: RangeReader) -> BoxStream<'static, Result<Bytes>> {
    let chunks = stream::try_unfold((content, reading), |(content, mut reading)| async move {
        let chunk = reading.next(&content).await?;
        Ok::<_, Error>(chunk.map(|chunk| (chunk, (content, reading))))
    });
    chunks.boxed()
}

/// All ranges of `wanted` in order, `window` of them on their way or waiting.
fn concurrent(content: Arc<RemoteContent>, wanted: Range<u64>, window: usize) -> BoxStream<'static, Result<Bytes>> {
    let starts = wanted.clone().step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
    stream::iter(starts)
        .map(move |start| {
            let (content, range) = (Arc::clone(&content), start..wanted.end.min(start + RANGE));
            async move {
                let mut attempts = Attempts::new();
                let answer = content.get_range(range.clone(), &mut attempts).await?;
                let mut reading = RangeReader::new(answer, range, attempts);
                let mut chunks = VecDeque::new();
                while let Some(chunk) = reading.next(&content).await? {
                    chunks.push_back(Ok::<_, Error>(chunk));
                }
                Ok(stream::iter(chunks))
            }
        })
        .buffered(window)
        .try_flatten()
        .boxed()
}

/// The same bytes, and an *integrity* error in the end if they are not those that the service's digest
/// is of.
fn verified(
    bytes: BoxStream<'static, Result<Bytes>>,
    content: Arc<RemoteContent>,
    verify: Verify,
) -> BoxStream<'static, Result<Bytes>> {
    let entry = content.entry();
    // CRC-32 costs nothing; MD5 is for where there is no other.
    let md5 = entry.md5.is_some() && entry.crc32.is_none() && verify == Verify::Etag;
    let wanted = DigestSet { md5, crc32: !md5 && (entry.crc32.is_some() || verify == Verify::Crc32) };
    let state = Some((bytes, Hasher::new(wanted), content));
    let checked = stream::unfold(state, move |state| async move {
        let (mut bytes, mut running, content) = state?;
        let passed = match bytes.next().await {
            Some(Ok(chunk)) => running.pass(chunk).await,
            Some(Err(error)) => Err(error),
            None => return compare(running.digests(), &content, verify).await.err().map(|error| (Err(error), None)),
        };
        match passed {
            Ok(chunk) => Some((Ok(chunk), Some((bytes, running, content)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    checked.boxed()
}

/// *Integrity* if the digests differ, or if there should be one and is none.
async fn compare(sums: Digests, content: &RemoteContent, verify: Verify) -> Result<()> {
    let failed = |message: &str| Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message));
    let entry = content.entry();
    let mut crc32 = entry.crc32.clone();
    if crc32.is_none() && verify == Verify::Crc32 {
        crc32 = Box::pin(later_crc32(content)).await?;
        if crc32.is_none() {
            return failed(
                "the service has computed no CRC-32 to check the content with; a mounted folder has none, so use \
                 verify = \"etag\" there",
            );
        }
    }
    let theirs = |hex: Option<&str>, width: usize| hex.map(|hex| format!("{:0>width$}", hex.to_ascii_lowercase()));
    let differs = |ours: Option<String>, theirs: Option<String>| ours.zip(theirs).is_some_and(|(a, b)| a != b);
    let wrong = differs(sums.crc32.map(crc32_hex), theirs(crc32.as_deref(), 8))
        || differs(sums.md5, theirs(entry.md5.as_deref(), 32));
    if wrong {
        return failed("the content that came is not the one whose digest the service has; read it again");
    }
    Ok(())
}

/// The CRC-32 of the file, waited for if it was just stored.
async fn later_crc32(content: &RemoteContent) -> Result<Option<String>> {
    let before = content.entry();
    for pause in DIGEST_POLL_DELAYS {
        content.store().api().clock().sleep(Duration::from_millis(pause)).await;
        let entry = content.store().entry(content.path()).await?;
        if (entry.size, entry.created_at) != (before.size, before.created_at) {
            return Err(Error::new(
                ErrorKind::Integrity,
                Effect::Rejected,
                "the file was replaced before its content could be checked; read it again",
            ));
        }
        if entry.crc32.is_some() {
            return Ok(entry.crc32);
        }
    }
    Ok(None)
}
