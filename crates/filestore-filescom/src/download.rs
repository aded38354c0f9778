//! A download, step by step: the presigned URL, the first response, concurrent ranges, and the digest.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{
    ByteStream, ChunkQueue, Download, Downloaded, Effect, Error, ErrorKind, FileUrl, Result, UrlKind, UrlRequest,
};
use filestore_http::{Attempts, RangeSource, presigned_url};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::config::Verify;
use crate::content::RemoteContent;
use crate::digest::{DigestSet, Digests, Hasher, crc32_hex};
use crate::metadata::{self, URL_LIFETIME};
use crate::store::FilesComStore;

/// The size of a range of a large download. A range is buffered in memory until those before it have been read.
const RANGE: u64 = 2 << 20;

/// The size of the first range of a large download. It is not buffered, and measures the speed of one connection.
const FIRST: u64 = 2 * RANGE;

/// Files up to this size are read with one request.
const LARGE: u64 = 2 * FIRST;

/// A connection that has sent the first range within this time (200 MiB/s) is not helped by further connections.
const FAST: Duration = Duration::from_millis(20);

/// The delays, in milliseconds, before each request for the digest of a file that was just stored.
const DIGEST_POLL_DELAYS: [u64; 7] = [100, 200, 400, 800, 1600, 3200, 3200];

/// The largest difference between two times of the service that are rounded to seconds.
const ROUNDING: Duration = Duration::from_secs(1);

impl FilesComStore {
    pub(crate) async fn begin_download(&self, request: Download) -> Result<Downloaded> {
        // 1. The metadata, and a presigned URL that is valid for one minute.
        let content = Arc::new(self.content(self.path_of(&request.reference)?).await?);
        let size = content.entry().size;
        // 2. The range to read.
        let range = match (request.range, size) {
            (Some(range), Some(size)) => Some(range.of(size).map_err(|error| error.with_effect(Effect::Rejected))?),
            (Some(_), None) => {
                return Err(Error::unsupported("the service does not know the size of this file; read the whole file"));
            }
            (None, _) => None,
        };
        // 3. The bytes, with a check of the digest at the end of a whole file.
        let byte_range = range.clone().or_else(|| size.map(|size| 0..size));
        let length = byte_range.as_ref().map(|byte_range| byte_range.end - byte_range.start);
        let bytes = match &range {
            // An empty range cannot be requested.
            Some(range) if range.is_empty() => stream::empty().boxed(),
            _ => read(Arc::clone(&content), byte_range, range.is_some()).await?,
        };
        let bytes = match (&range, self.config().verify) {
            (Some(_), _) | (None, Verify::None) => bytes,
            (None, verify) => verified(bytes, Arc::clone(&content), verify),
        };
        let file = metadata::stored(content.path(), content.entry().clone());
        let mut response = Downloaded::new(file, ByteStream::download(bytes, length));
        // Times of the service have seconds, in which a file can be replaced by one of the same size.
        response.validator = content.validator();
        response.range = range;
        Ok(response)
    }

    pub(crate) async fn file_url(&self, request: UrlRequest) -> Result<FileUrl> {
        let path = self.path_of(&request.reference)?;
        let too_long = |longest: Duration| {
            Error::unsupported(format!(
                "cannot create a URL that is valid for {} s: the service's presigned URLs are valid for {} s; create a \
                 share link (a bundle), which is valid until a time of your choice",
                request.lifetime.unwrap_or_default().as_secs(),
                longest.as_secs()
            ))
        };
        if request.lifetime.is_some_and(|requested| requested > URL_LIFETIME) {
            return Err(too_long(URL_LIFETIME));
        }
        let (_, uri, now) = self.download_uri(&path).await?;
        let url = presigned_url(&uri, self.api().base())?;
        let lifetime = filestore_http::lifetime(&url).unwrap_or(URL_LIFETIME);
        // The service may return a URL that it signed earlier.
        let remaining = filestore_http::expiry(&url).map_or(lifetime, |expiry| {
            Duration::try_from(expiry.duration_since(now)).unwrap_or_default().min(lifetime)
        });
        if request.lifetime.is_some_and(|requested| requested > remaining.saturating_add(ROUNDING)) {
            return Err(too_long(remaining).with_effect(Effect::Rejected));
        }
        let end = filestore_http::expiry(&url).or_else(|| self.api().clock().now().checked_add(lifetime).ok());
        // The parsed URL, not the text of the response, which may have control characters for a terminal.
        Ok(FileUrl::new(url, UrlKind::Signed, end))
    }
}

