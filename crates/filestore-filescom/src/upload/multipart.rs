//! One upload session of the service: its reference, the addresses of its parts, and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result};
use filestore_http::{Attempts, Idempotency, Method, Url, is_fresh, presigned_url};
use futures::lock::Mutex;

use crate::api::{self, Api};
use crate::path::SitePath;
use crate::upload::options::UploadOptions;
use crate::upload::part::Stored;
use crate::upload::plan::Limits;
use crate::wire::{Begin, Entry, Finish, PartTag, PartTarget};

/// An address that ends within this time is not used for a part any more.
const MARGIN: Duration = Duration::from_secs(30);

/// An unfinished upload. There is no request that ends it early: what is not finished lapses.
pub(crate) struct MultipartUpload<'a> {
    api: &'a Api,
    path: &'a SitePath,
    options: &'a UploadOptions,
    pub(crate) reference: String,
    pub(crate) limits: Limits,
    pub(crate) retry_parts: bool,
    offset_query: bool,
    /// How many addresses are asked for at once.
    batch: u32,
    /// The last part, where it is known: nobody asks beyond it.
    last: Option<u32>,
    targets: Mutex<Targets>,
}

/// Where a part goes.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) said: PartTarget,
    since: Duration,
}

/// Addresses that were given and not used yet.
struct Targets {
    unused: BTreeMap<u32, Target>,
    /// The last part that an address was given for.
    last: u32,
}

impl<'a> MultipartUpload<'a> {
    /// Begins an upload of `size` bytes, if that is known, and takes along the addresses of the `first`
    /// parts. Later ones come in batches.
    pub(crate) async fn begin(
        api: &'a Api,
        path: &'a SitePath,
        options: &'a UploadOptions,
        size: Option<u64>,
        first: u32,
        batch: u32,
        attempts: &mut Attempts,
    ) -> Result<Self> {
        let begin = Begin { size, parts: (first > 1).then_some(first), ..Self::asking(options) };
        // Each begin makes a session that lapses by itself, and no file: nothing is changed by asking.
        let request = api.request(Method::POST, "file_actions/begin_upload", path, Idempotency::Safe)?;
        let targets = api.ask_within(request.body(api::json(&begin)?), attempts).await?;
        Self::of(api, path, options, batch, None, 1, targets)
    }

    /// Goes on with an upload that was begun, at part `number`.
    pub(crate) async fn resume(
        api: &'a Api,
        path: &'a SitePath,
        options: &'a UploadOptions,
        reference: &str,
        number: u32,
        batch: u32,
    ) -> Result<Self> {
        let targets = ask(api, path, options, reference, number, batch).await?;
        Self::of(api, path, options, batch, Some(reference), number, targets)
    }

    fn asking(options: &UploadOptions) -> Begin<'a> {
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
        let unused = checked(api, targets, reference, number)?;
        let nothing = || protocol("none");
        let (_, Target { said: first, .. }) = unused.first_key_value().ok_or_else(nothing)?;
        let (last, _) = unused.last_key_value().ok_or_else(nothing)?;
        let limits = Limits::of(first);
        // Who takes one part at a time is asked for one at a time.
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
            targets: Mutex::new(Targets { last: *last, unused }),
        })
    }

    /// Says which part is the last.
    pub(crate) fn ends_with(&mut self, last: u32) {
        self.last = Some(last);
    }

    /// An address for part `number`, out of the last batch or asked for. Parts that wait for the same
    /// batch wait for one request.
    pub(crate) async fn target(&self, number: u32, offset: u64) -> Result<Target> {
        let mut targets = self.targets.lock().await;
        let now = self.api.clock().elapsed();
        let fresh = |target: &Target| is_fresh(&target.url, now.saturating_sub(target.since), MARGIN);
        let mut target = match targets.unused.remove(&number).filter(fresh) {
            Some(target) => target,
            None => {
                // What was given before is renewed alone.
                let new = self.last.unwrap_or(u32::MAX).saturating_sub(number).saturating_add(1).min(self.batch);
                let wanted = if number > targets.last { new } else { 1 };
                let asking = ask(self.api, self.path, self.options, &self.reference, number, wanted);
                let answer = Box::pin(asking).await?;
                let mut asked = checked(self.api, answer, Some(&self.reference), number)?;
                let target = asked.remove(&number).ok_or_else(|| protocol("none"))?;
                targets.last = asked.keys().last().map_or(number, |last| *last).max(targets.last);
                targets.unused.extend(asked);
                target
            }
        };
        if self.offset_query {
            target.url.query_pairs_mut().append_pair("part_offset", &offset.to_string());
        }
        Ok(target)
    }

    /// Makes the parts a file. A second time, the service says that there is no such upload.
    pub(crate) async fn finish(&self, parts: &[Stored], size: u64, attempts: &mut Attempts) -> Result<Box<Entry>> {
        let tags: Option<Vec<_>> =
            parts.iter().map(|part| Some(PartTag { etag: part.etag.as_deref()?, part: part.number })).collect();
        let finish = Finish {
            action: "end",
            reference: &self.reference,
            // A target without tags finds its parts by itself; some of them would be worse than none.
            etags: tags,
            size,
            provided_mtime: self.options.provided_mtime.map(|time| time.to_string()),
            mkdir_parents: self.options.mkdir_parents,
            with_rename: self.options.with_rename,
            custom_metadata: &self.options.metadata,
        };
        let request = self.api.request(Method::POST, "files", self.path, Idempotency::Idempotent)?;
        let at = (!self.options.with_rename).then_some(self.path);
        self.api.ask_for_entry_within(request.body(api::json(&finish)?), at, Some(false), attempts).await
    }
}

/// Asks for the addresses of `wanted` parts of an upload that was begun.
async fn ask(
    api: &Api,
    path: &SitePath,
    options: &UploadOptions,
    reference: &str,
    number: u32,
    wanted: u32,
) -> Result<Vec<PartTarget>> {
    let begin = Begin {
        reference: Some(reference),
        part: Some(number),
        parts: (wanted > 1).then_some(wanted),
        ..MultipartUpload::asking(options)
    };
    let request = api.request(Method::POST, "file_actions/begin_upload", path, Idempotency::Safe)?;
    api.ask(request.body(api::json(&begin)?)).await
}

/// The parts by number: consecutive from `first`, of one upload.
fn checked(api: &Api, targets: Vec<PartTarget>, reference: Option<&str>, first: u32) -> Result<BTreeMap<u32, Target>> {
    let reference = reference.map(str::to_owned).or_else(|| targets.first().map(|target| target.reference.clone()));
    let since = api.clock().elapsed();
    let mut parts = BTreeMap::new();
    for (number, said) in (first..).zip(targets) {
        // An address of another upload would begin a second one for this part.
        if Some(&said.reference) != reference.as_ref() {
            return Err(protocol("a part of another upload"));
        }
        if said.part_number != number {
            return Err(protocol("another part than the one asked for"));
        }
        parts.insert(number, Target { url: presigned_url(&said.upload_uri, api.base())?, said, since });
    }
    Ok(parts)
}

fn protocol(what: &str) -> Error {
    Error::new(
        ErrorKind::Protocol,
        Effect::Rejected,
        format!("asked for the address of a part, the service gives {what}"),
    )
}
