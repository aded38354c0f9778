//! Entity tags, as storages use them.

use reqwest::header::{ETAG, HeaderValue};

use crate::Response;

impl Response {
    /// Returns the strong validator of the body. `None` if there is no `ETag`, or a weak one.
    pub fn strong_etag(&self) -> Option<&HeaderValue> {
        self.headers().get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""))
    }

    /// Returns the `ETag` without its quotes. `None` if it is empty or no text.
    pub fn opaque_tag(&self) -> Option<&str> {
        Some(self.header("etag")?.trim_matches('"')).filter(|tag| !tag.is_empty())
    }
}

/// Returns true if an opaque tag is the MD5 of the content, as that of an object which S3 has stored in one request.
pub fn is_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_an_md5_or_is_not() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        assert!(is_md5(md5) && is_md5(&md5.to_uppercase()) && !is_md5("d41d8cd98f00b204e9800998ecf8427e-2"));
    }
}
