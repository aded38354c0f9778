//! A multipart upload of the service: its reference, the presigned URLs of its parts, and the limits of their sizes.

use std::collections::BTreeMap;
use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result};
use filestore_http::{Attempts, Idempotency, Method, Url, is_fresh, presigned_url};
use futures::lock::Mutex;

use super::options::UploadOptions;
use crate::api::{self, Api};
use crate::path::SitePath;
use crate::wire::{Begin, PartTarget};

/// A presigned URL that expires within this time is not used for a part any more.
const MARGIN: Duration = Duration::from_secs(30);

const MIB: u64 = 1 << 20;

/// The default part size of a file, whose parts are read from disk while they are sent.
const LARGE_PART: u64 = 16 * MIB;

/// The default size of the first parts of a stream, which are buffered in memory while they are sent.
pub(crate) const BUFFERED_PART_SIZE: u64 = 8 * MIB;

/// The maximum number of small parts. The number of larger ones is not limited.
const MAX_SMALL_PARTS: u64 = 10_000;

/// Parts below this size are small: 5 MiB, the minimum part size of S3.
const SMALL_PART: u64 = 5 * MIB;

/// An unfinished upload. The service has no request that aborts it: it expires by itself.
pub(crate) struct MultipartUpload<'a> {
    api: &'a Api,
    path: &'a SitePath,
    options: &'a UploadOptions,
    pub(crate) reference: String,
    pub(crate) limits: Limits,
    pub(crate) retry_parts: bool,
    offset_query: bool,
    /// The number of presigned URLs that one request asks for.
    batch: u32,
    /// The number of the last part, where it is known: no URL is requested beyond it.
    last: Option<u32>,
    /// The destinations that the service has sent, by part number; `None` for one that is used.
    targets: Mutex<BTreeMap<u32, Option<Target>>>,
}

/// The destination of one part.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) part: PartTarget,
    /// The time on the clock of the response that had the URL.
    received: Duration,
}

impl<'a> MultipartUpload<'a> {
    /// Begins an upload of `size` bytes, if that is known, and requests the URLs of the `first` parts. Later
    /// ones are requested in batches.
    pub(crate) async fn begin(
        api: &'a Api,
        path: &'a SitePath,
        options: &'a UploadOptions,
        size: Option<u64>,
        first: u32,
        batch: u32,
        attempts: &mut Attempts,
    ) -> Result<Self> {
        let begin = Begin { size, parts: (first > 1).then_some(first), ..Self::begin_with(options) };
        // The request is safe: each begins another upload, which creates no file and expires by itself.
        let request = api.request(Method::POST, "file_actions/begin_upload", path, Idempotency::Safe)?;
        let targets = api.send_for_json_within(request.body(api::json(&begin)?), attempts).await?;
        Self::of(api, path, options, batch, None, 1, targets)
    }

    /// Resumes an upload at part `number`.
    pub(crate) async fn resume(
        api: &'a Api,
        path: &'a SitePath,
        options: &'a UploadOptions,
        reference: &str,
        number: u32,
        batch: u32,
    ) -> Result<Self> {
        let targets = request_targets(api, path, options, reference, number, batch).await?;
        Self::of(api, path, options, batch, Some(reference), number, targets)
    }

