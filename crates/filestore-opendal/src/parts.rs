//! [`Parts`]: the parts of a body that is uploaded, each in memory of the store's budget.

use bytes::{Buf, Bytes};
use filestore_core::{ByteStream, Result};
use futures::StreamExt;

use crate::budget::{Permit, Reserve};

/// The parts of a body.
pub(crate) struct Parts {
    body: ByteStream,
    /// The rest of the last chunk.
    rest: Bytes,
    size: usize,
    reserve: Reserve,
}

/// The content of a part, whose memory is free again when OpenDAL and the HTTP client have dropped it.
struct Part {
    content: Vec<u8>,
    _permit: Permit,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Parts {
    /// Cuts `body` into parts of `size` bytes. Only the last one is smaller.
    pub(crate) fn new(body: ByteStream, size: u64, reserve: Reserve) -> Self {
        Self { body, rest: Bytes::new(), size: usize::try_from(size).unwrap_or(usize::MAX), reserve }
    }

    /// Returns the next part, or `None` at the end of the body. Waits for memory.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.fill().await? {
            return Ok(None);
        }
        let permit = self.reserve.take().await;
        let mut content = Vec::with_capacity(self.size);
        while content.len() < self.size && self.fill().await? {
            let length = self.rest.len().min(self.size - content.len());
            content.extend_from_slice(&self.rest[..length]);
            self.rest.advance(length);
        }
        Ok(Some(Bytes::from_owner(Part { content, _permit: permit })))
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
