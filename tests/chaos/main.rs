//! The chaos run of `cargo test`, and the commands that repeat, check and shrink a history.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use filestore_chaos::check::check;
use filestore_chaos::history::{Record, Round};
use filestore_chaos::kill;
use filestore_chaos::plan::Plan;
use filestore_chaos::run::Run;
use filestore_chaos::shrink::Replay;
use filestore_testbed::{log, program, selects_other_tests};

/// Random operations of concurrent clients under random faults, checked against the state of the services
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// The seed of operations, faults and interruptions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of operations
    #[arg(long, default_value_t = 3000)]
    operations: u64,
    /// The number of clients that work at the same time
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Run each operation, and the emulator, in a process of its own
    #[arg(long)]
    processes: bool,
    /// The command-line program; by default the one that cargo has built beside this test
    #[arg(long)]
    program: Option<PathBuf>,
    /// The URL of a server of S3 that accepts every signature
    #[arg(long)]
    s3: Option<String>,
    /// Only kill the program this many times during uploads to and downloads from each of fs, Files.com and S3
    #[arg(long)]
    kills: Option<u64>,
    /// The file of the history; by default a file in the temporary folder
    #[arg(long)]
    history: Option<PathBuf>,
    /// Do not shrink the history of a violation
    #[arg(long)]
    no_shrink: bool,
    /// Only check the records of this history again
    #[arg(long, conflicts_with = "shrink")]
    check: Option<PathBuf>,
    /// Only run this history again, and shrink it
    #[arg(long)]
    shrink: Option<PathBuf>,
}

fn main() -> ExitCode {
    if selects_other_tests() {
        log("chaos: not run, because these options select other tests");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(start(arguments)),
        Err(error) => Err(error.to_string()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            log(&format!("chaos: the run itself failed: {problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> Result<bool, String> {
    if let Some(path) = &arguments.check {
        return Ok(recheck(path)? == 0);
    }
    let program = match arguments.processes {
        true => {
            Some(arguments.program.or_else(program).ok_or("there is no program; build it, or name it by --program")?)
        }
        false => None,
    };
    let (clients, seed) = (arguments.clients, arguments.seed);
    if let Some(kills) = arguments.kills {
        let program = program.ok_or("kills need processes: add --processes")?;
        return kill::run(program, arguments.s3, kills).await.map(|()| true);
    }
    let replay = Replay { program: program.clone(), s3: arguments.s3.clone(), clients, seed };
    if let Some(path) = &arguments.shrink {
        let rounds = read(path)?.map(|record| record.map(|record| record.round));
        let rounds = rounds.collect::<Result<Vec<Round>, String>>()?;
        return report_shrunk(&replay, &rounds).await;
    }
    let is_kept = arguments.history.is_some();
    let temporary = || std::env::temp_dir().join(format!("filestore-chaos-{}.jsonl", std::process::id()));
    let path = arguments.history.unwrap_or_else(temporary);
    let mut history =
        BufWriter::new(File::create(&path).map_err(|error| format!("create {}: {error}", path.display()))?);
    let plan = Plan { seed, clients, processes: arguments.processes, s3: arguments.s3.is_some() };
    let begin = Instant::now();
    let mut run = Run::start(program, arguments.s3, clients, seed).await?;
    let (mut rounds, mut logged) = (Vec::new(), 0);
    for number in 1.. {
        if run.figures.operations >= arguments.operations {
            break;
        }
        let round = plan.round(number);
        let record = run.execute(&round).await?;
        let line = serde_json::to_string(&record).map_err(|error| error.to_string())?;
        writeln!(history, "{line}").map_err(|error| format!("write {}: {error}", path.display()))?;
        rounds.push(round);
        let violations = check(&record);
        if !violations.is_empty() {
            history.flush().map_err(|error| format!("write {}: {error}", path.display()))?;
            log(&format!("chaos: seed {seed}, round {number}: the faults {:?} fired", record.fired));
            violations.iter().for_each(|violation| log(&format!("VIOLATION {violation}")));
            log(&format!("chaos: the history is {}", path.display()));
            if !arguments.no_shrink {
                drop(run);
                report_shrunk(&replay, &rounds).await?;
            }
            return Ok(false);
        }
        if run.figures.operations / 1000 > logged {
            logged = run.figures.operations / 1000;
            log(&format!("chaos: {} operations, {} s", run.figures.operations, begin.elapsed().as_secs()));
        }
    }
    let figures = &run.figures;
    log(&format!(
        "chaos: seed {seed}: {} operations of {clients} clients in {} rounds: {} succeeded, {:?} failed, {} interrupted; {} \
         faults, {} restarts and steps of the clock, {} kills of the emulator; no violation; {:.0} s",
        figures.operations,
        figures.rounds,
        figures.succeeded,
        figures.failed,
        figures.interrupted,
        figures.faults,
        figures.events,
        figures.kills,
        begin.elapsed().as_secs_f64()
    ));
    history.flush().map_err(|error| format!("write {}: {error}", path.display()))?;
    // The history is read again, as that of a failure is.
    let violations = recheck(&path)?;
    if !is_kept {
        let _ = std::fs::remove_file(&path);
    }
    Ok(violations == 0)
}

/// Reads the records of a history one by one: that of a long run is larger than the memory.
fn read(path: &Path) -> Result<impl Iterator<Item = Result<Record, String>>, String> {
    let problem = format!("read {}", path.display());
    let file = File::open(path).map_err(|error| format!("{problem}: {error}"))?;
    Ok(BufReader::new(file).lines().map(move |line| {
        let line = line.map_err(|error| format!("{problem}: {error}"))?;
        serde_json::from_str(&line).map_err(|error| format!("{problem}: {error}"))
    }))
}

/// Checks the records of a history. Returns the number of violations.
fn recheck(path: &Path) -> Result<usize, String> {
    let (mut records, mut violations) = (0, 0);
    for record in read(path)? {
        records += 1;
        for violation in check(&record?) {
            violations += 1;
            log(&format!("VIOLATION {violation}"));
        }
    }
    log(&format!("chaos: {records} records checked, {violations} violations"));
    Ok(violations)
}

/// Prints the smallest history that fails. Returns `true` if the history does not fail again.
async fn report_shrunk(replay: &Replay, rounds: &[Round]) -> Result<bool, String> {
    let Some(shrunk) = replay.shrink(rounds).await? else {
        log("chaos: the history does not fail again");
        return Ok(true);
    };
    log("chaos: the smallest history that fails:");
    for round in &shrunk {
        log(&format!("  round {}, event {:?}, kill {:?}", round.number, round.event, round.kill_emulator));
        round.faults.iter().for_each(|fault| log(&format!("    {}", fault.replace('\n', " "))));
        round.steps.iter().for_each(|step| log(&format!("    {step:?}")));
    }
    for violation in replay.violations(&shrunk).await? {
        log(&format!("  VIOLATION {violation}"));
    }
    Ok(false)
}
