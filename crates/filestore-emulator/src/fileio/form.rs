//! The shapes that an upload comes in, read into one.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use mime_guess::mime::{self, Mime};
use url::form_urlencoded;

use super::error::Rejection;
use super::file::Name;
use super::limits::Wishes;
use super::name::sanitised;
use crate::blobs::{Blob, BlobWriter, Blobs};
use crate::faults::ContentTamper;
use crate::http::RequestBody;
use crate::multipart::{Multipart, PartHead};

/// The most that all fields of a form, or a body that is no file, may hold in memory.
const LONGEST_TEXT: usize = 1024 * 1024;
/// What a form may add to its file.
const FORM_OVERHEAD: u64 = 1024 * 1024;

/// What a request brought, whatever its shape.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) content: Option<Content>,
    fields: HashMap<String, String>,
}

/// An uploaded content.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) name: Name,
    pub(super) mime_type: String,
    pub(super) body: Blob,
}

/// Where contents go, and how large they may be.
pub(super) struct UploadSink {
    pub(super) blobs: Arc<Blobs>,
    pub(super) largest: u64,
    pub(super) tamper: ContentTamper,
    /// Whether a body that is no form is a file.
    pub(super) raw: bool,
}

impl Form {
    /// Reads a request to its end. Fields of the query stand in for fields that the body lacks.
    pub(super) async fn read(
        headers: &HeaderMap,
        query: Option<&str>,
        body: &mut RequestBody,
        intake: UploadSink,
    ) -> Result<Self, Rejection> {
        if body.length().is_some_and(|length| length > intake.largest.saturating_add(FORM_OVERHEAD)) {
            return Err(Rejection::TooLarge(intake.largest));
        }
        let media_type = media_type(headers)?;
        let essence = media_type.as_ref().map(Mime::essence_str);
        let mut form = match (essence, &media_type) {
            (Some("multipart/form-data"), Some(media_type)) => {
                let boundary = media_type.get_param("boundary").filter(|boundary| !boundary.as_str().is_empty());
                let boundary = boundary.ok_or_else(|| Rejection::bad("multipart/form-data needs a boundary"))?;
                Self::read_parts(body, boundary.as_str(), intake).await?
            }
            (Some("application/x-www-form-urlencoded"), _) => Self::read_urlencoded(body, intake).await?,
            (Some("application/json"), _) => Self::read_json(body, intake).await?,
            _ => Self::read_raw(body, media_type, intake).await?,
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            form.fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Ok(form)
    }

    pub(super) fn wishes(&self) -> Wishes {
        Wishes {
            expires: self.field("expires"),
            max_downloads: self.field("maxDownloads"),
            auto_delete: self.field("autoDelete"),
        }
    }

    /// A text that the client set; empty clears it.
    pub(super) fn text(&self, name: &str) -> Option<Option<String>> {
        let value = self.field(name).filter(|value| !matches!(value.as_str(), "undefined" | "null"))?;
        Some(Some(value).filter(|value| !value.is_empty()))
    }

    fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).cloned()
    }

    /// The file is the first part with a file name; without one the part `file`, else `text`.
    /// Parts come in any order, so a candidate is kept until the last part is read.
    async fn read_parts(body: &mut RequestBody, boundary: &str, mut intake: UploadSink) -> Result<Self, Rejection> {
        let mut form = Form::default();
        let (mut named, mut file, mut text) = (None, None, None);
        let mut left = LONGEST_TEXT;
        let mut parts = Multipart::new(body, boundary);
        while let Some(head) = parts.next_part().await? {
            let candidate = match (&head.filename, head.name.as_deref()) {
                (Some(_), _) => &mut named,
                (None, Some("file")) => &mut file,
                (None, Some("text")) => &mut text,
                (None, field) => {
                    let value = read_field(&mut parts, left).await?;
                    left -= value.len();
                    form.fields.entry(field.unwrap_or_default().to_owned()).or_insert(value);
                    continue;
                }
            };
            if candidate.is_none() {
                *candidate = Some(intake.part(&head, &mut parts).await?);
            }
        }
        form.content = named.or(file).or(text);
        Ok(form)
    }

    async fn read_urlencoded(body: &mut RequestBody, intake: UploadSink) -> Result<Self, Rejection> {
        let text =
            body.collect(LONGEST_TEXT).await.map_err(broken_off)?.ok_or(Rejection::TooLarge(LONGEST_TEXT as u64))?;
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(&text) {
            form.fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        if let Some(text) = form.fields.remove("text") {
            form.content = Some(intake.text(&text).await?);
        }
        Ok(form)
    }

    /// `text` or `file` is the content; numbers and booleans stand for their text.
    async fn read_json(body: &mut RequestBody, intake: UploadSink) -> Result<Self, Rejection> {
        let text =
            body.collect(LONGEST_TEXT).await.map_err(broken_off)?.ok_or(Rejection::TooLarge(LONGEST_TEXT as u64))?;
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&text).map_err(|_| Rejection::bad("the body is not a JSON object"))?;
        let mut form = Form::default();
        for (name, value) in object {
            let value = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            form.fields.insert(name, value);
        }
        let file = form.fields.remove("file");
        if let Some(content) = file.or(form.fields.remove("text")) {
            form.content = Some(intake.text(&content).await?);
        }
        Ok(form)
    }

    async fn read_raw(
        body: &mut RequestBody,
        media_type: Option<Mime>,
        mut intake: UploadSink,
    ) -> Result<Self, Rejection> {
        let Some(first) = body.chunk().await.map_err(broken_off)? else {
            return Ok(Form::default());
        };
        if !intake.raw {
            return Err(Rejection::bad("the body is neither a form nor JSON"));
        }
        let mut writer = intake.blobs.writer();
        intake.store(&mut writer, first).await?;
        while let Some(chunk) = body.chunk().await.map_err(broken_off)? {
            intake.store(&mut writer, chunk).await?;
        }
        let media_type = media_type.unwrap_or(mime::APPLICATION_OCTET_STREAM);
        let extension = if media_type.type_() == mime::TEXT { "txt" } else { "bin" };
        Ok(Form {
            content: Some(Content {
                name: Name::OfKey(extension),
                mime_type: media_type.to_string(),
                body: writer.finish().await?,
            }),
            ..Form::default()
        })
    }
}

