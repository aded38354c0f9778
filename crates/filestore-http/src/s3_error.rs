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

    /// Parses the first `Error` element of a response to `DeleteObjects`, which is about a file that was not deleted. The
    /// element may have attributes and a namespace prefix.
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

/// Returns the name of a tag, given the text after `<`, without its namespace prefix. `None` if it is no tag.
pub fn local_name(tag: &[u8]) -> Option<&str> {
    // No name has a `<`. Without this end, a text of many `<` would be read to its end for each of them.
    let end = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/' | b'<'))?;
    if tag[end] == b'<' {
        return None;
    }
    let name = std::str::from_utf8(&tag[..end]).ok()?;
    Some(name.rsplit(':').next().unwrap_or(name))
}

/// Returns the content of the first element with this name, whatever its attributes and its namespace prefix are.
/// `None` if there is no such element. The content of one without an end is the rest of the text.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let is_named = |tag: &&str| local_name(tag.as_bytes()) == Some(name);
    let tag = text.match_indices('<').map(|(at, _)| &text[at + 1..]).find(is_named)?;
    let (head, content) = tag.split_once('>')?;
    if head.ends_with('/') {
        return Some("");
    }
    let full_name = head.split_ascii_whitespace().next().unwrap_or_default();
    let end = content.find(&format!("</{full_name}")).unwrap_or(content.len());
    Some(content[..end].trim())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_among_deleted_files_is_found_by_its_local_name() {
        let code = |body: &str| S3Error::first_of(body.as_bytes()).map(|error| error.code);
        for error in [
            "<Error><Code>AccessDenied</Code></Error>",
            "<Error xmlns=\"urn:x\"><Code>AccessDenied</Code></Error>",
            "<s3:Error a='1'><s3:Code>AccessDenied</s3:Code></s3:Error>",
            "<Error\n><Code >AccessDenied</Code ></Error\n>",
        ] {
            let body = format!("<DeleteResult><Deleted><Key>a</Key></Deleted>{error}</DeleteResult>");
            assert_eq!(code(&body), Some(Some("AccessDenied".to_owned())), "{error}");
        }
        assert_eq!(code("<DeleteResult><Error/></DeleteResult>"), Some(None));
        assert_eq!(code("<DeleteResult><Error>"), Some(None));
        assert_eq!(code("<DeleteResult><Deleted><Key>Error</Key></Deleted><Errors/></DeleteResult>"), None);
    }

    #[test]
    fn the_fields_of_an_error_are_found_by_their_local_names() {
        let error = S3Error::parse(b"<x:Error xmlns:x='u'><x:Code>A</x:Code><x:Message a='>'>m</x:Message></x:Error>");
        assert_eq!(error.code.as_deref(), Some("A"));
        assert!(error.message.is_some());
    }

    #[test]
    fn a_text_of_many_tags_without_an_end_is_read_once() {
        // Read once for each `<`, these 400 kB are a work of minutes.
        let body = format!("<Error><C{}", "<".repeat(400_000));
        assert_eq!(S3Error::parse(body.as_bytes()), S3Error::default());
        assert_eq!(S3Error::first_of(body.as_bytes()), Some(S3Error::default()));
    }

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
