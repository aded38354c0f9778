//! The content of an upload, cut into parts: read from a file as they are sent, or buffered from a stream.

use std::sync::Arc;

use filestore_core::{Body, ByteStream, ChunkQueue, Result};
use filestore_http::RequestBody;
use futures::StreamExt;
use futures::stream;
use tokio::sync::watch::Sender;

use crate::digest::{DigestSet, Digests, Hasher, SMALL, digested};

/// One part, which can be sent more than once.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    content: Arc<Body>,
    is_buffered: bool,
}

impl Part {
    /// Returns the body of the request that sends the part. Its digests are in `digests` when the last byte has been
    /// sent; those of a small part, which is read here, at once.
    pub(crate) async fn request_body(&self, set: DigestSet, digests: &Sender<Option<Digests>>) -> Result<RequestBody> {
        let (content, digests, length) = (Arc::clone(&self.content), digests.clone(), self.length);
        if length <= SMALL as u64 {
            let bytes = content.open().await?.collect(SMALL).await?;
            digests.send_replace(Some(Hasher::new(set).digests_with(&bytes)));
            return Ok(RequestBody::Bytes(None, bytes));
        }
        let open = move || {
            let (content, digests) = (Arc::clone(&content), digests.clone());
            async move { Ok(digested(content.open().await?, length, set, digests)) }
        };
        Ok(RequestBody::Body(None, Arc::new(Body::reopenable(open, Some(length)))))
    }

    /// Returns the number of bytes of the part that are in memory.
    pub(crate) fn buffered(&self) -> u64 {
        if self.is_buffered { self.length } else { 0 }
    }
}

/// The remaining content, from which parts are taken in order.
pub(crate) enum Source {
    Range { body: Arc<Body>, size: u64, offset: u64, number: u32 },
    Buffered(Buffered),
}

/// A stream, read ahead by no more than the next part.
pub(crate) struct Buffered {
    stream: ByteStream,
    chunks: ChunkQueue,
    filled: u64,
    ended: bool,
    offset: u64,
    number: u32,
}

impl Source {
    /// Creates the source of a body that can be read at any offset and has `size` bytes, or opens the body here.
    pub(crate) async fn open(body: &Arc<Body>, size: Option<u64>) -> Result<Self> {
        if let Some(size) = size {
            return Ok(Self::Range { body: Arc::clone(body), size, offset: 0, number: 0 });
        }
        let stream = body.open().await?;
        Ok(Self::Buffered(Buffered {
            stream,
            chunks: ChunkQueue::new(),
            filled: 0,
            ended: false,
            offset: 0,
            number: 0,
        }))
    }

    /// Returns the size of the whole content, as far as it is known. It is known of a stream that ends within `first`
    /// bytes.
    pub(crate) async fn size(&mut self, first: u64) -> Result<Option<u64>> {
        match self {
            Self::Range { size, .. } => Ok(Some(*size)),
            Self::Buffered(buffered) => {
                buffered.fill(first).await?;
                Ok(if buffered.ended { Some(buffered.offset + buffered.filled) } else { buffered.stream.length() })
            }
        }
    }

    pub(crate) fn is_buffered(&self) -> bool {
        matches!(self, Self::Buffered(_))
    }

    /// Returns the number of the next part, from 1.
    pub(crate) fn next_number(&self) -> u32 {
        match self {
            Self::Range { number, .. } | Self::Buffered(Buffered { number, .. }) => number + 1,
        }
    }

    /// Skips a part of `length` bytes that is stored already.
    pub(crate) fn skip(&mut self, length: u64) {
        if let Self::Range { size, offset, number, .. } = self {
            *offset = (*offset + length).min(*size);
            *number += 1;
        }
    }