impl UploadSink {
    async fn part(&mut self, head: &PartHead, parts: &mut Multipart<'_>) -> Result<Content, Rejection> {
        let mut writer = self.blobs.writer();
        while let Some(chunk) = parts.chunk().await? {
            self.store(&mut writer, chunk).await?;
        }
        let name = match (&head.filename, head.name.as_deref()) {
            (Some(filename), _) => Name::Given(sanitised(filename)),
            (None, Some("text")) => Name::OfKey("txt"),
            (None, _) => Name::Given("file".to_owned()),
        };
        Ok(Content { mime_type: mime_type(head, &name), name, body: writer.finish().await? })
    }

    async fn text(mut self, text: &str) -> Result<Content, Rejection> {
        let mut writer = self.blobs.writer();
        self.store(&mut writer, text.to_owned().into()).await?;
        Ok(Content { name: Name::OfKey("txt"), mime_type: mime::TEXT_PLAIN.to_string(), body: writer.finish().await? })
    }

    async fn store(&mut self, writer: &mut BlobWriter, chunk: bytes::Bytes) -> Result<(), Rejection> {
        if writer.size() + chunk.len() as u64 > self.largest {
            return Err(Rejection::TooLarge(self.largest));
        }
        writer.write(&self.tamper.pass(chunk)).await?;
        Ok(())
    }
}

async fn read_field(parts: &mut Multipart<'_>, longest: usize) -> Result<String, Rejection> {
    let mut value = Vec::new();
    while let Some(chunk) = parts.chunk().await? {
        if value.len() + chunk.len() > longest {
            return Err(Rejection::bad("the fields are too long"));
        }
        value.extend_from_slice(&chunk);
    }
    String::from_utf8(value).map_err(|_| Rejection::bad("a field is not UTF-8"))
}

/// The client's doing, not a failure of the emulator.
fn broken_off(error: io::Error) -> Rejection {
    Rejection::bad(format!("the body was broken off: {error}"))
}

/// What the part says, else what its name suggests.
fn mime_type(head: &PartHead, name: &Name) -> String {
    let said = head.content_type.as_deref().and_then(|text| text.parse::<Mime>().ok());
    let guessed = || match name {
        Name::Given(name) => mime_guess::from_path(name).first_or_octet_stream(),
        Name::OfKey(_) => mime::TEXT_PLAIN,
    };
    said.unwrap_or_else(guessed).to_string()
}

fn media_type(headers: &HeaderMap) -> Result<Option<Mime>, Rejection> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| Rejection::bad("the Content-Type is malformed"))
}
