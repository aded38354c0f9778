//! `filestore demo`: the same code against every backend, with a real file, every byte checked.
//!
//! The stores are chosen by configuration text alone; [`walk`] does not know which one it has.

mod run_steps;

use std::path::{Path, PathBuf};

use filestore::{Config, Error, Result, Upload};
use filestore_emulator::{
    FILEIO_API_KEY, FILESCOM_API_KEY, Options, PUBNUB_PUBLISH_KEY, PUBNUB_SECRET_KEY, PUBNUB_SUBSCRIBE_KEY,
};
use tempfile::TempDir;

use self::run_steps::{Outcome, STEPS, Walk, run_steps};
use super::emulator;
use crate::args;
use crate::output;

/// Sent around when no file is given and the current folder has no README.md.
const README: &str = include_str!("../../../../README.md");

pub(crate) async fn run(args: &args::Demo, quiet: bool) -> Result<u8> {
    let folder = TempDir::new().map_err(|error| Error::local(error, "write to", &std::env::temp_dir()))?;
    let file = file(args, folder.path())?;
    let emulator = emulator::start(Options { faults: args.faults.clone(), ..Options::default() }).await?;
    let text = configuration(folder.path(), emulator.url());
    let stores = Config::parse(&text, folder.path().join("demo.toml"))?.open(&filestore::registry())?;

    if !quiet {
        output::report(&format!("sending {} through every store", file.display()));
    }
    let mut walks = Vec::new();
    for store in stores.iter() {
        walks.push(run_steps(store, &file, folder.path()).await);
    }
    emulator.shutdown().await;
    output::write_all(report(&walks).as_bytes())?;
    Ok(walks.iter().find_map(Walk::failure).unwrap_or(0))
}

fn file(args: &args::Demo, folder: &Path) -> Result<PathBuf> {
    match &args.file {
        // A file that cannot be sent is not a failure of the stores.
        Some(path) => Upload::from_path(path).map(|_| path.clone()),
        None if Path::new("README.md").is_file() => Ok("README.md".into()),
        None => {
            let path = folder.join("README.md");
            std::fs::write(&path, README).map_err(|error| Error::local(error, "write", &path))?;
            Ok(path)
        }
    }
}

/// What a person would write into filestore.toml.
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

/// A row a store, and below what was skipped and what failed.
fn report(walks: &[Walk]) -> String {
    let mut headings = vec!["STORE"];
    headings.extend(STEPS.iter().map(|step| step.heading()));
    headings.push("RESULT");
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for walk in walks {
        let mut row = vec![walk.store.clone()];
        for (step, outcome) in STEPS.iter().zip(&walk.outcomes) {
            row.push(outcome.cell().to_owned());
            match outcome {
                Outcome::Held => {}
                Outcome::NotReached => {}
                Outcome::Skipped(reason) => notes.push(format!("{}: no {}: {reason}", walk.store, step.name())),
                Outcome::Failed { what, .. } => notes.push(format!("{}: {} FAILED: {what}", walk.store, step.name())),
            }
        }
        row.push(if walk.held() { "ok" } else { "FAILED" }.to_owned());
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
            let mut answer = self.0.download(request).await?;
            let flipped = answer.stream.map_ok(|chunk| {
                let mut bytes = chunk.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                bytes.into()
            });
            answer.stream = ByteStream::download(flipped, None);
            Ok(answer)
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
        let mut walks = Vec::new();
        for store in config.open(&filestore::registry()).unwrap().iter() {
            let store = match layer {
                Some(layer) => store.clone().layer(&layer),
                None => store.clone(),
            };
            walks.push(run_steps(&store, &file, folder.path()).await);
        }
        (walks.iter().all(Walk::held), report(&walks))
    }

    #[tokio::test]
    async fn every_step_holds_on_honest_stores() {
        let (held, report) = demo(None).await;
        assert!(held, "{report}");
    }

    #[tokio::test]
    async fn a_byte_that_differs_fails_the_demo_and_is_named() {
        let (held, report) = demo(Some(Flip)).await;
        assert!(!held);
        assert!(report.contains("fs: download FAILED") && report.contains("byte 5"), "{report}");
    }
}
