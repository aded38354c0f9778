//! `filestore demo`: runs the same code against every backend with a real file, and checks every byte.
//!
//! The configuration text alone chooses the stores; [`run_steps`] is the same for all of them.

mod run_steps;

use std::path::{Path, PathBuf};

use filestore::{Config, Error, Result, Upload};
use filestore_emulator::{
    FILEIO_API_KEY, FILESCOM_API_KEY, Options, PUBNUB_PUBLISH_KEY, PUBNUB_SECRET_KEY, PUBNUB_SUBSCRIBE_KEY,
};
use tempfile::TempDir;

use self::run_steps::{Outcome, STEPS, StoreRun, run_steps};
use super::emulator;
use crate::args;
use crate::output;

/// The file to send if none is given and the current folder has no README.md.
const README: &str = include_str!("../../README.md");

pub(crate) async fn run(args: &args::Demo, quiet: bool) -> Result<u8> {
    let folder = TempDir::new().map_err(|error| Error::local(error, "write to", &std::env::temp_dir()))?;
    let file = file(args, folder.path())?;
    let emulator = emulator::start(Options { faults: args.faults.clone(), ..Options::default() }).await?;
    let text = configuration(folder.path(), emulator.url());
    let config = Config::parse(&text, folder.path().join("demo.toml"))?;
    let registry = filestore::registry();
    let stores = config.stores().iter().map(|store| store.open(&registry)).collect::<Result<Vec<_>>>()?;

    if !quiet {
        output::report(&format!("sending {} through every store", file.display()));
    }
    let mut runs = Vec::new();
    for store in &stores {
        runs.push(run_steps(store, &file, folder.path()).await);
    }
    emulator.shutdown().await;
    output::write_all(report(&runs).as_bytes())?;
    Ok(runs.iter().find_map(StoreRun::failure).unwrap_or(0))
}

fn file(args: &args::Demo, folder: &Path) -> Result<PathBuf> {
    match &args.file {
        // A file that cannot be read is an error of its own, not a failure of the stores.
        Some(path) => Upload::from_path(path).map(|_| path.clone()),
        None if Path::new("README.md").is_file() => Ok("README.md".into()),
        None => {
            let path = folder.join("README.md");
            std::fs::write(&path, README).map_err(|error| Error::local(error, "write", &path))?;
            Ok(path)
        }
    }
}

/// Returns a configuration text, as a user would write it into filestore.toml.
fn configuration(folder: &Path, emulator: &str) -> String {
    let root = folder.join("files");
    format!(
        r#"
[stores.fs]
backend = "fs"
root = {root:?}

[stores.memory]
backend = "memory"

[stores.pubnub]
backend = "pubnub"
base_url = {emulator:?}
channel = "demo"
user_id = "demo"
publish_key = {PUBNUB_PUBLISH_KEY:?}
subscribe_key = {PUBNUB_SUBSCRIBE_KEY:?}
secret_key = {PUBNUB_SECRET_KEY:?}

[stores.filescom]
backend = "filescom"
base_url = {emulator:?}
api_key = {FILESCOM_API_KEY:?}

[stores.fileio]
backend = "fileio"
base_url = {emulator:?}
api_key = {FILEIO_API_KEY:?}
"#
    )
}

/// Formats a table with a row for each store, and below it the steps that were skipped or failed.
fn report(runs: &[StoreRun]) -> String {
    let mut headings = vec!["STORE"];
    headings.extend(STEPS.iter().map(|step| step.heading()));
    headings.push("RESULT");
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for run in runs {
        let mut row = vec![run.store.clone()];
        for (step, outcome) in STEPS.iter().zip(&run.outcomes) {
            row.push(outcome.cell().to_owned());
            match outcome {
                Outcome::Passed => {}
                Outcome::NotReached => {}
                Outcome::Skipped(reason) => notes.push(format!("{}: no {}: {reason}", run.store, step.name())),
                Outcome::Failed { message, .. } => {
                    notes.push(format!("{}: {} FAILED: {message}", run.store, step.name()));
                }
            }
        }
        row.push(if run.passed() { "ok" } else { "FAILED" }.to_owned());
        rows.push(row);
    }
    let mut text = output::table(&headings, &rows);
    for note in notes {
        text.push_str(&output::visible(&note));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use filestore::{
        ByteStream, Capabilities, Delete, Download, Downloaded, FileStore, FileUrl, Layer, List, Page, Stat,
        StoredFile, Upload, UrlRequest,
    };
    use futures::TryStreamExt;

    use super::*;

    /// A store that flips the last bit of every chunk that is read.
    #[derive(Debug)]
    struct Flipping(Arc<dyn FileStore>);

    #[derive(Clone, Copy)]
    struct Flip;

    impl Layer for Flip {
        fn layer(&self, inner: Arc<dyn FileStore>) -> Arc<dyn FileStore> {
            Arc::new(Flipping(inner))
        }
    }

    #[async_trait]
    impl FileStore for Flipping {
        fn capabilities(&self) -> &Capabilities {
            self.0.capabilities()
        }
        async fn upload(&self, request: Upload) -> Result<StoredFile> {
            self.0.upload(request).await
        }
        async fn list(&self, request: List) -> Result<Page> {
            self.0.list(request).await
        }
        async fn stat(&self, request: Stat) -> Result<StoredFile> {
            self.0.stat(request).await
        }
        async fn download(&self, request: Download) -> Result<Downloaded> {
            let mut downloaded = self.0.download(request).await?;
            let flipped = downloaded.stream.map_ok(|chunk| {
                let mut bytes = chunk.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                bytes.into()
            });
            downloaded.stream = ByteStream::download(flipped, None);
            Ok(downloaded)
        }
        async fn delete(&self, request: Delete) -> Result<()> {
            self.0.delete(request).await
        }
        async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
            self.0.url(request).await
        }
    }

    async fn demo(layer: Option<Flip>) -> (bool, String) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("six.bin");
        std::fs::write(&file, b"sixsix").unwrap();
        let emulator = emulator::start(Options::default()).await.unwrap();
        let config =
            Config::parse(&configuration(folder.path(), emulator.url()), folder.path().join("demo.toml")).unwrap();
        let mut runs = Vec::new();
        for store in config.open(&filestore::registry()).unwrap().iter() {
            let store = match layer {
                Some(layer) => store.clone().layer(&layer),
                None => store.clone(),
            };
            runs.push(run_steps(&store, &file, folder.path()).await);
        }
        (runs.iter().all(StoreRun::passed), report(&runs))
    }

    #[tokio::test]
    async fn every_step_passes_on_correct_stores() {
        let (passed, report) = demo(None).await;
        assert!(passed, "{report}");
    }

    #[tokio::test]
    async fn a_byte_that_differs_fails_the_demo_and_is_named() {
        let (passed, report) = demo(Some(Flip)).await;
        assert!(!passed);
        assert!(report.contains("fs: download FAILED") && report.contains("byte 5"), "{report}");
    }
}
