//! The table: medians, ranges and ratios.

use std::time::Duration;

use crate::measure::Run;
use crate::peers::{Client, Scenario};
use crate::servers::Service;

/// A run of a client, and the requests that the server saw.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) run: Run,
    /// Their number, and the largest number at the same time.
    pub(crate) requests: Option<(usize, usize)>,
}

/// The successful runs of a client in one scenario, and the failures of the others.
pub(crate) struct Row {
    pub(crate) client: Client,
    pub(crate) runs: Vec<Measured>,
    pub(crate) failures: Vec<String>,
}

pub(crate) fn print_head() {
    println!(
        "\n{:9} {:12} {:19} {:>8} {:>16} {:>6} {:>9} {:>7} {:>9} {:>8}",
        "service", "scenario", "client", "seconds", "range", "ratio", "peak MiB", "CPU s", "requests", "at once"
    );
}

/// Prints the rows of a scenario. The ratio is the time of the peer by that of filestore.
pub(crate) fn print_scenario(service: Service, scenario: Scenario, rows: &[Row]) {
    let median_of = |client| rows.iter().find(|row| row.client == client).and_then(Row::median_time);
    let ours = median_of(Client::Filestore);
    for row in rows {
        print!("{:9} {:12} {:19} ", service.name(), scenario.name(), row.client.name());
        match row.median_time() {
            Some(time) => {
                let ratio = ours.filter(|_| row.client != Client::Filestore);
                let ratio =
                    ratio.map_or(String::new(), |ours| format!("{:.2}", time.as_secs_f64() / ours.as_secs_f64()));
                let times = row.runs.iter().map(|measured| measured.run.time.as_secs_f64());
                let range =
                    format!("{:.2} to {:.2}", times.clone().fold(f64::MAX, f64::min), times.fold(0.0, f64::max));
                let peak = row.runs.iter().map(|measured| measured.run.peak_kib).max().unwrap_or(0) as f64 / 1024.0;
                let processor = row.median(|measured| measured.run.processor).unwrap_or_default().as_secs_f64();
                let of_requests =
                    |value: Option<Option<usize>>| value.flatten().map_or("-".to_owned(), |n| n.to_string());
                let total = of_requests(row.median(|measured| measured.requests.map(|(total, _)| total)));
                let most = of_requests(row.runs.iter().map(|measured| measured.requests.map(|(_, most)| most)).max());
                println!(
                    "{:8.2} {range:>16} {ratio:>6} {peak:9.1} {processor:7.2} {total:>9} {most:>8}",
                    time.as_secs_f64()
                );
            }
            None => println!("{:>8}", "failed"),
        }
        // Each failure once: the clients fail in the same way in each round.
        let mut failures = row.failures.clone();
        failures.dedup();
        failures.iter().for_each(|failure| println!("{:43}{failure}", ""));
    }
    let rclone = [Client::Rclone, Client::Rclone16].into_iter().filter_map(median_of).min();
    if let (Some(ours), Some(rclone)) = (ours, rclone) {
        let ratio = rclone.as_secs_f64() / ours.as_secs_f64();
        println!("{:22} against the faster rclone: {ratio:.2}", "");
    }
}

impl Row {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, runs: Vec::new(), failures: Vec::new() }
    }

    fn median_time(&self) -> Option<Duration> {
        self.median(|measured| measured.run.time)
    }

    fn median<T: Ord>(&self, value: impl Fn(&Measured) -> T) -> Option<T> {
        let mut values: Vec<T> = self.runs.iter().map(value).collect();
        values.sort();
        let middle = values.len() / 2;
        (!values.is_empty()).then(|| values.swap_remove(middle))
    }
}
