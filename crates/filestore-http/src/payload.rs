//! [`Payload`]: what a request carries, and how it is opened for each attempt.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::Form;

/// What a request carries.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing.
    Empty,
    /// A few bytes of this content type.
    Bytes(&'static str, Bytes),
    /// A file as it is. Without a content type the request has none.
    Body(Option<String>, Arc<Body>),
    /// A form.
    Form(Form),
}

impl From<Form> for Payload {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}

/// A payload on its way.
pub(crate) struct Opened {
    pub(crate) stream: BoxStream<'static, Result<Bytes>>,
    pub(crate) length: Option<u64>,
}

impl Payload {
    pub(crate) fn content_type(&self) -> Option<String> {
        match self {
            Self::Empty => None,
            Self::Bytes(content_type, _) => Some((*content_type).to_owned()),
            Self::Body(content_type, _) => content_type.clone(),
            Self::Form(form) => Some(form.content_type()),
        }
    }

    /// Whether it can be opened after some of it was read.
    pub(crate) fn can_replay(&self) -> bool {
        match self {
            Self::Empty | Self::Bytes(..) => true,
            Self::Body(_, body) => body.can_replay(),
            Self::Form(form) => form.can_replay(),
        }
    }

    pub(crate) async fn open(&self) -> Result<Opened> {
        match self {
            Self::Empty => Ok(Opened { stream: stream::empty().boxed(), length: Some(0) }),
            Self::Bytes(_, bytes) => {
                let length = Some(bytes.len() as u64);
                Ok(Opened { stream: stream::iter([Ok(bytes.clone())]).boxed(), length })
            }
            Self::Body(_, body) => open(body).await,
            Self::Form(form) => form.open().await,
        }
    }
}

/// Opens `body` now, if that may be done again; else when its first byte is asked for, so that a
/// connection that fails before that costs a one-shot body nothing.
pub(crate) async fn open(body: &Arc<Body>) -> Result<Opened> {
    if body.can_replay() {
        let stream = body.open().await?;
        let length = stream.length();
        return Ok(Opened { stream: stream.boxed(), length });
    }
    let length = body.length();
    let body = Arc::clone(body);
    let stream = stream::once(async move { body.open().await }).try_flatten().boxed();
    Ok(Opened { stream, length })
}
