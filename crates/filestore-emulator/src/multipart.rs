//! A streaming parser of `multipart/form-data` whose buffers are all bounded.
//!
//! No existing crate is used, for two reasons. A form with a wrong boundary or an endless part header must not fill
//! memory. And clients write file names as raw UTF-8 in which only `%22`, `%0D` and `%0A` (and the backslash escapes of
//! older curl and Go) are escapes.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use percent_encoding::percent_decode_str;

use crate::http::RequestBody;

/// The longest boundary, in characters (RFC 2046, section 5.1.1). The time to search for it grows with its length.
const MAX_BOUNDARY: usize = 70;
/// The longest header block of one part, in bytes.
const MAX_HEADERS: usize = 16 * 1024;

/// The error of a form that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MultipartError {
    #[error("the multipart body is malformed: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The headers of a part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartHead {
    pub(crate) name: Option<String>,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
}

/// A form that is being read.
#[derive(Debug)]
pub(crate) struct Multipart<'b> {
    body: &'b mut RequestBody,
    /// `CRLF--BOUNDARY`, which ends every part.
    delimiter: Vec<u8>,
    unread: BytesMut,
    at: Position,
}

#[derive(Debug, PartialEq, Eq)]
enum Position {
    /// In the preamble or in the content of a part.
    Content,
    /// After a delimiter.
    Delimiter,
    End,
}

impl<'b> Multipart<'b> {
    /// # Errors
    /// The boundary is empty or longer than 70 characters.
    pub(crate) fn new(body: &'b mut RequestBody, boundary: &str) -> Result<Self, MultipartError> {
        if !(1..=MAX_BOUNDARY).contains(&boundary.len()) {
            return Err(MultipartError::Malformed("its boundary must have 1 to 70 characters"));
        }
        Ok(Multipart {
            body,
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first boundary needs no line break before it. With this one it is parsed like the others, and the
            // preamble is parsed as content, which `next_part` drops.
            unread: BytesMut::from("\r\n"),
            at: Position::Content,
        })
    }

    /// Skips the rest of the current part and returns the headers of the next one, or `None` after the last part.
    pub(crate) async fn next_part(&mut self) -> Result<Option<PartHead>, MultipartError> {
        while self.chunk().await?.is_some() {}
        if self.at == Position::End || !self.another_part_follows().await? {
            return Ok(None);
        }
        let headers = self.header_block().await?;
        self.at = Position::Content;
        Ok(Some(parse_head(&headers)?))
    }

    /// Returns the next chunk of the current part's content, or `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if self.at != Position::Content {
            return Ok(None);
        }
        loop {
            match memmem::find(&self.unread, &self.delimiter) {
                Some(0) => {
                    self.unread.advance(self.delimiter.len());
                    self.at = Position::Delimiter;
                    return Ok(None);
                }
                Some(end) => return Ok(Some(self.unread.split_to(end).freeze())),
                None => {
                    // The last bytes may be the beginning of a delimiter.
                    let content = self.unread.len().saturating_sub(self.delimiter.len() - 1);
                    if content > 0 {
                        return Ok(Some(self.unread.split_to(content).freeze()));
                    }
                    self.read_more().await?;
                }
            }
        }
    }

    /// Reads the end of a delimiter: `--` after the last part, a line break before another one.
    async fn another_part_follows(&mut self) -> Result<bool, MultipartError> {
        loop {
            while self.unread.len() < 2 {
                self.read_more().await?;
            }
            match &self.unread[..2] {
                b"--" => {
                    self.at = Position::End;
                    self.unread.clear();
                    // The epilogue is ignored, but must be read to reuse the connection.
                    while self.body.chunk().await?.is_some() {}
                    return Ok(false);
                }
                b"\r\n" => {
                    self.unread.advance(2);
                    return Ok(true);
                }
                [b' ' | b'\t', _] => self.unread.advance(1),
                _ => return Err(MultipartError::Malformed("a boundary is not followed by CRLF")),
            }
        }
    }

    /// Reads the headers of a part and the empty line after them.
    async fn header_block(&mut self) -> Result<Bytes, MultipartError> {
        loop {
            if self.unread.starts_with(b"\r\n") {
                self.unread.advance(2);
                return Ok(Bytes::new());
            }
            if let Some(end) = memmem::find(&self.unread, b"\r\n\r\n") {
                let headers = self.unread.split_to(end).freeze();
                self.unread.advance(4);
                return Ok(headers);
            }
            if self.unread.len() > MAX_HEADERS {
                return Err(MultipartError::Malformed("the headers of a part are too long"));
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), MultipartError> {
        match self.body.chunk().await? {
            Some(chunk) => self.unread.extend_from_slice(&chunk),
            None => return Err(MultipartError::Malformed("it ends before its last boundary")),
        }
        Ok(())
    }
}

fn parse_head(headers: &[u8]) -> Result<PartHead, MultipartError> {
    let headers =
        std::str::from_utf8(headers).map_err(|_| MultipartError::Malformed("the headers of a part are not UTF-8"))?;
    let mut head = PartHead::default();
    for line in headers.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) =
            line.split_once(':').ok_or(MultipartError::Malformed("a part has a header without colon"))?;
        if name.eq_ignore_ascii_case("content-disposition") {
            (head.name, head.filename) = parse_disposition(value);
        } else if name.eq_ignore_ascii_case("content-type") {
            head.content_type = Some(value.trim().to_owned());
        }
    }
    Ok(head)
}

