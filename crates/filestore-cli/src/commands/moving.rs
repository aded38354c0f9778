//! The reads and the warnings of `cp` and `migrate`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use filestore::{Download, Feature, FileRef, Progress};
use filestore_transfer::{CopiedFile, Proof};

use crate::context::Context;
use crate::interrupt::{Read, Reads};

/// The reads of a command that consume their files.
#[derive(Clone)]
pub(super) struct ConsumingReads {
    reads: Reads,
    under_way: Arc<Mutex<HashMap<FileRef, Read>>>,
}

impl ConsumingReads {
    pub(super) fn new(reads: &Reads) -> Self {
        Self { reads: reads.clone(), under_way: Arc::default() }
    }

    /// Returns the download with the observers that tell, after a signal, where the bytes are.
    pub(super) fn observe(&self, download: Download) -> Download {
        let read = self.reads.begin(download.reference.redacted());
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(download.reference.clone(), read.clone());
        let arriving = read.clone();
        download.on_location(move |path| read.located(path)).on_progress(move |_: Progress| arriving.arrived())
    }

    /// Ends the read of a file whose result is known.
    pub(super) fn ended(&self, reference: &FileRef) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(reference).iter().for_each(Read::ended);
    }
}

/// The number of copies by what the destination does not keep, and by what is not proven of them.
#[derive(Default)]
pub(super) struct Shortcomings(BTreeMap<String, u64>);

impl Shortcomings {
    pub(super) fn add(&mut self, copied: &CopiedFile, store: &str) {
        let mut add = |text: String| *self.0.entry(text).or_default() += 1;
        if !copied.not_carried.is_empty() {
            let names: Vec<&str> = copied.not_carried.iter().copied().map(Feature::as_str).collect();
            add(format!("the store {store:?} does not keep {}", names.join(", ")));
        }
        match copied.proof {
            Proof::None => add("neither size nor content is proven; --verify read-back compares them".to_owned()),
            Proof::Size => add("only the size is proven; --verify read-back compares the content".to_owned()),
            _ => {}
        }
    }

    /// Warns of each kind once, with the number of files.
    pub(super) fn warn(&self, context: &Context) {
        for (text, files) in &self.0 {
            let noun = if *files == 1 { "file" } else { "files" };
            context.warn(&format!("{files} {noun}: {text}"));
        }
    }
}