/// Returns the bytes of `byte_range`; `None`: the whole file, whose size is unknown.
async fn read(
    content: Arc<RemoteContent>,
    byte_range: Option<Range<u64>>,
    is_part: bool,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let mut attempts = Attempts::new();
    let Some(byte_range) = byte_range else { return Ok(content.get(None, &mut attempts).await?.stream().boxed()) };
    let config = content.store().config();
    // A quarter of the limit: content is in memory elsewhere, too, on its way from the socket and to the disk.
    let window = (config.memory.as_u64() / 4 / RANGE).min(u64::from(config.parallel.get()));
    // A large file is read by concurrent ranges, if the storage supports them.
    if byte_range.end - byte_range.start > LARGE && window > 1 {
        let started = content.store().api().clock().elapsed();
        let first = byte_range.start..byte_range.start + FIRST;
        let response = content.get(Some(first.clone()), &mut attempts).await?;
        if response.status().as_u16() == 206 && content.has_etag() {
            let rest = first.end..byte_range.end;
            let first = content.reader(response, first, attempts).into_stream(Arc::clone(&content)).boxed();
            let rest = async move {
                let took = content.store().api().clock().elapsed() - started;
                if took > FAST {
                    return Ok::<_, Error>(concurrent(content, rest, usize::try_from(window).unwrap_or(1)));
                }
                let mut attempts = Attempts::new();
                let response = content.get_range(rest.clone(), &mut attempts).await?;
                Ok(content.reader(response, rest, attempts).into_stream(content).boxed())
            };
            return Ok(first.chain(stream::once(rest).try_flatten()).boxed());
        }
        // The storage responded with the whole file.
        if response.status().as_u16() == 200 && !is_part {
            return Ok(content.reader(response, byte_range, attempts).into_stream(content).boxed());
        }
    }
    let range = is_part.then(|| byte_range.clone());
    let response = content.get(range, &mut attempts).await?;
    if is_part && response.status().as_u16() != 206 {
        return Err(Error::unsupported("the storage of this file does not support ranges; read the whole file")
            .with_effect(Effect::Rejected));
    }
    Ok(content.reader(response, byte_range, attempts).into_stream(content).boxed())
}

/// Returns the chunks of all ranges of `byte_range` in order, with up to `window` ranges in flight or buffered.
fn concurrent(content: Arc<RemoteContent>, byte_range: Range<u64>, window: usize) -> BoxStream<'static, Result<Bytes>> {
    let starts = byte_range.clone().step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
    stream::iter(starts)
        .map(move |start| {
            let (content, range) = (Arc::clone(&content), start..byte_range.end.min(start + RANGE));
            async move {
                let mut attempts = Attempts::new();
                let response = content.get_range(range.clone(), &mut attempts).await?;
                let mut reader = content.reader(response, range, attempts);
                let mut chunks = ChunkQueue::new();
                while let Some(chunk) = reader.next(&content).await? {
                    chunks.push(chunk);
                }
                Ok::<_, Error>(stream::iter(chunks.into_chunks().into_iter().map(Ok)))
            }
        })
        .buffered(window)
        .try_flatten()
        .boxed()
}

/// Returns the same bytes, with an *integrity* error at the end if their digest is not the service's.
fn verified(
    bytes: BoxStream<'static, Result<Bytes>>,
    content: Arc<RemoteContent>,
    verify: Verify,
) -> BoxStream<'static, Result<Bytes>> {
    let entry = content.entry();
    // MD5, which is slower than CRC-32, is computed only if the service has no CRC-32.
    let md5 = entry.md5.is_some() && entry.crc32.is_none() && verify == Verify::Etag;
    let set = DigestSet { md5, crc32: !md5 && (entry.crc32.is_some() || verify == Verify::Crc32) };
    let state = Some((bytes, Hasher::new(set), content));
    let checked = stream::unfold(state, move |state| async move {
        let (mut bytes, mut hasher, content) = state?;
        let passed = match bytes.next().await {
            Some(Ok(chunk)) => hasher.pass(chunk).await,
            Some(Err(error)) => Err(error),
            None => return compare(hasher.digests(), &content, verify).await.err().map(|error| (Err(error), None)),
        };
        match passed {
            Ok(chunk) => Some((Ok(chunk), Some((bytes, hasher, content)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    checked.boxed()
}

/// Compares the digests with those of the service. *Integrity* if they differ, or if [`Verify::Crc32`] requires one and
/// the service has none.
async fn compare(computed: Digests, content: &RemoteContent, verify: Verify) -> Result<()> {
    let failed = |message: &str| Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message));
    let entry = content.entry();
    let mut crc32 = entry.crc32.clone();
    if crc32.is_none() && verify == Verify::Crc32 {
        crc32 = Box::pin(poll_crc32(content)).await?;
        if crc32.is_none() {
            return failed(
                "the service has computed no CRC-32 to check the content with; a mounted folder has none, so use \
                 verify = \"etag\" there",
            );
        }
    }
    let padded = |hex: Option<&str>, width: usize| hex.map(|hex| format!("{:0>width$}", hex.to_ascii_lowercase()));
    let differs = |computed: Option<String>, known: Option<String>| computed.zip(known).is_some_and(|(a, b)| a != b);
    let wrong = differs(computed.crc32.map(crc32_hex), padded(crc32.as_deref(), 8))
        || differs(computed.md5, padded(entry.md5.as_deref(), 32));
    if wrong {
        return failed("the digest of the downloaded content differs from the service's; download it again");
    }
    Ok(())
}

/// Returns the CRC-32 of the file as soon as the service has computed it; `None` if it takes too long.
async fn poll_crc32(content: &RemoteContent) -> Result<Option<String>> {
    let before = content.entry();
    for delay in DIGEST_POLL_DELAYS {
        content.store().api().clock().sleep(Duration::from_millis(delay)).await;
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
