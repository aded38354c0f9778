//! The stores of one run: a new emulator, a server of S3 and a local folder. They live in this process, so that they
//! outlive the migrations that are killed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use filestore::{ErrorKind, List, Store, StoredFile, Stores};
use filestore_emulator::{Emulator, Options};
use filestore_testbed::s3::{BUCKET, S3};
use filestore_testbed::{Result, failed};
use futures::TryStreamExt;
use serde_json::json;
use tempfile::TempDir;

use crate::place::{Place, StoreName};

/// The size of a part of Files.com, in bytes: small enough that usual files have several parts.
const PART_SIZE: u64 = 65_536;

/// The folder of a local store for its unfinished uploads.
const TEMPORARY_FOLDER: &str = ".filestore-tmp";

/// The pause between two looks at what is under way.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Environment {
    folder: TempDir,
    emulator: Emulator,
    s3: Arc<S3>,
    stores: Stores,
    http: reqwest::Client,
}

impl Environment {
    pub(crate) async fn start() -> Result<Self> {
        let folder = TempDir::with_prefix("filestore-migrations-").map_err(failed("create a folder"))?;
        let configuration = folder.path().join("stores.toml");
        let options = Options { write_config: Some(configuration.clone()), ..Options::default() };
        let emulator = Emulator::start(options).await.map_err(failed("start the emulator"))?;
        let (s3, address) = S3::start().await.map_err(failed("start the server of S3"))?;
        let services = fs::read_to_string(&configuration).map_err(failed("read the configuration"))?;
        let local = format!(
            "\n[stores.fs]\nbackend = \"fs\"\nroot = \"fs\"\n\n[stores.fs2]\nbackend = \"fs\"\nroot = \"fs2\"\n\n[stores.s3]\nbackend = \"opendal\"\nservice = \"s3\"\n\n\
             [stores.s3.options]\nendpoint = \"http://{address}\"\nbucket = \"{BUCKET}\"\nregion = \"us-east-1\"\n\
             access_key_id = \"key\"\nsecret_access_key = \"secret\"\n"
        );
        fs::write(&configuration, services + &local).map_err(failed("write the configuration"))?;
        let stores = filestore::open(&configuration).map_err(failed("open the stores"))?;
        let http = reqwest::Client::builder().no_proxy().build().map_err(failed("create a client"))?;
        let environment = Self { folder, emulator, s3, stores, http };
        let settings = environment.http.put(environment.control("filescom/settings"));
        send(settings.json(&json!({ "part_size": PART_SIZE }))).await?;
        Ok(environment)
    }

    /// Returns the folder of the run.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.path().join("stores.toml")
    }

    /// Returns the root of a local store.
    pub(crate) fn root(&self, store: StoreName) -> PathBuf {
        self.path().join(store.as_str())
    }

    pub(crate) fn store(&self, name: StoreName) -> Result<&Store> {
        self.stores.get(name.as_str()).map_err(failed("open a store"))
    }

    /// Returns all files of a place.
    pub(crate) async fn list(&self, place: &Place) -> Result<Vec<StoredFile>> {
        let mut request = List::new().recursive(place.scope.is_some());
        request.scope.clone_from(&place.scope);
        match self.store(place.store)?.list_all(request).try_collect().await {
            // The first upload creates the folder.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            files => files.map_err(failed("list a store")),
        }
    }

    /// Returns the names of the files that are being written to a local store, and of those that a killed process has left.
    pub(crate) fn temporary_files(&self, store: StoreName) -> HashSet<OsString> {
        let entries = fs::read_dir(self.root(store).join(TEMPORARY_FOLDER)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    }

    /// Returns the number of requests that the services have received and not finished.
    pub(crate) fn requests_under_way(&self) -> usize {
        self.s3.running_requests() + self.emulator.unfinished().len()
    }

    /// Waits until the requests that are under way now have ended. The service of a killed client goes on with a request
    /// that it has received completely; no later listing could exclude that its file is stored yet.
    pub(crate) async fn settle(&self) {
        let numbers = || self.emulator.unfinished().into_iter().map(|entry| entry.number);
        let begun: HashSet<u64> = numbers().collect();
        while self.s3.running_requests() > 0 || numbers().any(|number| begun.contains(&number)) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns the keys whose reads file.io has received since the last call.
    pub(crate) async fn take_keys_read(&self) -> Result<Vec<String>> {
        let reads = self.emulator.journal().into_iter();
        let reads = reads.filter(|entry| entry.service == Some("fileio") && entry.operation == Some("download"));
        let keys = reads.filter_map(|entry| entry.key).collect();
        send(self.http.delete(self.control("journal"))).await?;
        Ok(keys)
    }

    /// Returns the URL of a route of the control API.
    fn control(&self, route: &str) -> String {
        format!("{}/_emulator/{route}", self.emulator.url())
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<()> {
    let response = request.send().await.and_then(reqwest::Response::error_for_status);
    response.map(drop).map_err(failed("control the emulator"))
}
