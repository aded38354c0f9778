//! Migrations that are killed and resumed, until each file is at its destination. Every run counts what its kills have
//! met, and fails if that proves nothing. docs/reliability.md describes the runs.

mod environment;
#[cfg(target_os = "linux")]
mod fault_points;
mod files;
mod kills;
mod migration;
mod place;
mod runs;
mod single_use;
#[cfg(target_os = "linux")]
mod tracer;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use filestore_testbed::{Result, log, program, selects_other_tests};

use place::Pair;
use runs::Runs;

/// Migrations that are killed and resumed: each file arrives exactly once
#[derive(Debug, Parser)]
#[command(name = "migrations")]
struct Arguments {
    /// The sources and destinations, such as `fs:filescom`
    #[arg(long, value_delimiter = ',', default_value = "fs:filescom,filescom:pubnub")]
    pairs: Vec<Pair>,
    /// Every pair of stores, instead of --pairs, by default with 2,000 files and 200 kills
    #[arg(long, conflicts_with = "pairs")]
    all: bool,
    /// The number of files of a migration [default: 200]
    #[arg(long)]
    files: Option<usize>,
    /// The number of kills of a migration [default: 10]
    #[arg(long)]
    kills: Option<usize>,
    /// The number of files that the program transfers at the same time; few, so that a migration has time for all kills
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// The migration of files that one read consumes, instead of --pairs
    #[arg(long)]
    single_use: bool,
    /// The migrations by several processes at the same time, instead of --pairs
    #[arg(long)]
    shards: bool,
    /// The kills before each system call of one file's transfer, instead of --pairs; only on Linux
    #[arg(long)]
    fault_points: bool,
    /// The seed of the files and of the kills
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program; by default the one that cargo has built beside this test
    #[arg(long)]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    if selects_other_tests() {
        log("migrations: not run, because these options select other tests");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(start(arguments)),
        Err(error) => Err(error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log(&format!("migrations: {problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> Result<()> {
    let program = arguments.program.or_else(program);
    let program =
        program.ok_or("there is no program; build it (cargo build -p filestore-cli), or name it by --program")?;
    let (files, kills) = if arguments.all { (2000, 200) } else { (200, 10) };
    let runs = Runs {
        program,
        files: arguments.files.unwrap_or(files),
        kills: arguments.kills.unwrap_or(kills),
        jobs: arguments.jobs,
        seed: arguments.seed,
    };
    let began = Instant::now();
    if arguments.fault_points {
        fault_points(&runs).await?;
    }
    if arguments.single_use {
        runs.single_use().await?;
    }
    if arguments.shards {
        runs.shards().await?;
        runs.equal_names().await?;
        runs.two_sources().await?;
    }
    if !(arguments.fault_points || arguments.single_use || arguments.shards) {
        runs.pairs(&if arguments.all { Pair::all() } else { arguments.pairs }).await?;
    }
    log(&format!("migrations: {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

#[cfg(target_os = "linux")]
async fn fault_points(runs: &Runs) -> Result<()> {
    runs.fault_points().await
}

#[cfg(not(target_os = "linux"))]
async fn fault_points(_: &Runs) -> Result<()> {
    Err("system calls are traced on Linux only".to_owned())
}
