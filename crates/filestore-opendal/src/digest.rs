//! MD5 digests of content: those that a service tells, and those that are computed here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use filestore_core::{Effect, Error, ErrorKind, Result};
use filestore_http::is_md5;
use futures::stream::{self, Stream, TryStreamExt};
use md5::{Digest, Md5};
use opendal::Buffer;
use tokio::task::spawn_blocking;

/// An MD5 digest.
pub(crate) type Md5Digest = [u8; 16];

const DAMAGED: &str = "the content does not have the digest that the service has of this file: it was damaged on the way, \
     or the service stores it so; read it again, and if the error stays, compare the file in another way";

const MIB: u64 = 1 << 20;

/// The largest content whose digest is computed inline, in bytes.
const MAX_INLINE: usize = 64 * 1024;

/// The largest number of part sizes that are tried for one file.
const MAX_LAYOUTS: usize = 12;

/// Returns the digest of a whole file that an ETag of S3 is, such as `"6e3a..."`. `None` for an ETag of another form.
pub(crate) fn of_etag(etag: &str) -> Option<Md5Digest> {
    let text = etag.strip_prefix('"')?.strip_suffix('"')?;
    of_hex(text)
}

/// Returns the digest and the number of parts in an ETag of S3 such as `"6e3a...-12"`.
pub(crate) fn of_composite_etag(etag: &str) -> Option<(Md5Digest, u64)> {
    let (digest, parts) = etag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    Some((of_hex(digest)?, parts.parse().ok()?))
}

