//! Content on its way out.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

/// Content on its way.
pub(crate) struct Streaming {
    pub(crate) stream: BoxStream<'static, Result<Bytes>>,
    pub(crate) length: Option<u64>,
}

/// A payload on its way.
pub(crate) enum OpenBody {
    /// In memory: most requests carry little.
    Whole(Bytes),
    Streaming(Streaming),
}

impl OpenBody {
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Streaming(flow) => flow.length,
        }
    }
}

/// Opens `body` now, if that may be done again; else when its first byte is asked for, so that a
/// connection that fails before that costs a one-shot body nothing.
pub(crate) async fn open(body: &Arc<Body>) -> Result<Streaming> {
    if body.can_replay() {
        let stream = body.open().await?;
        let length = stream.length();
        return Ok(Streaming { stream: stream.boxed(), length });
    }
    let length = body.length();
    let body = Arc::clone(body);
    let stream = stream::once(async move { body.open().await }).try_flatten().boxed();
    Ok(Streaming { stream, length })
}
