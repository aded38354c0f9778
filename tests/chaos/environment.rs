//! The environment of a run: one emulator, a local folder, and the clients' stores. It starts, restarts and kills the
//! emulator, and tells when no request is under way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use filestore::filescom::FilesComStore;
use filestore::{Cleanup, Stores};
use filestore_emulator::{
    Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options, PUBNUB_PUBLISH_KEY, PUBNUB_SUBSCRIBE_KEY, StartError,
};
use filestore_testbed::{Result, failed};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// The size of a part of Files.com, in bytes: small enough that usual files have several parts.
const PART_SIZE: u64 = 65_536;

/// The longest time of the start of an emulator.
const STARTED: Duration = Duration::from_secs(30);

/// The pause between two requests for the state of the emulator.
const PAUSE: Duration = Duration::from_millis(1);

/// The emulator and the stores.
#[derive(Debug)]
pub struct Environment {
    folder: TempDir,
    address: SocketAddr,
    emulator: Mutex<Option<Running>>,
    /// The command-line program, if it runs the operations.
    pub program: Option<PathBuf>,
    /// The URL of the bucket of a server of S3 that accepts every signature.
    pub bucket: Option<String>,
    /// The stores, if the library runs the operations.
    pub stores: Stores,
    /// The store `filescom`, with copies and moves.
    pub filescom: FilesComStore,
    pub http: reqwest::Client,
}

#[derive(Debug)]
enum Running {
    Here(Emulator),
    Process(Child),
}

