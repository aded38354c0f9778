//! Contents of files. A content is a list of blobs, one for each uploaded part; they are never joined.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::blobs::{BlobId, BlobReader, Blobs};
use crate::hex::hex;

/// The size of the buffer for digests, in bytes.
const READ_SIZE: usize = 256 * 1024;

/// The immutable content of one version of a file. It stays readable after the file is replaced or deleted until the
/// last reader ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Content {
    /// The id of the upload that created it.
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) pieces: Vec<Piece>,
    /// The ETag in responses of the storage. It is the S3 multipart ETag, not the MD5 of the content.
    pub(super) etag: String,
    pub(super) stored: Timestamp,
    /// `None` until they are computed, some time after the upload.
    pub(super) digests: Option<Digests>,
    /// Cloned by every reader; see [`Content::is_in_use`].
    #[serde(skip)]
    pub(super) lease: Arc<()>,
}

/// One part of a content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) blob: BlobId,
    pub(super) size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Digests {
    pub(super) md5: String,
    pub(super) crc32: u32,
}

impl Content {
    /// Returns `true` while the content is being read.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.lease) > 1
    }

    /// Streams `length` bytes from `start` on. Each piece is opened when the stream reaches it.
    pub(super) fn stream(self, blobs: Arc<Blobs>, start: u64, length: u64) -> BoxStream<'static, io::Result<Bytes>> {
        let end = start + length;
        let mut begin = 0;
        let mut ranges = Vec::new();
        for piece in &self.pieces {
            let (from, to) = (start.max(begin), end.min(begin + piece.size));
            if from < to {
                ranges.push((piece.blob.clone(), from - begin..to - begin));
            }
            begin += piece.size;
        }
        let lease = self.lease;
        stream::iter(ranges)
            .then(move |(blob, range)| {
                let (blobs, lease) = (Arc::clone(&blobs), Arc::clone(&lease));
                async move {
                    let pieces = blobs.reader(&blob)?.stream_range(range).await?;
                    Ok::<_, io::Error>(pieces.inspect(move |_| _ = &lease))
                }
            })
            .try_flatten()
            .boxed()
    }

    /// Computes the digests. Blocks while it reads the whole content, so call it on a blocking thread.
    pub(super) fn digest(&self, blobs: &Blobs) -> io::Result<Digests> {
        let (mut md5, mut crc32) = (Md5::new(), crc32fast::Hasher::new());
        let mut buffer = vec![0; READ_SIZE];
        for piece in &self.pieces {
            match blobs.reader(&piece.blob)? {
                BlobReader::Memory(content) => {
                    md5.update(&content);
                    crc32.update(&content);
                }
                BlobReader::File(mut file) => loop {
                    let read = file.read(&mut buffer)?;
                    if read == 0 {
                        break;
                    }
                    md5.update(&buffer[..read]);
                    crc32.update(&buffer[..read]);
                },
            }
        }
        Ok(Digests { md5: hex(&md5.finalize()), crc32: crc32.finalize() })
    }
}
