//! Uploads in any of the accepted formats: multipart and URL-encoded forms, JSON, and raw bodies.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use mime_guess::mime::{self, Mime};
use url::form_urlencoded;

use super::error::Rejection;
use super::file::Name;
use super::limits::TermFields;
use super::name::sanitize_file_name;
use crate::blobs::{Blob, BlobWriter, Blobs};
use crate::faults::ContentTamper;
use crate::http::RequestBody;
use crate::multipart::{Multipart, PartHead};

/// The largest total of all field values of a form, and the largest URL-encoded or JSON body, in bytes. They are held
/// in memory.
const MAX_TEXT: usize = 1024 * 1024;
/// The most bytes that a form may have beyond the content of its file.
const FORM_OVERHEAD: u64 = 1024 * 1024;

/// The content and the fields of a request, in any format.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) content: Option<Content>,
    fields: HashMap<String, String>,
}

/// The content of an uploaded file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) name: Name,
    pub(super) mime_type: String,
    pub(super) body: Blob,
}

/// The destination of uploaded content, with its size limit.
pub(super) struct UploadSink {
    pub(super) blobs: Arc<Blobs>,
    /// The largest content, in bytes.
    pub(super) max_bytes: u64,
    pub(super) tamper: ContentTamper,
    /// `true` if a body of any other type is the content of a file.
    pub(super) accepts_raw: bool,
}

impl Form {
    /// Reads a request to its end. Query parameters are the values of fields that the body does not have.
    pub(super) async fn read(
        headers: &HeaderMap,
        query: Option<&str>,
        body: &mut RequestBody,
        sink: UploadSink,
    ) -> Result<Self, Rejection> {
        if body.length().is_some_and(|length| length > sink.max_bytes.saturating_add(FORM_OVERHEAD)) {
            return Err(Rejection::TooLarge(sink.max_bytes));
        }
        let media_type = media_type(headers)?;
        let essence = media_type.as_ref().map(Mime::essence_str);
        let mut form = match (essence, &media_type) {
            (Some("multipart/form-data"), Some(media_type)) => {
                let boundary = media_type.get_param("boundary");
                let boundary = boundary.ok_or_else(|| Rejection::bad("multipart/form-data needs a boundary"))?;
                Self::read_parts(body, boundary.as_str(), sink).await?
            }
            (Some("application/x-www-form-urlencoded"), _) => Self::read_urlencoded(body, sink).await?,
            (Some("application/json"), _) => Self::read_json(body, sink).await?,
            _ => Self::read_raw(body, media_type, sink).await?,
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            form.fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Ok(form)
    }

    /// Returns the fields that set the terms of a file.
    pub(super) fn term_fields(&self) -> TermFields {
        TermFields {
            expires: self.field("expires"),
            max_downloads: self.field("maxDownloads"),
            auto_delete: self.field("autoDelete"),
        }
    }

    /// Returns a text field: `None` if it is not set, `Some(None)` if it is empty and clears the text.
    pub(super) fn text(&self, name: &str) -> Option<Option<String>> {
        let value = self.field(name).filter(|value| !matches!(value.as_str(), "undefined" | "null"))?;
        Some(Some(value).filter(|value| !value.is_empty()))
    }

    fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).cloned()
    }

    /// Reads a multipart form. The content is the part that has a file name or is named `file` or `text`.
    async fn read_parts(body: &mut RequestBody, boundary: &str, mut sink: UploadSink) -> Result<Self, Rejection> {
        let mut form = Form::default();
        let mut left = MAX_TEXT;
        let mut parts = Multipart::new(body, boundary)?;
        while let Some(head) = parts.next_part().await? {
            if head.filename.is_some() || matches!(head.name.as_deref(), Some("file" | "text")) {
                if form.content.is_some() {
                    return Err(second_file());
                }
                form.content = Some(sink.part(&head, &mut parts).await?);
                continue;
            }
            let name = head.name.unwrap_or_default();
            left = left.checked_sub(name.len()).ok_or_else(fields_too_long)?;
            let value = read_field(&mut parts, left).await?;
            left -= value.len();
            form.fields.entry(name).or_insert(value);
        }
        Ok(form)
    }

    /// Reads a URL-encoded form. The content is `text`.
    async fn read_urlencoded(body: &mut RequestBody, sink: UploadSink) -> Result<Self, Rejection> {
        let text =
            body.collect(MAX_TEXT).await.map_err(incomplete_body)?.ok_or(Rejection::TooLarge(MAX_TEXT as u64))?;
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(&text) {
            if name == "text" && form.fields.contains_key("text") {
                return Err(second_file());
            }
            form.fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        if let Some(text) = form.fields.remove("text") {
            form.content = Some(sink.text(&text).await?);
        }
        Ok(form)
    }

    /// Reads a JSON object. The content is `file` or `text`. Numbers and booleans are used as text.
    async fn read_json(body: &mut RequestBody, sink: UploadSink) -> Result<Self, Rejection> {
        let text =
            body.collect(MAX_TEXT).await.map_err(incomplete_body)?.ok_or(Rejection::TooLarge(MAX_TEXT as u64))?;
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
        form.content = match (form.fields.remove("file"), form.fields.remove("text")) {
            (Some(_), Some(_)) => return Err(second_file()),
            (Some(content), None) | (None, Some(content)) => Some(sink.text(&content).await?),
            (None, None) => None,
        };
        Ok(form)
    }

    /// Reads a body that is the content itself.
    async fn read_raw(
        body: &mut RequestBody,
        media_type: Option<Mime>,
        mut sink: UploadSink,
    ) -> Result<Self, Rejection> {
        let Some(first) = body.chunk().await.map_err(incomplete_body)? else {
            return Ok(Form::default());
        };
        if !sink.accepts_raw {
            return Err(Rejection::bad("the body must be a form or JSON"));
        }
        let mut writer = sink.blobs.writer();
        sink.store(&mut writer, first).await?;
        while let Some(chunk) = body.chunk().await.map_err(incomplete_body)? {
            sink.store(&mut writer, chunk).await?;
        }
        let media_type = media_type.unwrap_or(mime::APPLICATION_OCTET_STREAM);
        let extension = if media_type.type_() == mime::TEXT { "txt" } else { "bin" };
        Ok(Form {
            content: Some(Content {
                name: Name::FromKey(extension),
                mime_type: media_type.to_string(),
                body: writer.finish().await?,
            }),
            ..Form::default()
        })
    }
}

