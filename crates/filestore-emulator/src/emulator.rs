//! Starting and ending an emulator.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::app_state::AppState;
use crate::bind_policy;
use crate::clock::Clock;
use crate::control_auth::ControlAuth;
use crate::credentials_file::Credentials;
use crate::faults::{FaultPlan, Faults};
use crate::fileio::FileIo;
use crate::filescom::FilesCom;
use crate::journal::{Journal, JournalEntry};
use crate::options::Options;
use crate::pubnub::PubNub;
use crate::server;
use crate::service::ServiceName;
use crate::start_error::StartError;
use crate::startup_files;
use crate::storage::{ServiceContext, Storage};

/// How often expired files are looked for in real time. Nobody sees them before that either.
const SWEEP: Duration = Duration::from_secs(60);

/// A running emulator. Dropping it ends it without waiting; [`Emulator::shutdown`] is the
/// orderly way.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use filestore_emulator::{Emulator, FaultPlan, Options};
///
/// let emulator = Emulator::start(Options::default()).await?;
/// println!("point a client at {}", emulator.url());
/// emulator.clock().advance(Duration::from_secs(15 * 24 * 3600))?;
/// emulator.set_faults(FaultPlan::from_toml("[[fault]]\ndo = 'lost-answer'")?);
/// assert!(emulator.journal().is_empty());
/// emulator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    site: Arc<AppState>,
    warnings: Vec<String>,
    end: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    /// Held, not used.
    _storage: Storage,
}

impl Emulator {
    /// Starts an emulator, which answers requests when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running or listening.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        bind_policy::reject(&options)?;
        let credentials = read_credentials(options.credentials.as_deref())?;
        let plan = read_faults(options.faults.as_deref())?;
        let storage = Storage::open(options.data_dir.as_deref())?;
        let listener = TcpListener::bind(options.listen).await;
        let (listener, address) = listener
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
            .map_err(|source| StartError::Listen { address: options.listen, source })?;
        let base = public_base(options.public_url.as_deref(), address)?;

        if let Some(path) = &options.write_config {
            startup_files::write_config(path, &base, &credentials).map_err(cannot_write(path))?;
        }
        let warnings = bind_policy::warnings(&options, &base);
        let site = Arc::new(app_state(&storage, base, credentials, &options, address)?);
        site.faults.load(plan);
        site.sweep().await;
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&site), ended));
        let sweeping = tokio::spawn(sweep_for_ever(Arc::clone(&site)));
        let emulator = Emulator { address, site, warnings, end: Some(end), serving, sweeping, _storage: storage };
        if let Some(path) = &options.ready_file {
            startup_files::write_ready_file(path, address).map_err(cannot_write(path))?;
        }
        Ok(emulator)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What clients are pointed at: the public URL, or `http://ADDR`. No slash at the end.
    pub fn url(&self) -> &str {
        &self.site.base
    }

    /// What whoever started it should be told, one sentence each: it is allowed, but hardly meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The clock of every service.
    pub fn clock(&self) -> &Clock {
        &self.site.clock
    }

    /// The requests so far, oldest first. The control API's own are not in it.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.site.journal.entries_now()
    }

    /// Replaces the fault rules; counting begins anew. `FaultPlan::default()` has none.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.site.faults.load(plan);
    }

    /// Forgets files, faults, journal and clock offset.
    ///
    /// # Errors
    /// With a data directory, when something could not be removed from it.
    pub async fn reset(&self) -> io::Result<()> {
        self.site.reset().await
    }

    /// Ends it: no new connections, two seconds for what is being served, then the temporary
    /// folder is removed.
    pub async fn shutdown(mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "serving ended abnormally");
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.serving.abort();
        self.sweeping.abort();
    }
}

fn read_credentials(path: Option<&Path>) -> Result<Credentials, StartError> {
    match path {
        None => Ok(Credentials::fixed()),
        Some(path) => {
            Credentials::read(path).map_err(|source| StartError::Credentials { path: path.to_owned(), source })
        }
    }
}

fn read_faults(path: Option<&Path>) -> Result<FaultPlan, StartError> {
    match path {
        None => Ok(FaultPlan::default()),
        Some(path) => FaultPlan::read(path).map_err(|source| StartError::Faults { path: path.to_owned(), source }),
    }
}

fn public_base(public_url: Option<&str>, address: SocketAddr) -> Result<String, StartError> {
    let Some(text) = public_url else {
        return Ok(format!("http://{address}"));
    };
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    let url = url.ok_or_else(|| StartError::PublicUrl(text.to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(StartError::PublicUser);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Write { path, source }
}

async fn sweep_for_ever(site: Arc<AppState>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        site.sweep().await;
    }
}

fn app_state(
    storage: &Storage,
    base: String,
    credentials: Credentials,
    options: &Options,
    address: SocketAddr,
) -> Result<AppState, StartError> {
    let Credentials { pubnub, filescom, fileio } = credentials;
    let unusable = |source| match storage {
        Storage::Temporary { .. } => StartError::TemporaryFolder(source),
        Storage::Kept { folder, .. } => StartError::DataDir { path: folder.clone(), source },
    };
    let (clock, kept) = match storage {
        Storage::Temporary { .. } => (Clock::in_memory(), false),
        Storage::Kept { folder, .. } => (Clock::kept_in(folder.join("clock")).map_err(unusable)?, true),
    };
    let ground =
        |service| ServiceContext { folder: storage.folder(service), kept, clock: clock.clone(), base: base.clone() };
    Ok(AppState {
        guard: ControlAuth::new(address, &base, options.control_token.clone()),
        journal: Journal::default(),
        faults: Faults::default(),
        pubnub: PubNub::open(ground(ServiceName::Pubnub), pubnub, options).map_err(unusable)?,
        filescom: FilesCom::open(ground(ServiceName::Filescom), filescom).map_err(unusable)?,
        fileio: FileIo::open(ground(ServiceName::Fileio), fileio).map_err(unusable)?,
        base,
        clock,
    })
}
