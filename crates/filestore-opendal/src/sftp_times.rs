//! [`SftpTimes`]: sets the modification times of files over SFTP, which OpenDAL cannot do.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use filestore_core::{Effect, Error, ErrorKind, Result, Settings};
use jiff::Timestamp;
use openssh::{KnownHosts, SessionBuilder};
use openssh_sftp_client::metadata::MetaDataBuilder;
use openssh_sftp_client::{Sftp, SftpOptions, UnixTimeStamp};
use tokio::sync::Mutex;

/// The longest time of one change, with the connection.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection of its own to the server of a store, opened on first use.
pub(crate) struct SftpTimes {
    endpoint: String,
    user: Option<String>,
    key: Option<String>,
    known_hosts: KnownHosts,
    /// The folder that paths are relative to: empty for the login folder.
    root: String,
    session: Mutex<Option<Sftp>>,
}

impl SftpTimes {
    /// Reads the options of a store in the folder `root`. `None` without an endpoint.
    pub(crate) fn from_options(options: &Settings, root: &str) -> Option<Self> {
        let known_hosts = match options.text("known_hosts_strategy").unwrap_or_default().to_lowercase().as_str() {
            "accept" => KnownHosts::Accept,
            "add" => KnownHosts::Add,
            _ => KnownHosts::Strict,
        };
        Some(Self {
            endpoint: options.text("endpoint")?.to_owned(),
            user: options.text("user").map(str::to_owned),
            key: options.text("key").map(str::to_owned),
            known_hosts,
            root: root.to_owned(),
            session: Mutex::default(),
        })
    }

    /// Sets the modification time of the file `path`, in whole seconds.
    pub(crate) async fn set(&self, path: &str, modified: Timestamp) -> Result<()> {
        let time = time_of(modified)?;
        let path = format!("{}{path}", self.root);
        let setting = async {
            let mut session = self.session.lock().await;
            // The server may have closed a connection that was idle.
            let was_open = session.is_some();
            match self.set_in(&mut session, &path, time).await {
                Err(_) if was_open => self.set_in(&mut session, &path, time).await,
                outcome => outcome,
            }
        };
        let failed = |problem: String| {
            let message = format!("the modification time of the file cannot be set: {problem}");
            Error::new(ErrorKind::Unavailable, Effect::Rejected, message)
        };
        tokio::time::timeout(TIMEOUT, setting)
            .await
            .map_err(|_| failed("the server does not respond".into()))?
            .map_err(failed)
    }

    async fn set_in(&self, session: &mut Option<Sftp>, path: &str, time: UnixTimeStamp) -> Result<(), String> {
        let sftp = match session.take() {
            Some(sftp) => sftp,
            None => self.connect().await?,
        };
        let metadata = MetaDataBuilder::new().time(time, time).create();
        sftp.fs().set_metadata(path, metadata).await.map_err(|error| error.to_string())?;
        *session = Some(sftp);
        Ok(())
    }

    async fn connect(&self) -> Result<Sftp, String> {
        let mut builder = SessionBuilder::default();
        builder.known_hosts_check(self.known_hosts.clone());
        if let Some(user) = &self.user {
            builder.user(user.clone());
        }
        if let Some(key) = &self.key {
            builder.keyfile(key);
        }
        let session = builder.connect(&self.endpoint).await.map_err(|error| error.to_string())?;
        Sftp::from_session(session, SftpOptions::default()).await.map_err(|error| error.to_string())
    }
}

/// The modification time of a file that is uploaded.
pub(crate) struct TimeToSet {
    pub(crate) times: Arc<SftpTimes>,
    pub(crate) modified: Timestamp,
    /// `true` if the upload fails without it.
    pub(crate) is_required: bool,
}

impl TimeToSet {
    /// Sets the time of the file `path`. Returns it, or `Err` if the server does not keep it and need not.
    pub(crate) async fn set(&self, path: &str) -> Result<Result<Timestamp, ()>> {
        match self.times.set(path, self.modified).await {
            Ok(()) => Ok(Ok(self.modified)),
            Err(error) if self.is_required => Err(error),
            Err(_) => Ok(Err(())),
        }
    }
}

/// Returns the time for the server. *Unsupported* for a time that SFTP cannot express, before 1970 or after 2106.
pub(crate) fn time_of(modified: Timestamp) -> Result<UnixTimeStamp> {
    UnixTimeStamp::new(SystemTime::from(modified))
        .map_err(|_| Error::unsupported("SFTP keeps times from 1970 to 2106; set another modification time"))
}

impl fmt::Debug for SftpTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpTimes").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