    fn begin_with(options: &UploadOptions) -> Begin<'a> {
        Begin { mkdir_parents: options.mkdir_parents, with_rename: options.with_rename, ..Begin::default() }
    }

    fn of(
        api: &'a Api,
        path: &'a SitePath,
        options: &'a UploadOptions,
        batch: u32,
        reference: Option<&str>,
        number: u32,
        targets: Vec<PartTarget>,
    ) -> Result<Self> {
        let targets = checked(api, targets, reference, number)?;
        let (_, Target { part: first, .. }) = targets.first_key_value().ok_or_else(|| protocol("no URL"))?;
        let limits = Limits::of(first);
        // A storage that accepts one part at a time has one URL at a time.
        let batch = if limits.parallel { batch } else { 1 };
        Ok(Self {
            api,
            path,
            options,
            reference: first.reference.clone(),
            limits,
            retry_parts: first.retry_parts != Some(false),
            offset_query: first.part_offset_query == Some(true),
            batch,
            last: None,
            targets: Mutex::new(targets.into_iter().map(|(number, target)| (number, Some(target))).collect()),
        })
    }

    /// Returns `true` if the file is known to be a single part.
    pub(crate) fn is_single(&self) -> bool {
        self.last == Some(1)
    }

    /// Sets the number of the last part.
    pub(crate) fn ends_with(&mut self, last: u32) {
        self.last = Some(last);
    }

    /// Returns the destination of part `number`, from the last batch or from a new one. Parts that need the same
    /// batch wait for one request.
    pub(crate) async fn target(&self, number: u32, offset: u64) -> Result<Target> {
        let mut targets = self.targets.lock().await;
        let now = self.api.clock().elapsed();
        let fresh = |target: &Target| is_fresh(&target.url, now.saturating_sub(target.received), MARGIN);
        let known = targets.get_mut(&number).map(Option::take);
        let is_known = known.is_some();
        let mut target = match known.flatten().filter(fresh) {
            Some(target) => target,
            None => {
                let left = self.last.unwrap_or(u32::MAX).saturating_sub(number).saturating_add(1);
                // An expired URL is refreshed alone.
                let count = if is_known { 1 } else { left.min(self.batch) };
                let request = request_targets(self.api, self.path, self.options, &self.reference, number, count);
                let mut batch = checked(self.api, Box::pin(request).await?, Some(&self.reference), number)?;
                let target = batch.remove(&number).ok_or_else(|| protocol("no URL"))?;
                targets.insert(number, None);
                targets.extend(batch.into_iter().map(|(number, target)| (number, Some(target))));
                target
            }
        };
        if self.offset_query {
            target.url.query_pairs_mut().append_pair("part_offset", &offset.to_string());
        }
        Ok(target)
    }
}

/// Requests the URLs of `count` parts of an upload, from part `number` on.
async fn request_targets(
    api: &Api,
    path: &SitePath,
    options: &UploadOptions,
    reference: &str,
    number: u32,
    count: u32,
) -> Result<Vec<PartTarget>> {
    let begin = Begin {
        reference: Some(reference),
        part: Some(number),
        parts: (count > 1).then_some(count),
        ..MultipartUpload::begin_with(options)
    };
    let request = api.request(Method::POST, "file_actions/begin_upload", path, Idempotency::Safe)?;
    api.send_for_json(request.body(api::json(&begin)?)).await
}

/// Returns the destinations by part number. *Protocol* unless they are consecutive from `first` and of one upload.
fn checked(api: &Api, targets: Vec<PartTarget>, reference: Option<&str>, first: u32) -> Result<BTreeMap<u32, Target>> {
    let reference = reference.map(str::to_owned).or_else(|| targets.first().map(|target| target.reference.clone()));
    let received = api.clock().elapsed();
    let mut parts = BTreeMap::new();
    for (number, part) in (first..).zip(targets) {
        // A part that is sent to the URL of another upload would be missing from this one.
        if Some(&part.reference) != reference.as_ref() {
            return Err(protocol("the URL of a part of another upload"));
        }
        if part.part_number != number {
            return Err(protocol("the URL of another part"));
        }
        parts.insert(number, Target { url: presigned_url(&part.upload_uri, api.base())?, part, received });
    }
    Ok(parts)
}

fn protocol(problem: &str) -> Error {
    let message = format!("the service responded to a request for the presigned URL of a part with {problem}");
    Error::new(ErrorKind::Protocol, Effect::Rejected, message)
}

/// The limits of the storage that receives the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The minimum size of each part except the last.
    smallest: u64,
    largest: u64,
    /// The maximum number of parts.
    parts: u32,
    /// The maximum size of the file.
    file: u64,
    /// The part size that the storage requires; `None` if it accepts any within the limits.
    fixed: Option<u64>,
    pub(crate) parallel: bool,
}