impl UploadSink {
    /// Stores the content of a multipart part.
    async fn part(&mut self, head: &PartHead, parts: &mut Multipart<'_>) -> Result<Content, Rejection> {
        let mut writer = self.blobs.writer();
        while let Some(chunk) = parts.chunk().await? {
            self.store(&mut writer, chunk).await?;
        }
        let name = match (&head.filename, head.name.as_deref()) {
            (Some(filename), _) => Name::Given(sanitize_file_name(filename)),
            (None, Some("text")) => Name::FromKey("txt"),
            (None, _) => Name::Given("file".to_owned()),
        };
        Ok(Content { mime_type: mime_type(head, &name), name, body: writer.finish().await? })
    }

    /// Stores a text.
    async fn text(mut self, text: &str) -> Result<Content, Rejection> {
        let mut writer = self.blobs.writer();
        self.store(&mut writer, text.to_owned().into()).await?;
        Ok(Content {
            name: Name::FromKey("txt"),
            mime_type: mime::TEXT_PLAIN.to_string(),
            body: writer.finish().await?,
        })
    }

    async fn store(&mut self, writer: &mut BlobWriter, chunk: bytes::Bytes) -> Result<(), Rejection> {
        if writer.size() + chunk.len() as u64 > self.max_bytes {
            return Err(Rejection::TooLarge(self.max_bytes));
        }
        writer.write(&self.tamper.pass(chunk)).await?;
        Ok(())
    }
}

/// Reads the value of a field of at most `max_bytes` bytes.
async fn read_field(parts: &mut Multipart<'_>, max_bytes: usize) -> Result<String, Rejection> {
    let mut value = Vec::new();
    while let Some(chunk) = parts.chunk().await? {
        if value.len() + chunk.len() > max_bytes {
            return Err(fields_too_long());
        }
        value.extend_from_slice(&chunk);
    }
    String::from_utf8(value).map_err(|_| Rejection::bad("a field of the form is not UTF-8"))
}

fn fields_too_long() -> Rejection {
    Rejection::bad("the fields of the form are together longer than 1 MiB")
}

/// Returns the error of a form with two files or texts. To store one of them would lose the other without a word.
fn second_file() -> Rejection {
    Rejection::bad("the form has more than one file")
}

/// Returns the error of a body that ends early, which is the client's fault and not the emulator's.
fn incomplete_body(error: io::Error) -> Rejection {
    Rejection::bad(format!("the request body is incomplete: {error}"))
}

/// Returns the type that the part declares, else the type that its name suggests.
fn mime_type(head: &PartHead, name: &Name) -> String {
    let declared = head.content_type.as_deref().and_then(|text| text.parse::<Mime>().ok());
    let guessed = || match name {
        Name::Given(name) => mime_guess::from_path(name).first_or_octet_stream(),
        Name::FromKey(_) => mime::TEXT_PLAIN,
    };
    declared.unwrap_or_else(guessed).to_string()
}

/// Parses `Content-Type`.
fn media_type(headers: &HeaderMap) -> Result<Option<Mime>, Rejection> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| Rejection::bad("the Content-Type header is malformed"))
}