impl Environment {
    /// Starts an emulator in this process, or that of `program`, and opens the stores.
    pub async fn start(program: Option<PathBuf>, s3: Option<String>) -> Result<Self> {
        let folder = TempDir::with_prefix("filestore-chaos-").map_err(failed("create a folder"))?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed("find a free port"))?;
        let address = listener.local_addr().map_err(failed("find a free port"))?;
        drop(listener);
        let path = folder.path().join("stores.toml");
        std::fs::write(&path, configuration(address, folder.path(), s3.as_deref()))
            .map_err(failed("write the configuration"))?;
        let (stores, filescom) = open(&path).map_err(failed("open the stores"))?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        let http = http.map_err(failed("create a client"))?;
        let bucket = s3.map(|endpoint| format!("{endpoint}/{}", bucket_of(address)));
        if let Some(bucket) = &bucket {
            http.put(bucket).send().await.map_err(failed("create the bucket"))?;
        }
        let environment = Self { folder, address, emulator: Mutex::new(None), program, bucket, stores, filescom, http };
        environment.start_emulator().await?;
        Ok(environment)
    }

    /// Returns the folder of the run.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.path().join("stores.toml")
    }

    /// Returns the root of the store `fs`.
    pub fn fs_root(&self) -> PathBuf {
        self.path().join("fs")
    }

    /// Returns the URL of `path` at the emulator.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn start_emulator(&self) -> Result<()> {
        let data = self.path().join("emulator");
        let running = match &self.program {
            None => {
                let options = Options { listen: self.address, data_dir: Some(data), ..Options::default() };
                // The tasks of an emulator that was dropped end soon, and with them its use of the address.
                let started = timeout(STARTED, async {
                    loop {
                        match Emulator::start(options.clone()).await {
                            Err(StartError::Listen { .. }) => sleep(PAUSE).await,
                            started => return started,
                        }
                    }
                });
                let started = started.await.map_err(failed("start the emulator"))?;
                Running::Here(started.map_err(failed("start the emulator"))?)
            }
            Some(program) => {
                let ready = self.path().join("ready");
                let _ = std::fs::remove_file(&ready);
                let child = Command::new(program)
                    .args(["--quiet", "emulator", "--listen", &self.address.to_string(), "--data-dir"])
                    .arg(data)
                    .arg("--ready-file")
                    .arg(&ready)
                    .stdout(Stdio::null())
                    .kill_on_drop(true)
                    .spawn();
                let mut child = child.map_err(failed("start the emulator"))?;
                while !ready.exists() {
                    if let Ok(Some(status)) = child.try_wait() {
                        return Err(format!("the emulator ended at its start: {status}"));
                    }
                    sleep(PAUSE).await;
                }
                Running::Process(child)
            }
        };
        *self.emulator.lock().await = Some(running);
        let settings = json!({ "part_size": PART_SIZE });
        let request = self.http.put(self.url("/_emulator/filescom/settings")).json(&settings);
        self.control(request).await.map(drop)
    }

    /// Ends the emulator while no request is under way, and starts it again.
    pub async fn restart(&self) -> Result<()> {
        let running = self.emulator.lock().await.take();
        match running {
            Some(Running::Here(emulator)) => drop(emulator),
            Some(Running::Process(mut child)) => {
                let id = child.id().unwrap_or_default().to_string();
                let _ = Command::new("kill").args(["-s", "TERM", &id]).status().await;
                child.wait().await.map_err(failed("end the emulator"))?;
            }
            None => {}
        }
        self.start_emulator().await
    }

    /// Kills the process of the emulator, and starts it again.
    pub async fn kill_and_start(&self) -> Result<()> {
        let running = self.emulator.lock().await.take();
        if let Some(Running::Process(mut child)) = running {
            child.kill().await.map_err(failed("kill the emulator"))?;
        }
        self.start_emulator().await
    }

    /// Sends a request to the control API.
    pub async fn control(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let response = request.send().await.map_err(failed("control the emulator"))?;
        let (status, text) = (response.status(), response.text().await.map_err(failed("control the emulator"))?);
        match status.is_success() {
            true => Ok(serde_json::from_str(&text).unwrap_or_default()),
            false => Err(format!("control the emulator: {status} {text}")),
        }
    }

    /// Replaces the fault rules.
    pub async fn set_faults(&self, seed: u64, rules: &[String]) -> Result<()> {
        let request = self.http.put(self.url("/_emulator/faults"));
        self.control(request.body(format!("seed = {seed}\n{}", rules.concat()))).await.map(drop)
    }

    /// Moves the clock of the services.
    pub async fn advance(&self, hours: u32) -> Result<()> {
        let request = self.http.post(self.url("/_emulator/clock"));
        self.control(request.json(&json!({ "advance": format!("{hours}h") }))).await.map(drop)
    }

    /// Returns the time of the services.
    pub async fn now(&self) -> Result<jiff::Timestamp> {
        let clock = self.control(self.http.get(self.url("/_emulator/clock"))).await?;
        clock["now"].as_str().unwrap_or_default().parse().map_err(failed("read the clock"))
    }

    /// Removes the entries of the journal.
    pub async fn empty_journal(&self) -> Result<()> {
        self.control(self.http.delete(self.url("/_emulator/journal"))).await.map(drop)
    }

    async fn journal(&self) -> Result<Vec<Value>> {
        let journal = self.control(self.http.get(self.url("/_emulator/journal"))).await?;
        Ok(journal["entries"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until the emulator has received `requests` requests since the journal was emptied.
    pub async fn received(&self, requests: u64) {
        while self.journal().await.is_ok_and(|entries| (entries.len() as u64) < requests) {
            sleep(PAUSE).await;
        }
    }

    /// Waits until no cleanup of this process and no request at the emulator is under way. Returns the names of the
    /// faults that fired.
    pub async fn quiet(&self) -> Result<Vec<String>> {
        Cleanup::all_ended().await;
        loop {
            let entries = self.journal().await?;
            if entries.iter().all(|entry| entry["finished"] == true) {
                let fired = entries.iter().filter_map(|entry| entry["faults"].as_array()).flatten();
                return Ok(fired.filter_map(|name| name.as_str().map(str::to_owned)).collect());
            }
            sleep(PAUSE).await;
        }
    }
}

fn open(path: &Path) -> filestore::Result<(Stores, FilesComStore)> {
    let stores = filestore::open(path)?;
    let filescom = stores.backend::<FilesComStore>("filescom")?.clone();
    Ok((stores, filescom))
}

/// Returns the name of a bucket that no other run uses.
fn bucket_of(address: SocketAddr) -> String {
    format!("chaos-{}-{}", std::process::id(), address.port())
}

/// Returns a configuration with all stores. The limits are short, so that stalls end soon.
fn configuration(address: SocketAddr, folder: &Path, s3: Option<&str>) -> String {
    let root = folder.join("fs").display().to_string();
    let limits = "initial_retry_delay = \"1ms\"\nmax_retry_delay = \"2ms\"\nidle_timeout = \"200ms\"\n\
                  response_timeout = \"300ms\"\n";
    let s3 = s3.map(|endpoint| {
        format!(
            "\n[stores.s3]\nbackend = \"opendal\"\nservice = \"s3\"\n\n[stores.s3.options]\nendpoint = \"{endpoint}\"\n\
             bucket = \"{}\"\nregion = \"us-east-1\"\naccess_key_id = \"key\"\nsecret_access_key = \"secret\"\n",
            bucket_of(address)
        )
    });
    let s3 = s3.unwrap_or_default();
    format!(
        "[stores.pubnub]\nbackend = \"pubnub\"\nbase_url = \"http://{address}\"\npublish_key = {PUBNUB_PUBLISH_KEY:?}\n\
         subscribe_key = {PUBNUB_SUBSCRIBE_KEY:?}\nuser_id = \"chaos\"\n{limits}\n\
         [stores.filescom]\nbackend = \"filescom\"\nbase_url = \"http://{address}\"\napi_key = {FILESCOM_API_KEY:?}\n\
         {limits}\n\
         [stores.fileio]\nbackend = \"fileio\"\nbase_url = \"http://{address}\"\napi_key = {FILEIO_API_KEY:?}\n{limits}\n\
         [stores.fs]\nbackend = \"fs\"\nroot = {root:?}\n\n\
         [stores.memory]\nbackend = \"memory\"\n{s3}"
    )
}
