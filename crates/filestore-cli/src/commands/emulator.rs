//! `filestore emulator`: runs the emulator until a signal ends it.

use std::net::SocketAddr;

use filestore::{Effect, Error, ErrorKind, Result};
use filestore_emulator::{Emulator, Options, StartError};

use crate::args;
use crate::context::secret;
use crate::output;

pub(crate) async fn run(args: &args::Emulator, quiet: bool) -> Result<u8> {
    // Before the socket listens: a process that sees the emulator ready may send a signal at once.
    let mut signals = EndSignals::new()?;
    let listen = resolve(&args.listen).await?;
    let emulator = start(options(args, listen)?).await?;
    if !quiet {
        emulator.warnings().iter().for_each(|warning| output::report(&format!("warning: {warning}")));
    }
    output::line(format!("listening on http://{}", emulator.addr()))?;
    signals.wait().await;
    emulator.shutdown().await;
    Ok(0)
}

/// Starts an emulator. An invalid file or address is a *config* error.
pub(crate) async fn start(options: Options) -> Result<Emulator> {
    Emulator::start(options).await.map_err(|error| {
        let kind = match error {
            StartError::TemporaryFolder(_) | StartError::Write { .. } | StartError::DataDir { .. } => ErrorKind::Io,
            _ => ErrorKind::Config,
        };
        Error::new(kind, Effect::NotSent, error.to_string()).with_source(error)
    })
}

/// Returns the address of `--listen`. Of a name with several, one that other machines can reach comes first, so that the
/// emulator rejects the name if it is not safe, and then 127.0.0.1.
async fn resolve(listen: &str) -> Result<SocketAddr> {
    let problem = |text: String| {
        let advice = "give an IP address or a host name, and a port: 127.0.0.1:7070";
        Error::new(ErrorKind::Config, Effect::NotSent, format!("--listen {listen}: {text}; {advice}"))
    };
    let addresses = tokio::net::lookup_host(listen).await;
    let addresses = addresses.map_err(|error| problem(error.to_string()).with_source(error))?;
    let preferred = addresses.min_by_key(|address| (address.ip().is_loopback(), address.is_ipv6()));
    preferred.ok_or_else(|| problem("the name has no address".to_owned()))
}

fn options(args: &args::Emulator, listen: SocketAddr) -> Result<Options> {
    let control_token = args.control_token.as_deref().map(|token| secret("--control-token", token)).transpose()?;
    Ok(Options {
        listen,
        ready_file: args.ready_file.clone(),
        write_config: args.write_config.clone(),
        data_dir: args.data_dir.clone(),
        faults: args.faults.clone(),
        credentials: args.credentials.clone(),
        public_url: args.public_url.clone(),
        control_token,
        pubnub_require_signature: args.pubnub_require_signature,
        strict_signature: args.strict_signature,
        ..Options::default()
    })
}

/// The signals that end the emulator.
struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl EndSignals {
    fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|error| {
                Error::new(ErrorKind::Io, Effect::NotSent, format!("cannot wait for signals: {error}"))
            })?,
        })
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