    /// Returns the next part, of `length` bytes or of what is left; `None` at the end. Empty content is one empty part;
    /// no other part is empty. It may be dropped and called again.
    pub(crate) async fn next(&mut self, length: u64) -> Result<Option<Part>> {
        match self {
            Self::Range { body, size, offset, number } => {
                if *offset == *size && *number > 0 {
                    return Ok(None);
                }
                let (begin, length) = (*offset, length.min(*size - *offset));
                (*offset, *number) = (begin + length, *number + 1);
                let body = Arc::clone(body);
                let open = move || {
                    let body = Arc::clone(&body);
                    async move { body.open_range(begin, length).await }
                };
                let content = Arc::new(Body::reopenable(open, Some(length)));
                Ok(Some(Part { number: *number, offset: begin, length, content, is_buffered: false }))
            }
            Self::Buffered(buffered) => {
                buffered.fill(length).await?;
                Ok(buffered.take(length))
            }
        }
    }
}

impl Buffered {
    /// Reads until more than `length` bytes are buffered, or to the end.
    async fn fill(&mut self, length: u64) -> Result<()> {
        while self.filled <= length && !self.ended {
            match self.stream.next().await.transpose()? {
                Some(chunk) => {
                    self.filled += chunk.len() as u64;
                    self.chunks.push(chunk);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }

    fn take(&mut self, length: u64) -> Option<Part> {
        if self.filled == 0 && self.number > 0 {
            return None;
        }
        let length = length.min(self.filled);
        let chunks = self.chunks.take(length);
        let offset = self.offset;
        (self.offset, self.filled, self.number) = (offset + length, self.filled - length, self.number + 1);
        // The chunks are not copied into one buffer.
        let open = move || {
            let chunks = chunks.clone();
            async move { Ok(ByteStream::upload(stream::iter(chunks.into_iter().map(Ok)), Some(length))) }
        };
        let content = Arc::new(Body::reopenable(open, Some(length)));
        Some(Part { number: self.number, offset, length, content, is_buffered: true })
    }
}

#[cfg(test)]
mod tests {
    use filestore_core::{Error, ErrorKind};

    use super::*;

    fn streamed(chunks: &[&'static str], length: Option<u64>) -> Arc<Body> {
        let chunks: Vec<_> = chunks.iter().copied().map(Ok::<_, Error>).collect();
        Arc::new(Body::from_stream(stream::iter(chunks), length))
    }

    async fn parts(mut source: Source, length: u64) -> Vec<(u32, u64, u64)> {
        let mut parts = Vec::new();
        while let Some(part) = source.next(length).await.unwrap() {
            parts.push((part.number, part.offset, part.length));
        }
        parts
    }

    #[tokio::test]
    async fn an_exact_multiple_has_no_empty_part_at_its_end() {
        let stream = Source::open(&streamed(&["abc", "defg", "h"], None), None).await.unwrap();
        assert_eq!(parts(stream, 4).await, [(1, 0, 4), (2, 4, 4)]);
        let bytes = Source::open(&Arc::new(Body::from("abcdefgh")), Some(8)).await.unwrap();
        assert_eq!(parts(bytes, 4).await, [(1, 0, 4), (2, 4, 4)]);
    }

    #[tokio::test]
    async fn empty_content_is_one_empty_part() {
        let stream = Source::open(&streamed(&[], None), None).await.unwrap();
        assert_eq!(parts(stream, 4).await, [(1, 0, 0)]);
        let bytes = Source::open(&Arc::new(Body::from("")), Some(0)).await.unwrap();
        assert_eq!(parts(bytes, 4).await, [(1, 0, 0)]);
    }

    #[tokio::test]
    async fn the_size_of_a_stream_that_ends_early_is_known() {
        let mut short = Source::open(&streamed(&["abc"], None), None).await.unwrap();
        assert_eq!(short.size(10).await.unwrap(), Some(3));
        let mut long = Source::open(&streamed(&["abc", "def"], None), None).await.unwrap();
        assert_eq!(long.size(3).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stream_of_another_length_than_declared_is_invalid_input() {
        let mut source = Source::open(&streamed(&["abc"], Some(5)), None).await.unwrap();
        assert_eq!(source.next(10).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
