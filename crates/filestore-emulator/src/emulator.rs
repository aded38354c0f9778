//! Starting and ending an emulator.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::announce;
use crate::clock::Clock;
use crate::control::Guard;
use crate::credentials::Credentials;
use crate::durable;
use crate::faults::{FaultPlan, Faults};
use crate::fileio::FileIo;
use crate::journal::{Journal, JournalEntry};
use crate::options::Options;
use crate::server;
use crate::site::Site;
use crate::start_error::StartError;

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
    site: Arc<Site>,
    end: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    /// Held, not used: dropping it removes the temporary folder or unlocks the data directory.
    _storage: Storage,
}

/// Where files are, for as long as the emulator runs.
#[derive(Debug)]
enum Storage {
    /// Removed with everything in it.
    Temporary(TempDir),
    Kept {
        folder: PathBuf,
        _lock: File,
    },
}

impl Emulator {
    /// Starts an emulator, which answers requests when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running or listening.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        refuse_exposure(&options)?;
        let credentials = read_credentials(options.credentials.as_deref())?;
        let plan = read_faults(options.faults.as_deref())?;
        let storage = Storage::open(options.data_dir.as_deref())?;
        let listener = TcpListener::bind(options.listen).await;
        let (listener, address) = listener
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
            .map_err(|source| StartError::Listen { address: options.listen, source })?;
        let base = public_base(options.public_url.as_deref(), address)?;

        if let Some(path) = &options.write_config {
            announce::write_config(path, &base, &credentials).map_err(cannot_write(path))?;
        }
        let site = Arc::new(storage.site(base, credentials, &options, address)?);
        site.faults.load(plan);
        site.fileio.sweep().await;
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&site), ended));
        let sweeping = tokio::spawn(sweep_for_ever(Arc::clone(&site)));
        let emulator = Emulator { address, site, end: Some(end), serving, sweeping, _storage: storage };
        if let Some(path) = &options.ready_file {
            announce::write_ready_file(path, address).map_err(cannot_write(path))?;
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

fn refuse_exposure(options: &Options) -> Result<(), StartError> {
    if let Some(token) = &options.control_token
        && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(StartError::ControlToken);
    }
    let guarded = options.credentials.is_some() && options.control_token.is_some();
    if options.listen.ip().is_loopback() || guarded { Ok(()) } else { Err(StartError::Exposed(options.listen)) }
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

async fn sweep_for_ever(site: Arc<Site>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        site.fileio.sweep().await;
    }
}

impl Storage {
    fn open(data_dir: Option<&Path>) -> Result<Self, StartError> {
        let Some(folder) = data_dir else {
            let folder = tempfile::Builder::new().prefix("filestore-emulator-").tempdir();
            return folder.map(Storage::Temporary).map_err(StartError::TemporaryFolder);
        };
        let unusable = |source| StartError::DataDir { path: folder.to_owned(), source };
        durable::create_private_folder(folder).map_err(unusable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // Absolute, so that a later change of the working directory moves nothing.
        let folder = fs::canonicalize(folder).map_err(unusable)?;
        Ok(Storage::Kept { folder, _lock: lock })
    }

    fn site(
        &self,
        base: String,
        credentials: Credentials,
        options: &Options,
        address: SocketAddr,
    ) -> Result<Site, StartError> {
        let users = credentials.fileio;
        let (clock, fileio) = match self {
            Storage::Temporary(folder) => {
                let clock = Clock::in_memory();
                let fileio = FileIo::in_memory(&folder.path().join("fileio"), users, clock.clone(), base.clone());
                (clock, fileio.map_err(StartError::TemporaryFolder)?)
            }
            Storage::Kept { folder, .. } => {
                let unusable = |source| StartError::DataDir { path: folder.clone(), source };
                let clock = Clock::kept_in(folder.join("clock")).map_err(unusable)?;
                let fileio = FileIo::kept_in(&folder.join("fileio"), users, clock.clone(), base.clone());
                (clock, fileio.map_err(unusable)?)
            }
        };
        Ok(Site {
            guard: Guard::new(address, &base, options.control_token.clone()),
            base,
            clock,
            journal: Journal::default(),
            faults: Faults::default(),
            fileio,
        })
    }
}
