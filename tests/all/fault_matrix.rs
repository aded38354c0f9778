//! [`FaultTest`]: 100 files through a service with faults. No file is lost, corrupted, or stored twice without
//! an error.

use std::collections::HashMap;

use filestore::{Config, Effect, Error, FileRef, List, Result, Store, StoredFile, Upload};
use filestore_emulator::{Emulator, FaultPlan, Options};
use futures::{StreamExt, TryStreamExt, stream};

const FILES: usize = 100;
const CONCURRENCY: usize = 10;

/// An emulator with faults, and a store that uses it.
pub(crate) struct FaultTest {
    pub(crate) emulator: Emulator,
    pub(crate) store: Store,
}

impl FaultTest {
    /// Starts an emulator, and opens a store with `settings`, to which the base URL is added.
    pub(crate) async fn start(settings: &str) -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        Self { store: open(&emulator, settings), emulator }
    }

    /// Opens the store anew, without the state of the old one, as another process would.
    pub(crate) fn reopen(&mut self, settings: &str) {
        self.store = open(&self.emulator, settings);
    }

    pub(crate) fn set_faults(&self, rules: &str) {
        self.emulator.set_faults(FaultPlan::from_toml(rules).unwrap());
    }

    /// Returns the number of requests that had a fault so far.
    pub(crate) fn faults(&self) -> usize {
        self.emulator.journal().iter().filter(|entry| !entry.faults.is_empty()).count()
    }

    /// Uploads all files with the fault rules `rules`, then checks the stored files without faults.
    pub(crate) async fn upload(&self, rules: &str) -> Uploaded {
        self.set_faults(rules);
        let outcomes: Vec<(usize, Result<StoredFile>)> = stream::iter(0..FILES)
            .map(|number| async move { (number, self.store.upload(Upload::new(name(number), content(number))).await) })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        self.set_faults("");
        let listed: Vec<StoredFile> = self.store.list_all(List::new()).try_collect().await.unwrap();
        let mut stored: HashMap<String, Vec<FileRef>> = HashMap::new();
        for file in listed {
            stored.entry(file.name).or_default().push(file.reference);
        }
        let mut uploaded = Uploaded::default();
        for (number, outcome) in outcomes {
            let found = stored.remove(&name(number)).unwrap_or_default();
            self.check(number, outcome, &found, &mut uploaded).await;
        }
        assert!(stored.is_empty(), "these files were not uploaded: {stored:?}");
        uploaded
    }

    async fn check(&self, number: usize, outcome: Result<StoredFile>, found: &[FileRef], uploaded: &mut Uploaded) {
        let is_unknown = outcome.as_ref().is_err_and(|error| error.effect() == Effect::Unknown);
        assert!(found.len() <= 1 || is_unknown, "{} is stored {} times: {outcome:?}", name(number), found.len());
        let stored = match &outcome {
            Ok(file) => Some(&file.reference),
            Err(error) => error.stored().map(StoredFile::reference),
        };
        match (&outcome, stored) {
            (_, Some(reference)) => assert!(found.contains(reference), "{} is lost: {outcome:?}", name(number)),
            (Err(error), None) if error.effect() != Effect::Unknown => {
                assert_ne!(error.effect(), Effect::Applied, "{error:?} does not name the stored file");
                assert!(found.is_empty(), "{} is stored in spite of its error: {error:?}", name(number));
            }
            _ => {}
        }
        for reference in found {
            assert_eq!(self.store.read(reference, 1 << 20).await.unwrap(), content(number), "{}", name(number));
        }
        match outcome {
            Ok(file) => uploaded.files.push((number, file)),
            Err(error) => uploaded.errors.push((number, error)),
        }
    }

    /// Reads each uploaded file with the fault rules `rules`: the result is the content or an error. Returns
    /// the errors.
    pub(crate) async fn download(&self, uploaded: &Uploaded, rules: &str) -> Vec<Error> {
        self.set_faults(rules);
        let outcomes: Vec<_> = stream::iter(&uploaded.files)
            .map(|(number, file)| async { (*number, self.store.read(&file.reference, 1 << 20).await) })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        self.set_faults("");
        let mut errors = Vec::new();
        for (number, outcome) in outcomes {
            match outcome {
                Ok(read) => assert_eq!(read, content(number), "{} has other content", name(number)),
                Err(error) => errors.push(error),
            }
        }
        errors
    }
}

fn open(emulator: &Emulator, settings: &str) -> Store {
    let text = format!("[stores.tested]\nbase_url = {:?}\n{settings}", emulator.url());
    let stores = Config::parse(&text, "fault_matrix.toml").unwrap().open(&filestore::registry()).unwrap();
    stores.default_store().unwrap().clone()
}

#[derive(Debug, Default)]
pub(crate) struct Uploaded {
    pub(crate) files: Vec<(usize, StoredFile)>,
    pub(crate) errors: Vec<(usize, Error)>,
}

impl Uploaded {
    pub(crate) fn all(&self) -> bool {
        self.files.len() == FILES
    }
}

pub(crate) fn name(number: usize) -> String {
    format!("file {number}.bin")
}

/// Returns the content of a file: `number` times 500 bytes, different for each file.
pub(crate) fn content(number: usize) -> Vec<u8> {
    let mut state = number as u32 + 1;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(number * 500).collect()
}
