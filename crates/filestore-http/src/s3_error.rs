//! The error document of S3, which other storages have, too.

/// The error document of S3 and Azure, as far as it is needed. Any text is read; what is not there is not said.
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
    /// Such as `NoSuchKey`.
    pub code: Option<String>,
    /// A sentence for people.
    pub message: Option<String>,
    /// The region of the bucket, where the request went to another one.
    pub region: Option<String>,
    /// The host of the bucket, where the request went to another one.
    pub endpoint: Option<String>,
    /// The bucket that the error is about.
    pub bucket: Option<String>,
    /// The id of the request, for the service's support.
    pub request_id: Option<String>,
    /// The size that was sent and the largest one that is allowed, as decimal texts.
    pub sizes: Option<(String, String)>,
}

impl S3Error {
    /// Reads a document. Without the root element `Error`, it says nothing.
    pub fn parse(body: &[u8]) -> Self {
        if root_element(body) != Some("Error") {
            return Self::default();
        }
        let text = String::from_utf8_lossy(body);
        let of = |name| element(&text, name).map(unescape).filter(|text| !text.is_empty());
        Self {
            code: of("Code"),
            message: of("Message"),
            region: of("Region"),
            endpoint: of("Endpoint"),
            bucket: of("BucketName").or_else(|| of("Bucket")),
            request_id: of("RequestId"),
            sizes: of("ProposedSize").zip(of("MaxSizeAllowed")),
        }
    }

    /// Reads the error of the first file that a response to `DeleteObjects` says was not deleted.
    pub fn first_of(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let error = element(&text, "Error")?;
        Some(Self::parse(format!("<Error>{error}</Error>").as_bytes()))
    }
}

/// Returns the name of the root element of an XML document, without its prefix. `None` if the text begins with no
/// element.
pub fn root_element(body: &[u8]) -> Option<&str> {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    while rest.starts_with(b"<?") || rest.starts_with(b"<!--") {
        let end = rest.iter().position(|byte| *byte == b'>')?;
        rest = rest[end + 1..].trim_ascii_start();
    }
    local_name(rest.strip_prefix(b"<")?)
}

/// Returns the name at the beginning of what follows a `<`, without its prefix.
pub fn local_name(tag: &[u8]) -> Option<&str> {
    let end = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    let name = std::str::from_utf8(&tag[..end]).ok()?;
    Some(name.rsplit(':').next().unwrap_or(name))
}

/// The text between the first `<name>` and the `</name>` after it.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}
