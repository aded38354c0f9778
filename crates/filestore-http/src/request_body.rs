//! [`RequestBody`]: what a request carries, and how it is opened for each attempt.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, Error, Result};
use reqwest::header::HeaderValue;

use crate::Form;
use crate::streaming::{OpenBody, open};

/// What a request carries.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// A few bytes, of this content type. Without one the request has none.
    Bytes(Option<&'static str>, Bytes),
    /// A file as it is. Without a content type the request has none.
    Body(Option<String>, Arc<Body>),
    /// A form.
    Form(Form),
}

impl From<Form> for RequestBody {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}

impl RequestBody {
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

    pub(crate) async fn open(&self) -> Result<OpenBody> {
        Ok(match self {
            Self::Empty => OpenBody::Whole(Bytes::new()),
            Self::Bytes(_, bytes) => OpenBody::Whole(bytes.clone()),
            Self::Body(_, body) => OpenBody::Streaming(Box::pin(open(body)).await?),
            Self::Form(form) => OpenBody::Streaming(Box::pin(form.open()).await?),
        })
    }
}
