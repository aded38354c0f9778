//! [`Parts`]: the parts of a body that is uploaded, each in memory of the store's budget.

use bytes::{Buf, Bytes};
use filestore_core::{ByteStream, Result};
use futures::StreamExt;
use opendal::Buffer;

use crate::attempts::Attempts;
use crate::budget::Reserve;

/// The parts of a body.
pub(crate) struct Parts {
    body: ByteStream,
    /// The rest of the last chunk.
    rest: Bytes,
    reserve: Reserve,
}

impl Parts {
    /// Cuts `body` into parts of the reserved size. Only the last one is smaller.
    pub(crate) fn new(body: ByteStream, reserve: Reserve) -> Self {
        Self { body, rest: Bytes::new(), reserve }
    }

    /// Returns the next part, or `None` at the end of the body. Waits for memory.
    pub(crate) async fn next(&mut self) -> Result<Option<Buffer>> {
        if !self.fill().await? {
            return Ok(None);
        }
        // OpenDAL keeps a part that has failed until the next ones are there. The transport reports the failures that it
        // knows; without a task, all parts in memory have failed before or after it.
        let mut part = self.reserve.take(Attempts::current().tasks_ended()).await;
        while !part.is_full() && self.fill().await? {
            let copied = part.fill(&self.rest);
            self.rest.advance(copied);
        }
        Ok(Some(part.into_buffer()))
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
