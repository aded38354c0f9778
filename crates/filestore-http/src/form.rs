//! [`Form`]: a streamed `multipart/form-data` body, with its exact length if every file has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

/// A multipart form.
///
/// Its parts are sent in the order in which they are added, because some services require the fields first and others
/// the file.
///
/// ```
/// use filestore_core::Body;
/// use filestore_http::Form;
///
/// let form = Form::new().field("expires", "2h").file("file", "a.txt", Some("text/plain"), Body::from("hello"));
/// ```
#[derive(Debug, Clone)]
pub struct Form {
    boundary: String,
    parts: Vec<Part>,
    /// The number of bytes of files that the latest attempt has sent.
    sent: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Part {
    head: Bytes,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Field(Bytes),
    File(Arc<Body>),
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl Form {
    /// Returns a form without parts.
    pub fn new() -> Self {
        // The content does not contain 128 random bits by chance.
        let boundary = format!("filestore-{:032x}", rand::random::<u128>());
        Self { boundary, parts: Vec::new(), sent: Arc::default() }
    }

    /// Adds a field.
    pub fn field(self, name: &str, value: impl Into<String>) -> Self {
        let head = format!("Content-Disposition: form-data; name=\"{}\"\r\n", escaped(name));
        self.part(&head, Content::Field(value.into().into()))
    }

    /// Adds a file. Without `content_type`, the part has none and the service chooses one.
    pub fn file(self, name: &str, file_name: &str, content_type: Option<&str>, content: impl Into<Arc<Body>>) -> Self {
        let mut head = format!(
            "Content-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n",
            escaped(name),
            escaped(file_name)
        );
        if let Some(content_type) = content_type {
            head.push_str("Content-Type: ");
            head.extend(content_type.chars().filter(|c| !c.is_control()));
            head.push_str("\r\n");
        }
        self.part(&head, Content::File(content.into()))
    }

    /// Returns `true` if the form has no parts.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the number of bytes of files that the latest attempt has sent, for comparison with the size that the
    /// service reports. Clones share the count.
    pub fn content_sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    fn part(mut self, head: &str, content: Content) -> Self {
        let head = format!("--{}\r\n{head}\r\n", self.boundary).into();
        self.parts.push(Part { head, content });
        self
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(crate) fn can_replay(&self) -> bool {
        self.parts.iter().all(|part| match &part.content {
            Content::Field(_) => true,
            Content::File(body) => body.can_replay(),
        })
    }

    /// Opens the form for one attempt. The stream has a length if every file has one.
    pub(crate) async fn open(&self) -> Result<ByteStream> {
        self.sent.store(0, Ordering::Release);
        let mut length = Some(0);
        let mut pieces: Vec<BoxStream<'static, Result<Bytes>>> = Vec::new();
        let mut add = |bytes: Option<u64>, piece| {
            length = length.zip(bytes).map(|(sum, more)| sum + more);
            pieces.push(piece);
        };
        for part in &self.parts {
            add(Some(part.head.len() as u64), once(part.head.clone()));
            match &part.content {
                Content::Field(value) => add(Some(value.len() as u64), once(value.clone())),
                Content::File(body) => {
                    let stream = body.open_lazily().await?;
                    let sent = Arc::clone(&self.sent);
                    let count = move |chunk: &Bytes| {
                        sent.fetch_add(chunk.len() as u64, Ordering::AcqRel);
                    };
                    add(stream.length(), stream.inspect_ok(count).boxed());
                }
            }
            add(Some(2), once(Bytes::from_static(b"\r\n")));
        }
        let end = Bytes::from(format!("--{}--\r\n", self.boundary));
        add(Some(end.len() as u64), once(end));
        Ok(ByteStream::upload(stream::iter(pieces).flatten(), length))
    }
}

fn once(bytes: Bytes) -> BoxStream<'static, Result<Bytes>> {
    stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
}

/// Escapes a name as browsers do: quotes and line breaks become `%XX`; everything else is raw UTF-8.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' => escaped.push_str("%22"),
            '\r' => escaped.push_str("%0D"),
            '\n' => escaped.push_str("%0A"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    async fn bytes(form: &Form) -> Bytes {
        form.open().await.unwrap().collect(1 << 20).await.unwrap()
    }

    async fn text(form: &Form) -> String {
        let bytes = bytes(form).await;
        String::from_utf8(bytes.to_vec()).unwrap().replace(&form.boundary, "B")
    }

    #[tokio::test]
    async fn parts_are_sent_in_the_order_in_which_they_were_added() {
        let form = Form::new()
            .field("expires", "2h")
            .file("file", "a.txt", Some("text/plain"), Body::from("hello"))
            .field("after", "");
        assert_eq!(
            text(&form).await,
            "--B\r\nContent-Disposition: form-data; name=\"expires\"\r\n\r\n2h\r\n\
             --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
             --B\r\nContent-Disposition: form-data; name=\"after\"\r\n\r\n\r\n\
             --B--\r\n"
        );
    }

    #[tokio::test]
    async fn a_file_name_cannot_end_its_quotes_or_its_line() {
        let form = Form::new().file("file", "a\"b\r\nX: ü%22.txt", None, Body::from(""));
        assert!(text(&form).await.contains("filename=\"a%22b%0D%0AX: ü%22.txt\"\r\n\r\n"));
    }

    #[tokio::test]
    async fn a_content_type_cannot_add_a_header() {
        let form = Form::new().file("file", "a", Some("text/plain\r\nX: y"), Body::from(""));
        assert!(text(&form).await.contains("Content-Type: text/plainX: y\r\n\r\n"));
    }

    #[tokio::test]
    async fn the_length_is_unknown_if_that_of_a_file_is() {
        let body = Body::from_stream(stream::iter([Ok::<_, filestore_core::Error>("abc")]), None);
        assert_eq!(Form::new().file("file", "a", None, body).open().await.unwrap().length(), None);
    }

    /// Parses a form independently of [`Form`]: splits it at the boundary.
    fn parts(form: &Form, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let text: &[u8] = bytes;
        let delimiter = format!("--{}", form.boundary);
        let mut found = Vec::new();
        let mut rest = &text[delimiter.len()..];
        while !rest.starts_with(b"--") {
            rest = rest.strip_prefix(b"\r\n").unwrap();
            let head_end = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
            let head = String::from_utf8(rest[..head_end].to_vec()).unwrap();
            rest = &rest[head_end + 4..];
            let next = format!("\r\n{delimiter}");
            let end = rest.windows(next.len()).position(|window| window == next.as_bytes()).unwrap();
            found.push((head, rest[..end].to_vec()));
            rest = &rest[end + next.len()..];
        }
        assert_eq!(rest, b"--\r\n");
        found
    }

    proptest! {
        #[test]
        fn any_content_and_any_name_are_preserved(
            fields in prop::collection::vec((any::<String>(), any::<String>()), 0..4),
            name in any::<String>(),
            content in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut form = Form::new();
                for (name, value) in &fields {
                    form = form.field(name, value.clone());
                }
                let form = form.file("file", &name, None, Body::from(content.clone()));
                let opened = form.open().await.unwrap();
                let bytes = bytes(&form).await;
                assert_eq!(opened.length(), Some(bytes.len() as u64));
                assert_eq!(form.content_sent(), content.len() as u64);
                let parts = parts(&form, &bytes);
                assert_eq!(parts.len(), fields.len() + 1);
                for ((head, value), (name, sent)) in parts.iter().zip(&fields) {
                    assert_eq!(head, &format!("Content-Disposition: form-data; name=\"{}\"", escaped(name)));
                    assert_eq!(value, sent.as_bytes());
                }
                let (head, sent) = parts.last().unwrap();
                assert_eq!(head.lines().count(), 1);
                assert!(head.ends_with(&format!("filename=\"{}\"", escaped(&name))));
                assert_eq!(sent, &content);
            });
        }
    }
}
