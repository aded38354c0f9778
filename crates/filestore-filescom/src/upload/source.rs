//! Where the content of parts comes from: read where it lies, or held while it is on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Result};
use filestore_http::RequestBody;
use futures::StreamExt;
use futures::stream;

use crate::digest::{DigestCell, DigestSet, Hasher, SMALL, digested};

/// One part, ready to be sent as often as it takes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    content: PartContent,
}

#[derive(Debug, Clone)]
enum PartContent {
    /// A range of a body that can be opened anywhere.
    Range(Arc<Body>),
    /// Pieces of a stream, not copied together.
    Buffered(Arc<Vec<Bytes>>),
}

impl Part {
    /// What a request sends. The digests are in `slot` when the last byte has gone to the connection; those of
    /// small content, which is read and digested here, at once.
    pub(crate) async fn payload(&self, wanted: DigestSet, slot: &DigestCell) -> Result<RequestBody> {
        let (content, slot, offset, length) = (self.content.clone(), slot.clone(), self.offset, self.length);
        if length <= SMALL as u64 {
            let bytes = content.open(offset, length).await?.collect(SMALL).await?;
            slot.set(Some(Hasher::new(wanted).sums_of(&bytes)));
            return Ok(RequestBody::Bytes(None, bytes));
        }
        let open = move || {
            let (content, slot) = (content.clone(), slot.clone());
            async move { Ok(digested(content.open(offset, length).await?, length, wanted, slot)) }
        };
        Ok(RequestBody::Body(None, Arc::new(Body::reopenable(open, Some(length)))))
    }

    /// Bytes that are in memory because of it.
    pub(crate) fn held(&self) -> u64 {
        match self.content {
            PartContent::Range(_) => 0,
            PartContent::Buffered(_) => self.length,
        }
    }
}

impl PartContent {
    async fn open(self, offset: u64, length: u64) -> Result<ByteStream> {
        match self {
            Self::Range(body) => body.open_range(offset, length).await,
            Self::Buffered(pieces) => {
                let pieces = (0..pieces.len()).map(move |at| Ok(pieces[at].clone()));
                Ok(ByteStream::upload(stream::iter(pieces), Some(length)))
            }
        }
    }
}

/// The content of an upload, to be cut into parts from the beginning.
pub(crate) enum Source {
    Range { body: Arc<Body>, size: u64, at: u64, number: u32 },
    Buffered(Buffered),
}

/// A stream, read ahead by no more than the part that is asked for.
pub(crate) struct Buffered {
    stream: ByteStream,
    pieces: VecDeque<Bytes>,
    filled: u64,
    ended: bool,
    at: u64,
    number: u32,
}

impl Source {
    /// Of a body that can be opened anywhere and has `size` bytes, or of one that is opened now.
    pub(crate) async fn open(body: &Arc<Body>, size: Option<u64>) -> Result<Self> {
        if let Some(size) = size {
            return Ok(Self::Range { body: Arc::clone(body), size, at: 0, number: 0 });
        }
        let stream = body.open().await?;
        Ok(Self::Buffered(Buffered { stream, pieces: VecDeque::new(), filled: 0, ended: false, at: 0, number: 0 }))
    }

    /// The size of the whole, as far as it is known: a stream that ends within `first` bytes says it.
    pub(crate) async fn size(&mut self, first: u64) -> Result<Option<u64>> {
        match self {
            Self::Range { size, .. } => Ok(Some(*size)),
            Self::Buffered(held) => {
                held.fill(first).await?;
                Ok(if held.ended { Some(held.at + held.filled) } else { held.stream.length() })
            }
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Buffered(_))
    }

    /// The number of the part that comes next, from 1.
    pub(crate) fn next_number(&self) -> u32 {
        match self {
            Self::Range { number, .. } | Self::Buffered(Buffered { number, .. }) => number + 1,
        }
    }

    /// Passes over a part of `length` bytes that is stored already.
    pub(crate) fn skip(&mut self, length: u64) {
        if let Self::Range { size, at, number, .. } = self {
            *at = (*at + length).min(*size);
            *number += 1;
        }
    }

    /// The next part, of `length` bytes or of what is left; `None` at the end. An empty body is one empty
    /// part, and nothing else has an empty one. May be dropped and called again.
    pub(crate) async fn next(&mut self, length: u64) -> Result<Option<Part>> {
        match self {
            Self::Range { body, size, at, number } => {
                if *at == *size && *number > 0 {
                    return Ok(None);
                }
                let (offset, length) = (*at, length.min(*size - *at));
                (*at, *number) = (offset + length, *number + 1);
                Ok(Some(Part { number: *number, offset, length, content: PartContent::Range(Arc::clone(body)) }))
            }
            Self::Buffered(held) => {
                held.fill(length).await?;
                Ok(held.take(length))
            }
        }
    }
}

impl Buffered {
    /// Reads until more than `length` bytes are there, or all.
    async fn fill(&mut self, length: u64) -> Result<()> {
        while self.filled <= length && !self.ended {
            match self.stream.next().await.transpose()? {
                Some(piece) => {
                    self.filled += piece.len() as u64;
                    self.pieces.push_back(piece);
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
        let (mut missing, mut pieces) = (length, Vec::new());
        while missing > 0
            && let Some(mut piece) = self.pieces.pop_front()
        {
            if piece.len() as u64 > missing {
                let rest = piece.split_off(usize::try_from(missing).unwrap_or(usize::MAX));
                self.pieces.push_front(rest);
            }
            missing -= piece.len() as u64;
            pieces.push(piece);
        }
        let offset = self.at;
        (self.at, self.filled, self.number) = (offset + length, self.filled - length, self.number + 1);
        Some(Part { number: self.number, offset, length, content: PartContent::Buffered(Arc::new(pieces)) })
    }
}

#[cfg(test)]
mod tests {
    use filestore_core::ErrorKind;

    use super::*;

    fn streamed(pieces: &[&'static str], length: Option<u64>) -> Arc<Body> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        Arc::new(Body::stream(stream::iter(pieces), length))
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
    async fn nothing_is_one_empty_part() {
        let stream = Source::open(&streamed(&[], None), None).await.unwrap();
        assert_eq!(parts(stream, 4).await, [(1, 0, 0)]);
        let bytes = Source::open(&Arc::new(Body::from("")), Some(0)).await.unwrap();
        assert_eq!(parts(bytes, 4).await, [(1, 0, 0)]);
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_says_its_size() {
        let mut short = Source::open(&streamed(&["abc"], None), None).await.unwrap();
        assert_eq!(short.size(10).await.unwrap(), Some(3));
        let mut long = Source::open(&streamed(&["abc", "def"], None), None).await.unwrap();
        assert_eq!(long.size(3).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stream_of_another_length_than_announced_is_the_callers_error() {
        let mut source = Source::open(&streamed(&["abc"], Some(5)), None).await.unwrap();
        assert_eq!(source.next(10).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
