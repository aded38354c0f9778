//! Entity tags as strong validators and as MD5 digests.

use reqwest::header::{ETAG, HeaderValue};

use crate::Response;

impl Response {
    /// Returns the `ETag` if it is a strong validator. `None` if it is absent or weak.
    pub fn strong_etag(&self) -> Option<&HeaderValue> {
        self.headers().get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""))
    }

    /// Returns the `ETag` without its quotes. `None` if it is absent, empty or not visible ASCII.
    pub fn opaque_tag(&self) -> Option<&str> {
        Some(self.header("etag")?.trim_matches('"')).filter(|tag| !tag.is_empty())
    }
}

/// Returns `true` if an opaque tag has the form of an MD5 digest. S3 uses the MD5 of an object that was stored in one
/// request.
pub fn is_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_32_hexadecimal_digits_is_an_md5() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        assert!(is_md5(md5) && is_md5(&md5.to_uppercase()) && !is_md5("d41d8cd98f00b204e9800998ecf8427e-2"));
    }
}
