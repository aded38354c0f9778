//! [`Payload`]: what a request carries, and how it is opened for each attempt.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, Error, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use reqwest::header::HeaderValue;

use crate::Form;

/// What a request carries.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing.
    Empty,
    /// A few bytes, of this content type. Without one the request has none.
    Bytes(Option<&'static str>, Bytes),
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

/// Content on its way.
pub(crate) struct Flow {
    pub(crate) stream: BoxStream<'static, Result<Bytes>>,
    pub(crate) length: Option<u64>,
}

/// A payload on its way.
pub(crate) enum Opened {
    /// In memory: most requests carry little.
    Whole(Bytes),
    Flow(Flow),
}

impl Opened {
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Flow(flow) => flow.length,
        }
    }
}

impl Payload {
    /// *Invalid input* if it cannot be a header.
    pub(crate) fn content_type(&self) -> Result<Option<HeaderValue>> {
        let content_type = match self {
            Self::Empty => None,
            Self::Bytes(content_type, _) => return Ok(content_type.map(HeaderValue::from_static)),
            Self::Body(content_type, _) => content_type.clone(),
            Self::Form(form) => Some(form.content_type()),
        };
        let wrong = |_| Error::invalid("the content type cannot be a header; choose another");
        content_type.map(|text| HeaderValue::try_from(text).map_err(wrong)).transpose()
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
        Ok(match self {
            Self::Empty => Opened::Whole(Bytes::new()),
            Self::Bytes(_, bytes) => Opened::Whole(bytes.clone()),
            Self::Body(_, body) => Opened::Flow(Box::pin(open(body)).await?),
            Self::Form(form) => Opened::Flow(Box::pin(form.open()).await?),
        })
    }
}

/// Opens `body` now, if that may be done again; else when its first byte is asked for, so that a
/// connection that fails before that costs a one-shot body nothing.
pub(crate) async fn open(body: &Arc<Body>) -> Result<Flow> {
    if body.can_replay() {
        let stream = body.open().await?;
        let length = stream.length();
        return Ok(Flow { stream: stream.boxed(), length });
    }
    let length = body.length();
    let body = Arc::clone(body);
    let stream = stream::once(async move { body.open().await }).try_flatten().boxed();
    Ok(Flow { stream, length })
}
