//! The commands, one file each.

mod caps;
mod config;
mod conformance;
mod cp;
mod delete;
mod demo;
mod doctor;
mod download;
mod emulator;
mod fileio;
mod filescom;
mod list;
mod manual;
mod migrate;
mod moving;
mod probing;
mod pubnub;
mod stat;
mod stores;
mod upload;
mod url;

use filestore::Result;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::interrupt::Reads;
use crate::{exit, output};

/// Runs one command and returns the exit code.
pub(crate) async fn run(cli: Cli, reads: Reads) -> u8 {
    match dispatch(cli, reads).await {
        Ok(code) => code,
        Err(error) => {
            output::report_error(&error);
            exit::code(&error)
        }
    }
}

async fn dispatch(cli: Cli, reads: Reads) -> Result<u8> {
    let context = || Context::new(&cli, reads.clone());
    match &cli.command {
        Command::Upload(args) => upload::run(&context()?, args).await,
        Command::List(args) => list::run(&context()?, args).await,
        Command::Stat(args) => stat::run(&context()?, args).await,
        Command::Download(args) => download::run(&context()?, args).await,
        Command::Url(args) => url::run(&context()?, args).await,
        Command::Delete(args) => delete::run(&context()?, args).await,
        Command::Cp(args) => cp::run(&context()?, args).await,
        Command::Migrate(args) => migrate::run(&context()?, args).await,
        Command::Stores => stores::run(&context()?),
        Command::Caps(args) => caps::run(&context()?, args),
        Command::Doctor(args) => doctor::run(&context()?, args).await,
        Command::Conformance(args) => conformance::run(&context()?, args).await,
        Command::Config(command) => config::run(&context()?, *command),
        Command::Pubnub(command) => pubnub::run(&context()?, command).await,
        Command::Filescom(command) => filescom::run(&context()?, command).await,
        Command::Fileio(command) => fileio::run(&context()?, command).await,
        // The commands below need no configuration, and work with an invalid one.
        Command::Demo(args) => demo::run(args, cli.quiet).await,
        Command::Emulator(args) => emulator::run(args, cli.quiet).await,
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { command } => manual::page(command.as_deref()),
    }
}

/// Reports `error`, the failure of one of several inputs, and records it for the exit code.
fn note_failure(outcomes: &mut exit::Outcomes, error: &filestore::Error) {
    output::report_error(error);
    outcomes.failed(error);
}
