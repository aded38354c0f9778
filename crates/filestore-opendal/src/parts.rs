//! [`Parts`]: the parts of a body that is uploaded, each in memory of the store's budget.

use bytes::{Buf, Bytes};
use filestore_core::{ByteStream, Result};
use futures::StreamExt;

use crate::budget::Reserve;

/// The parts of a body.
pub(crate) struct Parts {
    body: ByteStream,
    /// The rest of the last chunk.
    rest: Bytes,
    size: usize,
    reserve: Reserve,
}

impl Parts {
    /// Cuts `body` into parts of `size` bytes, for which the memory is reserved. Only the last one is smaller.
    pub(crate) fn new(body: ByteStream, size: u64, reserve: Reserve) -> Self {
        Self { body, rest: Bytes::new(), size: usize::try_from(size).unwrap_or(usize::MAX), reserve }
    }

    /// Returns the next part, or `None` at the end of the body. Waits for memory.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.fill().await? {
            return Ok(None);
        }
        let mut part = self.reserve.take().await;
        while part.content.len() < self.size && self.fill().await? {
            let length = self.rest.len().min(self.size - part.content.len());
            part.content.extend_from_slice(&self.rest[..length]);
            self.rest.advance(length);
        }
        Ok(Some(Bytes::from_owner(part)))
    }

    /// Returns `false` at the end of the body; otherwise `rest` has content.
    async fn fill(&mut self) -> Result<bool> {
        while self.rest.is_empty() {
            match self.body.next().await.transpose()? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