impl Limits {
    pub(crate) fn of(first: &PartTarget) -> Self {
        let parallel = first.parallel_parts == Some(true);
        let parts = first.available_parts.and_then(|parts| u32::try_from(parts).ok()).unwrap_or(10_000).max(1);
        if let Some(limits) = first.variable_part_limits {
            return Self {
                smallest: limits.min_nonfinal_bytes.max(1),
                largest: limits.max_part_bytes.max(1),
                parts: limits.max_parts.max(1),
                file: limits.max_file_bytes,
                fixed: None,
                parallel,
            };
        }
        // Native storage accepts any size within its limits; the part size in the response is a suggestion.
        let native = match first.upload_target_class.as_deref() {
            Some(class) => class == "s3",
            None => parallel && !is_proxied(&first.upload_uri),
        };
        Self {
            smallest: SMALL_PART,
            largest: 5 << 30,
            parts,
            file: 5 << 40,
            fixed: first.partsize.filter(|size| !native && *size > 0),
            parallel,
        }
    }

    /// Returns the size of all parts but the last, for a file of `size` bytes. `max_buffered` is the maximum size of a
    /// part that is buffered in memory. *Protocol* if the storage requires too many small parts.
    pub(crate) fn size_for(&self, size: u64, preferred: Option<u64>, max_buffered: Option<u64>) -> Result<u64> {
        if size > self.file {
            return Err(too_large(format!(
                "the content has {size} bytes, and the storage accepts at most {} bytes in one file",
                self.file
            )));
        }
        self.check_count(size)?;
        let base = preferred.unwrap_or(if max_buffered.is_some() { BUFFERED_PART_SIZE } else { LARGE_PART });
        let least = size.div_ceil(u64::from(self.parts));
        let least = if least > MIB { least.checked_next_multiple_of(MIB).unwrap_or(least) } else { least };
        let part =
            self.fixed.unwrap_or_else(|| base.min(max_buffered.unwrap_or(u64::MAX)).max(least)).min(self.largest);
        let part = if self.fixed.is_some() { part } else { part.max(self.smallest) };
        if part.saturating_mul(u64::from(self.parts)) < size {
            return Err(too_large(format!(
                "the content has {size} bytes, which do not fit into {} parts, the maximum of the storage",
                self.parts
            )));
        }
        match max_buffered {
            Some(max_buffered) if part > max_buffered && size > max_buffered => {
                Err(memory_too_small(&format!("a stream of {size} bytes"), part))
            }
            _ => Ok(part),
        }
    }

    /// *Protocol* if `size` bytes would make more than [`MAX_SMALL_PARTS`].
    fn check_count(&self, size: u64) -> Result<()> {
        let most = self.fixed.unwrap_or(self.largest);
        if most >= SMALL_PART || size <= most.saturating_mul(MAX_SMALL_PARTS) {
            return Ok(());
        }
        let message = format!(
            "the service accepts parts of at most {most} bytes; {size} bytes or more would need more than \
             {MAX_SMALL_PARTS} requests"
        );
        Err(Error::new(ErrorKind::Protocol, Effect::Rejected, message))
    }

    /// Returns the size of part `number` of a stream whose length is unknown. Parts grow: the first ones are sent
    /// early, and a large file still fits into the number of parts. `max_buffered` is the maximum size of a part in
    /// memory. *Too large* if the storage accepts no part of that size, *protocol* if it requires too many small parts.
    pub(crate) fn growing_size(&self, number: u32, preferred: Option<u64>, max_buffered: u64) -> Result<u64> {
        if number > self.parts {
            return Err(too_large(format!(
                "the content does not fit into {} parts, the maximum of the storage, of a size that fits into memory \
                 twice; set memory higher, or upload a file",
                self.parts
            )));
        }
        // The number of parts of each tier is 100 times a Fibonacci number, and the part size doubles with each tier:
        // 10,000 parts exceed 5 TiB.
        let ends = [100, 300, 600, 1100, 1900, 3200, 5300, 8700];
        let tier = ends.iter().filter(|end| number > **end).count();
        let size = self.fixed.or(preferred).unwrap_or(BUFFERED_PART_SIZE << tier).min(max_buffered).min(self.largest);
        // The content is at least one byte longer than the first part: a shorter stream has a known size.
        let first = preferred.unwrap_or(BUFFERED_PART_SIZE).min(max_buffered);
        self.check_count(first.max(size.saturating_mul(u64::from(number) - 1)).saturating_add(1))?;
        let size = self.fixed.map_or(size.max(self.smallest), |fixed| fixed.min(self.largest));
        if size > max_buffered {
            return Err(memory_too_small("a stream of unknown length", size));
        }
        Ok(size)
    }
}

