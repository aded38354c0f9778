//! The XML error document of S3, which other storage services use, too.

/// The elements of the error document of S3 and Azure that backends use. Those that are absent are `None`.
///
/// ```
/// use filestore_http::S3Error;
///
/// let error = S3Error::parse(b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>");
/// assert_eq!(error.code.as_deref(), Some("SlowDown"));
/// ```
#[derive(Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3Error {
    /// The code, such as `NoSuchKey`.
    pub code: Option<String>,
    /// The message, a sentence for people.
    pub message: Option<String>,
    /// The region of the bucket, if the request went to another one.
    pub region: Option<String>,
    /// The host of the bucket, if the request went to another one.
    pub endpoint: Option<String>,
    /// The bucket that the error is about.
    pub bucket: Option<String>,
    /// The request ID, for the service's support.
    pub request_id: Option<String>,
    /// The size of the request and the maximum size, in bytes, as decimal texts.
    pub sizes: Option<(String, String)>,
}

impl S3Error {
    /// Parses a document. All fields are `None` if its root element is not `Error`.
    pub fn parse(body: &[u8]) -> Self {
        if root_element(body) != Some("Error") {
            return Self::default();
        }
        let text = String::from_utf8_lossy(body);
        let field = |name| element(&text, name).map(unescape).filter(|text| !text.is_empty());
        Self {
            code: field("Code"),
            message: field("Message"),
            region: field("Region"),
            endpoint: field("Endpoint"),
            bucket: field("BucketName").or_else(|| field("Bucket")),
            request_id: field("RequestId"),
            sizes: field("ProposedSize").zip(field("MaxSizeAllowed")),
        }
    }

    /// Parses the first `Error` element of a response to `DeleteObjects`, which is about a file that was not deleted.
    pub fn first_of(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let error = element(&text, "Error")?;
        Some(Self::parse(format!("<Error>{error}</Error>").as_bytes()))
    }
}

/// The beginning and the end of what may stand before the root element: declarations and comments.
const MISCELLANY: [(&[u8], &[u8]); 2] = [(b"<?", b"?>"), (b"<!--", b"-->")];

/// Returns the name of the root element of an XML document, without its namespace prefix. `None` if the text is not
/// XML.
pub fn root_element(body: &[u8]) -> Option<&str> {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    while let Some((_, end)) = MISCELLANY.iter().find(|(begin, _)| rest.starts_with(begin)) {
        let at = rest.windows(end.len()).position(|bytes| bytes == *end)?;
        rest = rest[at + end.len()..].trim_ascii_start();
    }
    local_name(rest.strip_prefix(b"<")?)
}

/// Returns the name of a tag, given the text after `<`, without its namespace prefix.
pub fn local_name(tag: &[u8]) -> Option<&str> {
    let end = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    let name = std::str::from_utf8(&tag[..end]).ok()?;
    Some(name.rsplit(':').next().unwrap_or(name))
}

/// Returns the text between the first `<name>` and the `</name>` after it.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_element_follows_declarations_and_comments() {
        for text in ["<a/>", "\u{feff}<?xml version=\"1.0\"?>\n<a>", "<!-- <b> --> <?x <c>?><x:a y='1'>"] {
            assert_eq!(root_element(text.as_bytes()), Some("a"), "{text}");
        }
        for text in ["", "a", "<!-- <a>", "<?xml"] {
            assert_eq!(root_element(text.as_bytes()), None, "{text}");
        }
    }
}
