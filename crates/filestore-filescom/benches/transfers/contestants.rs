//! The contestants, each in its own process.

mod ours;
mod peer;
mod plain;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The number of small files that are transferred at once.
const AT_ONCE: usize = 64;

/// The API key of every request.
const API_KEY: &str = "benchmark";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    Plain,
    Ours,
    Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    UpLarge,
    DownLarge,
    UpSmall,
    DownSmall,
    List,
}

/// One job of one contestant.
pub(crate) struct Task {
    pub(crate) contestant: Contestant,
    pub(crate) job: Job,
    pub(crate) address: SocketAddr,
    /// The large file to send.
    pub(crate) source: PathBuf,
    /// The number of small files or entries.
    pub(crate) count: usize,
}

impl Contestant {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Ours, Self::Peer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "reqwest",
            Self::Ours => "filestore",
            Self::Peer => "files-sdk",
        }
    }
}

impl Job {
    pub(crate) const ALL: [Self; 5] = [Self::UpLarge, Self::DownLarge, Self::UpSmall, Self::DownSmall, Self::List];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UpLarge => "up",
            Self::DownLarge => "down",
            Self::UpSmall => "up-small",
            Self::DownSmall => "down-small",
            Self::List => "list",
        }
    }
}

impl Task {
    pub(crate) fn to_arguments(&self) -> [String; 5] {
        let Self { contestant, job, address, source, count } = self;
        let source = source.to_str().unwrap().to_owned();
        [contestant.name().to_owned(), job.name().to_owned(), address.to_string(), source, count.to_string()]
    }

    pub(crate) fn of_arguments(arguments: &[String]) -> Self {
        let [contestant, job, address, source, count] = arguments else { panic!("five arguments") };
        Self {
            contestant: Contestant::ALL.into_iter().find(|known| known.name() == contestant).unwrap(),
            job: Job::ALL.into_iter().find(|known| known.name() == job).unwrap(),
            address: address.parse().unwrap(),
            source: source.into(),
            count: count.parse().unwrap(),
        }
    }
}

/// Runs the task, and prints microseconds and the peak of resident memory in KiB.
pub(crate) fn run(task: Task) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let time = runtime.block_on(async {
        match task.contestant {
            Contestant::Plain => plain::run(&task).await,
            Contestant::Ours => ours::run(&task).await,
            Contestant::Peer => peer::run(&task).await,
        }
    });
    println!("{} {}", time.as_micros(), peak_kib());
}

/// Returns the time of `work`.
async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