fn memory_too_small(what: &str, part: u64) -> Error {
    too_large(format!(
        "{what} is sent in parts of {part} bytes, and two of them must fit into memory; set memory to {} MiB, or \
         upload a file",
        part.saturating_mul(2).div_ceil(MIB)
    ))
}

fn too_large(message: String) -> Error {
    Error::new(ErrorKind::TooLarge, Effect::Rejected, message)
}

/// Returns `true` if a presigned URL leads to the service's proxy of a mounted server and not to a storage.
fn is_proxied(url: &str) -> bool {
    url.contains("X-Files-Date=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MAX_BUFFERED: u64 = 24 * MIB;

    fn target(extra: &str) -> PartTarget {
        let json = format!(
            r#"{{"ref":"put-1","part_number":1,"upload_uri":"https://s3/x","partsize":5242880,"available_parts":10000{extra}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn native() -> Limits {
        Limits::of(&target(r#","parallel_parts":true"#))
    }

    #[test]
    fn the_size_of_parts_follows_from_the_size_of_the_file() {
        let size = |bytes| native().size_for(bytes, None, None).unwrap();
        assert_eq!(size(0), 16 * MIB);
        assert_eq!(size(GIB), 16 * MIB);
        assert_eq!(size(160_000 * MIB), 16 * MIB);
        assert_eq!(size(160_000 * MIB + 1), 17 * MIB);
        assert_eq!(size(5 << 40), 525 * MIB);
        assert_eq!(native().size_for((5 << 40) + 1, None, None).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn a_preferred_part_size_is_kept_within_the_limits() {
        let size = |bytes, preferred| native().size_for(bytes, Some(preferred), None).unwrap();
        assert_eq!(size(GIB, 64 * MIB), 64 * MIB);
        assert_eq!(size(GIB, MIB), 5 * MIB);
        assert_eq!(size(5 << 40, 5 * MIB), 525 * MIB);
        assert_eq!(size(GIB, 6 * GIB), 5 * GIB);
    }

    #[test]
    fn buffered_parts_stay_within_the_memory_limit() {
        let size = |bytes| native().size_for(bytes, None, Some(MAX_BUFFERED));
        assert_eq!(size(GIB).unwrap(), 8 * MIB);
        assert_eq!(size(200_000 * MIB).unwrap(), 20 * MIB);
        let error = size(300_000 * MIB).unwrap_err();
        assert!(error.to_string().contains("memory to 60 MiB"), "{error}");
    }

    #[test]
    fn parts_of_unknown_length_grow_until_memory_bounds_them() {
        let size = |number, max_buffered| native().growing_size(number, None, max_buffered).unwrap() / MIB;
        assert_eq!([1, 100, 101, 300, 301, 10_000].map(|number| size(number, MAX_BUFFERED)), [8, 8, 16, 16, 24, 24]);
        let all: u64 = (1..=10_000).map(|number| size(number, u64::MAX)).sum();
        assert!(all > 5 << 20, "{all} MiB");
        assert_eq!(native().growing_size(10_001, None, MAX_BUFFERED).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn the_limits_of_the_target_have_precedence() {
        let json = r#","parallel_parts":true,"variable_part_limits":{"min_nonfinal_bytes":4,"max_part_bytes":8,"max_parts":3,"max_file_bytes":20}"#;
        let limits = Limits::of(&target(json));
        assert_eq!(limits.size_for(12, None, None).unwrap(), 8);
        assert_eq!(limits.size_for(12, Some(1), None).unwrap(), 4);
        assert_eq!(limits.size_for(21, None, None).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(limits.growing_size(1, Some(16), MAX_BUFFERED).unwrap(), 8);
    }

    fn within(smallest: u64, largest: u64, parts: u32) -> Limits {
        Limits::of(&target(&format!(
            r#","variable_part_limits":{{"min_nonfinal_bytes":{smallest},"max_part_bytes":{largest},"max_parts":{parts},"max_file_bytes":{}}}"#,
            u64::MAX
        )))
    }

    fn of_parts(size: u64, available: &str) -> Limits {
        let json = format!(
            r#"{{"ref":"put-1","part_number":1,"upload_uri":"https://s3/x","partsize":{size},"available_parts":{available}}}"#
        );
        Limits::of(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn parts_that_must_exceed_the_memory_limit_are_too_large() {
        for (smallest, memory) in [(MAX_BUFFERED + 1, 49), (64 * MIB, 128), (1 << 63, 1_u64 << 44), (u64::MAX, 1 << 44)]
        {
            let limits = within(smallest, u64::MAX, 10_000);
            for size in [
                limits.growing_size(1, None, MAX_BUFFERED),
                limits.growing_size(1, Some(MIB), MAX_BUFFERED),
                limits.size_for(smallest, None, Some(MAX_BUFFERED)),
            ] {
                let error = size.unwrap_err();
                assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::Rejected));
                let numbers = [format!("parts of {smallest}"), format!("memory to {memory} MiB")];
                assert!(numbers.iter().all(|number| error.to_string().contains(number)), "{error}");
            }
            // Content that is buffered as a whole is one part, although the part size exceeds the memory limit.
            assert_eq!(limits.size_for(MAX_BUFFERED, None, Some(MAX_BUFFERED)).unwrap(), smallest);
        }
        assert_eq!(within(MAX_BUFFERED, u64::MAX, 10_000).growing_size(1, None, MAX_BUFFERED).unwrap(), MAX_BUFFERED);
        assert_eq!(
            of_parts(MAX_BUFFERED + 1, "9").growing_size(1, None, MAX_BUFFERED).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        assert_eq!(within(1, u64::MAX, 1).size_for(u64::MAX, None, None).unwrap(), u64::MAX);
    }

    #[test]
    fn a_target_that_requires_too_many_small_parts_is_a_protocol_error() {
        for available in ["10000", "4294967295", "18446744073709551615", "null"] {
            let limits = of_parts(1, available);
            assert_eq!(limits.size_for(10_000, None, None).unwrap(), 1);
            for size in [
                limits.size_for(10_001, None, None),
                limits.size_for(10_001, None, Some(MAX_BUFFERED)),
                limits.growing_size(1, None, MAX_BUFFERED),
                limits.growing_size(1, Some(10_000), MAX_BUFFERED),
            ] {
                let error = size.unwrap_err();
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
            }
        }
        let small = within(1, 4 * MIB, u32::MAX);
        assert_eq!(small.size_for(40_000 * MIB, None, None).unwrap(), 4 * MIB);
        assert_eq!(small.size_for(40_000 * MIB + 1, None, None).unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(small.growing_size(10_000, None, MAX_BUFFERED).unwrap(), 4 * MIB);
        assert_eq!(small.growing_size(10_001, None, MAX_BUFFERED).unwrap_err().kind(), ErrorKind::Protocol);
        // The number of parts that are not small is not limited.
        assert_eq!(of_parts(5 * MIB, "50000").size_for(200 * GIB, None, None).unwrap(), 5 * MIB);
    }

    #[test]
    fn without_parallel_parts_the_part_size_is_the_one_that_the_target_requires() {
        for extra in ["", r#","parallel_parts":false"#, r#","parallel_parts":true,"upload_target_class":"agent_fiw""#] {
            let limits = Limits::of(&target(extra));
            assert_eq!(limits.size_for(GIB, None, None).unwrap(), 5 * MIB, "{extra}");
            assert_eq!(limits.growing_size(1, None, MAX_BUFFERED).unwrap(), 5 * MIB, "{extra}");
        }
    }
}
