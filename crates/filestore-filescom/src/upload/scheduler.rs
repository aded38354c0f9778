//! Parts side by side: as many at once as the target and the memory allow.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::pin;

use filestore_core::Result;
use futures::StreamExt;
use futures::future::{self, Either};
use futures::stream::FuturesUnordered;

use super::multipart::MultipartUpload;
use super::part::{Stored, UploadedParts};
use super::put;
use super::source::{self, Source};
use crate::config::Verify;
use crate::store::FilesComStore;

impl FilesComStore {
    /// Sends all parts but those that are `done`, as many at once as the target and the memory allow.
    /// Nothing runs on when this is dropped.
    pub(super) async fn send_parts(
        &self,
        session: &MultipartUpload<'_>,
        source: &mut Source,
        mut done: Vec<Stored>,
        size_of: impl Fn(u32) -> Result<u64>,
        mut on_part: impl FnMut(&Stored),
    ) -> Result<UploadedParts> {
        let resumed: BTreeSet<u32> = done.iter().map(|part| part.number).collect();
        let width = if session.limits.parallel { self.config().parallel.get() as usize } else { 1 };
        let memory = self.config().memory.as_u64();
        let digests = self.config().verify != Verify::None;
        let put = |part: source::Part| async move {
            let held = part.held();
            put::put(self.api(), session, part, digests).await.map(|stored| (held, stored))
        };
        let mut running = FuturesUnordered::new();
        let (mut more, mut in_memory) = (true, 0);
        while more || !running.is_empty() {
            while resumed.contains(&source.next_number()) {
                source.skip(size_of(source.next_number())?);
            }
            let length = if more { size_of(source.next_number())? } else { 0 };
            let fits = !source.is_held() || running.is_empty() || in_memory + length <= memory;
            let room = more && running.len() < width && fits;
            let step = {
                let next = async { if room { source.next(length).await } else { pending().await } };
                let stored = async {
                    match running.next().await {
                        Some(stored) => stored,
                        None => pending().await,
                    }
                };
                match future::select(pin!(next), pin!(stored)).await {
                    Either::Left((part, _)) => Either::Left(part?),
                    Either::Right((stored, _)) => Either::Right(stored?),
                }
            };
            match step {
                Either::Left(Some(part)) => {
                    in_memory += part.held();
                    running.push(put(part));
                }
                Either::Left(None) => more = false,
                Either::Right((held, stored)) => {
                    in_memory -= held;
                    on_part(&stored);
                    done.push(stored);
                }
            }
        }
        Ok(UploadedParts::of(done))
    }
}
