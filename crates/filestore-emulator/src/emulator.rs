//! Start and shutdown of an emulator.

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
use crate::durable::Damage;
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

/// The interval in real time at which expired files are removed. Clients cannot see an expired file before that
/// either.
const SWEEP: Duration = Duration::from_secs(60);

/// A running emulator. Dropping it aborts open connections; [`Emulator::shutdown`] lets requests finish.
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
    state: Arc<AppState>,
    warnings: Vec<String>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    /// Held for its `Drop`: removes the temporary folder or unlocks the data directory.
    _storage: Storage,
}

impl Emulator {
    /// Starts an emulator. It accepts requests when this returns.
    ///
    /// # Errors
    /// See [`StartError`]. After an error, nothing runs or listens.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        bind_policy::check(&options)?;
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
        let mut warnings = bind_policy::warnings(&options, &base);
        let state = Arc::new(app_state(&storage, base, credentials, &options, address)?);
        warnings.extend(state.damaged.iter().map(ToString::to_string));
        state.faults.load(plan);
        state.sweep().await;
        let (shutdown, shutdown_signal) = oneshot::channel();
        let serving =
            tokio::spawn(server::serve(listener, options.max_connections, Arc::clone(&state), shutdown_signal));
        let sweeping = tokio::spawn(sweep_forever(Arc::clone(&state)));
        let emulator =
            Emulator { address, state, warnings, shutdown: Some(shutdown), serving, sweeping, _storage: storage };
        if let Some(path) = &options.ready_file {
            startup_files::write_ready_file(path, address).map_err(cannot_write(path))?;
        }
        Ok(emulator)
    }

    /// Returns the address that the emulator listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL for clients: the public URL, or `http://ADDR`. It has no trailing slash.
    pub fn url(&self) -> &str {
        &self.state.base
    }

    /// Returns warnings, one sentence each: about options that are allowed but probably a mistake, and about damaged files
    /// of the data directory.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the clock of all services.
    pub fn clock(&self) -> &Clock {
        &self.state.clock
    }

    /// Returns the journal: the requests so far, oldest first, at most the last 10,000. Requests to the control API are
    /// not recorded.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.state.journal.snapshot()
    }

    /// Returns the entries of the [journal](Self::journal) whose requests the emulator is still serving, oldest first.
    pub fn unfinished(&self) -> Vec<JournalEntry> {
        self.state.journal.unfinished()
    }

    /// Replaces the fault rules and resets their counters. `FaultPlan::default()` has no rules.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.state.faults.load(plan);
    }

    /// Removes all files, messages, grants, fault rules and journal entries, and resets the clock and changed settings.
    ///
    /// # Errors
    /// With a data directory, a file in it cannot be removed or written.
    pub async fn reset(&self) -> io::Result<()> {
        self.state.reset().await
    }

    /// Shuts the emulator down: it accepts no new connections, gives open requests two seconds to finish, and removes
    /// the temporary folder.
    pub async fn shutdown(mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
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

async fn sweep_forever(state: Arc<AppState>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        state.sweep().await;
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
        Storage::DataDir { folder, .. } => StartError::DataDir { path: folder.clone(), source },
    };
    let mut damage = Damage::default();
    let (clock, kept) = match storage {
        Storage::Temporary { .. } => (Clock::in_memory(), false),
        Storage::DataDir { folder, .. } => (Clock::durable(folder.join("clock"), &mut damage), true),
    };
    let context =
        |service| ServiceContext { folder: storage.folder(service), kept, clock: clock.clone(), base: base.clone() };
    Ok(AppState {
        control_auth: ControlAuth::new(address, &base, options.control_token.clone()),
        body_timeout: options.body_timeout,
        response_timeout: options.response_timeout,
        journal: Journal::default(),
        faults: Faults::default(),
        pubnub: PubNub::open(context(ServiceName::Pubnub), pubnub, options, &mut damage).map_err(unusable)?,
        filescom: FilesCom::open(context(ServiceName::Filescom), filescom, &mut damage).map_err(unusable)?,
        fileio: FileIo::open(context(ServiceName::Fileio), fileio, &mut damage).map_err(unusable)?,
        damaged: damage.0,
        base,
        clock,
    })
}
