//! The command line program of filestore: the same commands for every store.

mod args;
mod commands;
mod context;
mod exit;
mod output;
mod progress;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.quiet);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("error: cannot start: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(async {
        // The emulator ends cleanly on a signal by itself; everything else is dropped, which removes
        // its temporary files.
        if let Command::Emulator(_) = cli.command {
            return commands::run(cli).await;
        }
        tokio::spawn(insist());
        tokio::select! {
            code = commands::run(cli) => code,
            code = interrupted() => code,
        }
    });
    // A read of standard input may still be waiting for its terminal; do not wait with it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Warnings of the libraries go to standard error; `RUST_LOG` asks for more or less.
fn log(quiet: bool) {
    let default = if quiet { LevelFilter::OFF } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}

/// Ends the program although its thread is held by a standard output that nobody reads (`list | less`).
async fn insist() {
    let code = interrupted().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::process::exit(i32::from(code));
}

/// Waits for a signal to end; the code is the one that shells use.
async fn interrupted() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut terminate), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => 130,
                _ = terminate.recv() => 143,
                _ = hangup.recv() => 129,
            };
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    130
}
