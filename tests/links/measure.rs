//! Runs a client in a process of its own, and measures its time, its peak memory and its processor time.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A client that takes longer has failed.
const TIME_LIMIT: Duration = Duration::from_secs(1800);

/// The interval between two samples of the process. A measured time is too long by at most this interval.
const INTERVAL: Duration = Duration::from_millis(2);

/// The unit of processor time in `/proc`.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// The time, the memory and the processor time of one run of a client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    pub(crate) time: Duration,
    /// The peak of resident memory, as the kernel records it; the last 2 ms of the process are not included.
    pub(crate) peak_kib: u64,
    pub(crate) processor: Duration,
}

/// Runs `command` to its end. The error is the end of its standard error.
pub(crate) fn run(mut command: Command, log: &Path) -> Result<Run, String> {
    let stderr = File::create(log).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let process = format!("/proc/{}", child.id());
    let mut run = Run::default();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        run.peak_kib = peak_kib(&process).unwrap_or(0).max(run.peak_kib);
        run.processor = processor_time(&process).unwrap_or_default().max(run.processor);
        if start.elapsed() > TIME_LIMIT {
            let _ = child.kill();
        }
        thread::sleep(INTERVAL);
    };
    run.time = start.elapsed();
    if status.success() {
        return Ok(run);
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Err(format!("{status}: {}", lines[lines.len().saturating_sub(3)..].join(" / ")))
}

fn peak_kib(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Returns the time of a folder of `/proc` in user mode and in the kernel.
pub(crate) fn processor_time(process: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("{process}/stat")).ok()?;
    // The name, which may contain spaces, ends at the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
    Some(CLOCK_TICK * ticks)
}
