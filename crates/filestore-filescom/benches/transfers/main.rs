//! Compares the transfers of three clients: plain reqwest, which does only what is needed and computes the same
//! digests; this crate; and the crate `files-sdk`.
//!
//! `cargo bench -p filestore-filescom --features bench --bench transfers`. Each contestant runs each job in its own
//! process, so that its peak memory is known, against one server in the parent process. Rounds are interleaved, and the
//! table has the medians. `FILESTORE_BENCH=large=64,small=500,entries=5000,rounds=1` is a quick run; `-- up list` runs
//! only these jobs.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark")]

mod contestants;
mod server;

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use contestants::{Contestant, Job, Task};

/// The sizes of the jobs.
struct Scale {
    /// The size of the large file in MiB.
    large: u64,
    small: usize,
    entries: usize,
    rounds: usize,
}

impl Scale {
    fn read() -> Self {
        let mut scale = Self { large: 1024, small: 10_000, entries: 100_000, rounds: 9 };
        for pair in env::var("FILESTORE_BENCH").unwrap_or_default().split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').expect("NAME=NUMBER");
            let number: usize = value.parse().expect("a number");
            match name {
                "large" => scale.large = number as u64,
                "small" => scale.small = number,
                "entries" => scale.entries = number,
                "rounds" => scale.rounds = number,
                other => panic!("{other}: large, small, entries or rounds"),
            }
        }
        scale
    }
}

/// The time and the peak memory of one run.
#[derive(Clone, Copy)]
struct Run {
    time: Duration,
    peak_kib: u64,
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "contestant") {
        return contestants::run(Task::of_arguments(&arguments[2..]));
    }
    let scale = Scale::read();
    let address = server::start(scale.large << 20, scale.entries);
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let mut file = File::create(&source).unwrap();
    let block = server::block();
    (0..scale.large).for_each(|_| file.write_all(&block).unwrap());
    drop(file);

    println!("{} MiB, {} files of 4 KiB, {} entries, {} rounds", scale.large, scale.small, scale.entries, scale.rounds);
    println!("{:12} {:10} {:>9} {:>9} {:>9}", "", "", "seconds", "ratio", "peak MiB");
    let chosen = |job: &Job| {
        let mut names = arguments[1..].iter().filter(|word| !word.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|name| name == job.name())
    };
    for job in Job::ALL.into_iter().filter(chosen) {
        let mut runs = BTreeMap::<Contestant, Vec<Run>>::new();
        for _ in 0..scale.rounds {
            for contestant in Contestant::ALL {
                let count = if job == Job::List { scale.entries } else { scale.small };
                let task = Task { contestant, job, address, source: source.clone(), count };
                runs.entry(contestant).or_default().push(in_a_process(&task));
            }
        }
        let plain = median(&runs[&Contestant::Plain]).time.as_secs_f64();
        for (contestant, runs) in &runs {
            let run = median(runs);
            let (seconds, peak) = (run.time.as_secs_f64(), run.peak_kib as f64 / 1024.0);
            println!("{:12} {:10} {seconds:9.3} {:9.2} {peak:9.1}", job.name(), contestant.name(), plain / seconds);
        }
    }
}

fn in_a_process(task: &Task) -> Run {
    let output =
        Command::new(env::current_exe().unwrap()).arg("contestant").args(task.to_arguments()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(output.status.success() && numbers.len() == 2, "{text}{}", String::from_utf8_lossy(&output.stderr));
    Run { time: Duration::from_micros(numbers[0]), peak_kib: numbers[1] }
}

fn median(runs: &[Run]) -> Run {
    let mut sorted = runs.to_vec();
    sorted.sort_by_key(|run| run.time);
    sorted[sorted.len() / 2]
}