fn of_hex(text: &str) -> Option<Md5Digest> {
    if !is_md5(text) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// Returns the digest in the headers and documents of Azure and Google, which have it in base64.
pub(crate) fn of_base64(text: &str) -> Option<Md5Digest> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// Returns the digest of `content`. That of much content is computed on a blocking thread.
pub(crate) async fn of_content(content: Buffer) -> Md5Digest {
    let compute = |content: Buffer| {
        let mut digest = Md5::new();
        content.for_each(|chunk| digest.update(&chunk));
        digest.finalize().into()
    };
    if content.len() <= MAX_INLINE {
        return compute(content);
    }
    let again = content.clone();
    spawn_blocking(move || compute(content)).await.unwrap_or_else(|_| compute(again))
}

/// Compares the content of a file with the digest that the service has of it, while it is read.
pub(crate) struct ContentCheck {
    expected: Md5Digest,
    /// The ways in which the service may have computed the digest. One of them must give it.
    layouts: Vec<Layout>,
}

struct Layout {
    /// The size of a part in bytes. `None`: the digest is that of the whole content.
    part: Option<u64>,
    /// The rest of the current part.
    missing: u64,
    current: Md5,
    parts: Md5,
}

impl ContentCheck {
    /// Returns the check of a file with this digest.
    pub(crate) fn whole(expected: Md5Digest) -> Self {
        Self { expected, layouts: vec![Layout::new(None)] }
    }

    /// Returns the check of a file of S3 with this ETag. `part` is the size of its parts according to its metadata.
    ///
    /// `None` if the ETag proves nothing: it is no digest, or the size of the parts is not known. A copy keeps the
    /// metadata and may have other parts, so every whole number of MiB counts that gives the same number of parts.
    pub(crate) fn of_etag(etag: &str, size: u64, part: Option<u64>) -> Option<Self> {
        if let Some(digest) = of_etag(etag) {
            return Some(Self::whole(digest));
        }
        let (expected, count) = of_composite_etag(etag)?;
        let part = part.filter(|part| *part > 0 && count > 0 && size.div_ceil(*part) == count)?;
        let smallest = size.div_ceil(count).div_ceil(MIB);
        // With one part, its size does not matter.
        let largest = if count == 1 { smallest } else { size / (count - 1) / MIB + 1 };
        let others = (smallest..=largest).map(|size| size * MIB);
        let others = others.filter(|other| *other != part && size.div_ceil(*other) == count && count > 1);
        let layouts: Vec<Layout> =
            std::iter::once(part).chain(others).take(MAX_LAYOUTS + 1).map(|part| Layout::new(Some(part))).collect();
        (layouts.len() <= MAX_LAYOUTS).then_some(Self { expected, layouts })
    }

    /// Adds the next content.
    pub(crate) fn update(&mut self, content: &[u8]) {
        self.layouts.iter_mut().for_each(|layout| layout.update(content));
    }

    /// Returns the `content` of `length` bytes. If it is not right, its last chunk is an *integrity* error.
    pub(crate) fn stream(
        self,
        content: impl Stream<Item = Result<Bytes>> + Send + Unpin + 'static,
        length: u64,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::try_unfold((content, Some(self), length), async |(mut content, mut check, missing)| {
            let Some(chunk) = content.try_next().await? else { return Ok(None) };
            let missing = missing.saturating_sub(chunk.len() as u64);
            if let Some(check) = &mut check {
                check.update(&chunk);
            }
            if missing == 0 && check.take().is_some_and(|check| !check.matches()) {
                return Err(Error::new(ErrorKind::Integrity, Effect::Rejected, DAMAGED));
            }
            Ok(Some((chunk, (content, check, missing))))
        })
    }

    /// Returns `true` if the content has the digest of the service.
    fn matches(self) -> bool {
        let expected = self.expected;
        self.layouts.into_iter().any(|layout| layout.digest() == expected)
    }
}

impl Layout {
    fn new(part: Option<u64>) -> Self {
        Self { part, missing: part.unwrap_or(u64::MAX), current: Md5::new(), parts: Md5::new() }
    }

    fn update(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            if self.missing == 0 {
                self.parts.update(self.current.finalize_reset());
                self.missing = self.part.unwrap_or(u64::MAX);
            }
            let length = usize::try_from(self.missing).map_or(content.len(), |missing| missing.min(content.len()));
            let (now, later) = content.split_at(length);
            self.current.update(now);
            self.missing -= length as u64;
            content = later;
        }
    }

    fn digest(mut self) -> Md5Digest {
        let last = self.current.finalize();
        if self.part.is_none() {
            return last.into();
        }
        self.parts.update(last);
        self.parts.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use filestore_core::hex;

    use super::*;

    /// Returns the ETag of a multipart upload with parts of these sizes.
    fn etag(content: &[u8], sizes: &[u64]) -> String {
        let (mut digests, mut rest) = (Vec::new(), content);
        for size in sizes {
            let (part, later) = rest.split_at(usize::try_from(*size).unwrap());
            digests.extend_from_slice(&Md5::digest(part));
            rest = later;
        }
        assert!(rest.is_empty());
        format!("\"{}-{}\"", hex(&Md5::digest(&digests)), sizes.len())
    }

    fn check(etag: &str, content: &[u8], part: Option<u64>) -> Option<bool> {
        let mut check = ContentCheck::of_etag(etag, content.len() as u64, part)?;
        content.chunks(99_991).for_each(|chunk| check.update(chunk));
        Some(check.matches())
    }

    fn content(size: u64) -> Vec<u8> {
        (0..size).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn the_etag_of_a_file_in_one_part_is_its_digest() {
        let etag = format!("\"{}\"", hex(&Md5::digest(b"content")));
        assert_eq!(check(&etag, b"content", None), Some(true));
        assert_eq!(check(&etag, b"contend", None), Some(false));
        assert_eq!(check("\"0x8DC4\"", b"content", None), None);
    }

    #[test]
    fn a_composite_etag_is_compared_only_if_the_size_of_the_parts_is_known() {
        let mut file = content(12 * MIB);
        let etag = etag(&file, &[5 * MIB, 5 * MIB, 2 * MIB]);
        assert_eq!(check(&etag, &file, Some(5 * MIB)), Some(true));
        assert_eq!(check(&etag, &file, None), None);
        file[11 << 20] ^= 1;
        assert_eq!(check(&etag, &file, Some(5 * MIB)), Some(false));
        // Such parts would be two.
        assert_eq!(check(&etag, &file, Some(6 * MIB)), None);
    }

    #[test]
    fn a_copy_in_other_parts_is_no_false_alarm() {
        let mut file = content(9 * MIB);
        // A copy in as many parts of another size, and one in another number of parts.
        let same_count = etag(&file, &[8 * MIB, MIB]);
        let other_count = etag(&file, &[4 * MIB, 4 * MIB, MIB]);
        assert_eq!(check(&same_count, &file, Some(5 * MIB)), Some(true));
        assert_eq!(check(&other_count, &file, Some(5 * MIB)), None);
        file[0] ^= 1;
        assert_eq!(check(&same_count, &file, Some(5 * MIB)), Some(false));
    }

    #[test]
    fn metadata_of_any_value_costs_little() {
        let etag = format!("\"{:032x}-2\"", 1);
        assert!(ContentCheck::of_etag(&etag, 2 << 40, Some(1 << 40)).is_none());
        for part in [0, 1, u64::MAX] {
            assert!(ContentCheck::of_etag(&etag, 9, Some(part)).is_none(), "{part}");
        }
        assert!(ContentCheck::of_etag("\"d41d8cd98f00b204e9800998ecf8427e-0\"", 0, Some(5)).is_none());
    }

    #[test]
    fn a_digest_in_base64_is_read_as_the_services_write_it() {
        assert_eq!(of_base64("1B2M2Y8AsgTpgAmY7PhCfg=="), Some(Md5::digest(b"").into()));
        assert_eq!(of_base64("mgNkuembtIDdJeHwKEyFVQ=="), Some(Md5::digest(b"content").into()));
        assert_eq!(of_base64(""), None);
        assert_eq!(of_base64("1B2M2Y8AsgTpgAmY7PhCf-=="), None);
    }
}
