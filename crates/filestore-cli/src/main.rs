//! The command line program of filestore: the same commands for every store.

mod args;
mod batch;
mod commands;
mod context;
mod exit;
mod interrupt;
mod open_files;
mod output;
mod progress;
mod standard_streams;
mod tally;
mod threads;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};
use crate::interrupt::{
    Reads, ReportAfterPanic, Signals, end_cleanups, force_exit, report_after, survive_file_size_limit,
};

fn main() -> ExitCode {
    standard_streams::set_blocking();
    open_files::raise_limit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // An argument may be the name of a file with hidden characters.
        Err(error) if error.use_stderr() => {
            output::report(error.render().to_string().trim_end());
            return ExitCode::from(2);
        }
        // The help and the version.
        Err(error) => error.exit(),
    };
    log(cli.quiet);
    let reads = Reads::default();
    let _report = ReportAfterPanic(reads.clone());
    let runtime = match threads::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::report(&format!("error: cannot start: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(async {
        survive_file_size_limit();
        // The emulator handles signals itself. Every other command is dropped on a signal, which removes
        // its temporary files.
        if let Command::Emulator(_) = cli.command {
            return commands::run(cli, reads.clone()).await;
        }
        let mut signals = Signals::listen();
        tokio::spawn(force_exit(Signals::listen(), reads.clone()));
        let mut command = Box::pin(commands::run(cli, reads.clone()));
        tokio::select! {
            code = &mut command => code,
            code = signals.next() => {
                reads.warn_of_change();
                reads.wait(&mut command).await;
                drop(command);
                reads.report_batch();
                end_cleanups().await;
                output::report_unprinted();
                code
            }
        }
    });
    report_after(runtime, &reads);
    ExitCode::from(code)
}

/// Sends warnings of the libraries to standard error; `RUST_LOG` selects other levels.
fn log(quiet: bool) {
    let default = if quiet { LevelFilter::OFF } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let stderr = || output::VisibleLines(std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).without_time();
    // A failed write to standard error must not end the program in the middle of a transfer.
    subscriber.log_internal_errors(false).init();
}