/// Returns the name and the file name in `form-data; name="..."; filename="..."`.
fn parse_disposition(value: &str) -> (Option<String>, Option<String>) {
    let (mut name, mut filename, mut extended) = (None, None, None);
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((key, after)) = rest.split_once('=') {
        let (raw, after) = parameter(after.trim_start());
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(unescape(&raw)),
            "filename" => filename = Some(unescape(&raw)),
            "filename*" => extended = decode_extended(&raw),
            _ => {}
        }
        rest = after.trim_start().trim_start_matches(';');
    }
    (name, extended.or(filename))
}

/// Returns the value of one parameter and the text after it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            // Go and older curl escape only these two. Any other backslash is literal, as in a Windows path.
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    (value, "")
}

/// Decodes the escapes of HTML forms. Any other percent sign is literal.
fn unescape(value: &str) -> String {
    value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// Decodes an RFC 5987 value, which some clients send for names outside ASCII.
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then_some(())?;
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"preamble\r\n--B\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
        Content-Type: text/plain\r\n\r\n\
        one\r\n--\r\n-B\r\ntwo\r\n--B \r\n\
        content-disposition: form-data; name=expires\r\n\r\n\
        \r\n--B--\r\nepilogue";

    #[test]
    fn a_boundary_has_1_to_70_characters() {
        for (length, is_valid) in [(0, false), (1, true), (70, true), (71, false)] {
            let mut body = RequestBody::of_pieces(Vec::new());
            assert_eq!(Multipart::new(&mut body, &"B".repeat(length)).is_ok(), is_valid, "{length}");
        }
    }

    async fn parts(pieces: Vec<&'static [u8]>) -> Result<Vec<(PartHead, Vec<u8>)>, MultipartError> {
        let mut body = RequestBody::of_pieces(pieces);
        let mut form = Multipart::new(&mut body, "B")?;
        let mut parts = Vec::new();
        while let Some(head) = form.next_part().await? {
            let mut content = Vec::new();
            while let Some(chunk) = form.chunk().await? {
                content.extend_from_slice(&chunk);
            }
            parts.push((head, content));
        }
        Ok(parts)
    }

    #[tokio::test]
    async fn a_form_reads_the_same_wherever_the_network_cuts_it() {
        let expected = vec![
            (
                PartHead {
                    name: Some("file".into()),
                    filename: Some("a.txt".into()),
                    content_type: Some("text/plain".into()),
                },
                b"one\r\n--\r\n-B\r\ntwo".to_vec(),
            ),
            (PartHead { name: Some("expires".into()), ..PartHead::default() }, Vec::new()),
        ];
        for cut in 0..=FORM.len() {
            let (before, after) = FORM.split_at(cut);
            assert_eq!(parts(vec![before, after]).await.unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(parts(FORM.chunks(1).collect()).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_form_that_ends_early_is_malformed() {
        for end in 0..FORM.len() - "\r\nepilogue".len() {
            assert!(parts(vec![&FORM[..end]]).await.is_err(), "ends at {end}");
        }
    }

    #[tokio::test]
    async fn a_line_that_only_begins_like_a_boundary_is_malformed() {
        let error = parts(vec![b"--B\r\n\r\none\r\n--Bo\r\n--B--"]).await.unwrap_err();
        assert!(error.to_string().contains("not followed by CRLF"), "{error}");
    }

    #[tokio::test]
    async fn endless_part_headers_are_rejected() {
        let endless: Vec<&[u8]> =
            std::iter::once(&b"--B\r\n"[..]).chain(std::iter::repeat_n(&[b'x'; 1024][..], 32)).collect();
        let error = parts(endless).await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[test]
    fn file_names_are_read_as_clients_write_them() {
        for (written, read) in [
            (r#"form-data; name="file"; filename="my file;1.txt""#, "my file;1.txt"),
            (r#"form-data; name="file"; filename="a%22b%0D%0Ac%20d.txt""#, "a\"b\r\nc%20d.txt"),
            (r#"form-data; name="file"; filename="a\"b\\c.txt""#, "a\"b\\c.txt"),
            (r#"form-data; name="file"; filename="C:\dir\a.txt""#, r"C:\dir\a.txt"),
            (r#"form-data; filename="größe.txt"; name="file""#, "größe.txt"),
            (r#"form-data; name="file"; filename=plain.txt"#, "plain.txt"),
            ("form-data; name=\"file\"; filename*=utf-8''gr%C3%B6%C3%9Fe.txt", "größe.txt"),
            (r#"form-data; name=""; filename="""#, ""),
        ] {
            assert_eq!(parse_disposition(written).1.as_deref(), Some(read), "{written}");
        }
        assert_eq!(parse_disposition(r#"form-data; name="text""#), (Some("text".into()), None));
    }
}
