//! A hundred files through a service that fails: none lost, none corrupted, none twice without a word.

use std::collections::HashMap;

use filestore::{Config, Effect, Error, FileRef, List, Result, Store, StoredFile, Upload};
use filestore_emulator::{Emulator, FaultPlan, Options};
use futures::{StreamExt, TryStreamExt, stream};

const FILES: usize = 100;
const AT_A_TIME: usize = 10;

pub(crate) struct Campaign {
    pub(crate) emulator: Emulator,
    pub(crate) store: Store,
}

impl Campaign {
    /// `settings` of a store, without its base URL.
    pub(crate) async fn start(settings: &str) -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        Self { store: open(&emulator, settings), emulator }
    }

    /// As another process sees it, that remembers nothing.
    pub(crate) fn forget(&mut self, settings: &str) {
        self.store = open(&self.emulator, settings);
    }

    pub(crate) fn set_faults(&self, rules: &str) {
        self.emulator.set_faults(FaultPlan::from_toml(rules).unwrap());
    }

    /// How many requests met a fault so far.
    pub(crate) fn faults(&self) -> usize {
        self.emulator.journal().iter().filter(|entry| !entry.faults.is_empty()).count()
    }

    /// Uploads all files under these rules, then looks without them at what is there.
    pub(crate) async fn upload(&self, rules: &str) -> Uploaded {
        self.set_faults(rules);
        let outcomes: Vec<(usize, Result<StoredFile>)> = stream::iter(0..FILES)
            .map(|number| async move { (number, self.store.upload(Upload::new(name(number), content(number))).await) })
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        self.set_faults("");
        let listed: Vec<StoredFile> = self.store.list_all(List::new()).try_collect().await.unwrap();
        let mut there: HashMap<String, Vec<FileRef>> = HashMap::new();
        for file in listed {
            there.entry(file.name).or_default().push(file.reference);
        }
        let mut uploaded = Uploaded::default();
        for (number, outcome) in outcomes {
            let found = there.remove(&name(number)).unwrap_or_default();
            self.check(number, outcome, &found, &mut uploaded).await;
        }
        assert!(there.is_empty(), "nobody sent {there:?}");
        uploaded
    }

    async fn check(&self, number: usize, outcome: Result<StoredFile>, found: &[FileRef], uploaded: &mut Uploaded) {
        let unsure = outcome.as_ref().is_err_and(|error| error.effect() == Effect::Unknown);
        assert!(found.len() <= 1 || unsure, "{} is there {} times: {outcome:?}", name(number), found.len());
        let stored = match &outcome {
            Ok(file) => Some(&file.reference),
            Err(error) => error.stored().map(StoredFile::reference),
        };
        match (&outcome, stored) {
            (_, Some(reference)) => assert!(found.contains(reference), "{} is lost: {outcome:?}", name(number)),
            (Err(error), None) if error.effect() != Effect::Unknown => {
                assert_ne!(error.effect(), Effect::Applied, "{error:?} does not say what is stored");
                assert!(found.is_empty(), "{} is there all the same: {error:?}", name(number));
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

    /// Reads each of the files under these rules: what comes is right, or an error.
    pub(crate) async fn download(&self, uploaded: &Uploaded, rules: &str) -> Vec<Error> {
        self.set_faults(rules);
        let outcomes: Vec<_> = stream::iter(&uploaded.files)
            .map(|(number, file)| async { (*number, self.store.read(&file.reference, 1 << 20).await) })
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        self.set_faults("");
        let mut errors = Vec::new();
        for (number, outcome) in outcomes {
            match outcome {
                Ok(read) => assert_eq!(read, content(number), "{} came out different", name(number)),
                Err(error) => errors.push(error),
            }
        }
        errors
    }
}

fn open(emulator: &Emulator, settings: &str) -> Store {
    let text = format!("[stores.tested]\nbase_url = {:?}\n{settings}", emulator.url());
    let stores = Config::parse(&text, "campaign.toml").unwrap().open(&filestore::registry()).unwrap();
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

/// From nothing to 50 kB, each its own.
pub(crate) fn content(number: usize) -> Vec<u8> {
    let mut state = number as u32 + 1;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(number * 500).collect()
}
