//! The table: medians, ranges and ratios.

use std::time::Duration;

use crate::job::Scenario;
use crate::measure::Run;
use crate::peers::Client;
use crate::servers::{Load, Service};

/// A run of a client, and the load of the server.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) run: Run,
    pub(crate) load: Load,
}

/// The successful runs of a client in one scenario, and the failures of the others.
pub(crate) struct Row {
    pub(crate) client: Client,
    pub(crate) runs: Vec<Measured>,
    pub(crate) failures: Vec<String>,
}

pub(crate) fn print_head() {
    println!(
        "\n{:8} {:11} {:18} {:>7} {:>15} {:>6} {:>8} {:>7} {:>8} {:>8} {:>7} {:>7}",
        "", "", "", "seconds", "range", "ratio", "peak MiB", "CPU s", "server s", "requests", "at once", "connect"
    );
}

/// Prints the rows of a scenario. The ratio is the time of the peer by that of filestore.
pub(crate) fn print_scenario(service: Service, scenario: Scenario, rows: &[Row]) {
    let median_of = |client| rows.iter().find(|row| row.client == client).and_then(Row::median_time);
    let ours = median_of(Client::Filestore);
    for row in rows {
        print!("{:8} {:11} {:18} ", service.name(), scenario.name(), row.client.name());
        match row.median_time() {
            Some(time) => {
                let ours = ours.filter(|_| row.client != Client::Filestore);
                row.print_figures(time, ours.map(|ours| time.as_secs_f64() / ours.as_secs_f64()));
            }
            None => println!("{:>7}", "failed"),
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

    fn print_figures(&self, time: Duration, ratio: Option<f64>) {
        let times = self.runs.iter().map(|measured| measured.run.time.as_secs_f64());
        let range = format!("{:.2} to {:.2}", times.clone().fold(f64::MAX, f64::min), times.fold(0.0, f64::max));
        let peak = self.runs.iter().map(|measured| measured.run.peak_kib).max().unwrap_or(0) as f64 / 1024.0;
        let processor = self.median(|measured| measured.run.processor).unwrap_or_default();
        let of_server = self.median(|measured| measured.load.processor).unwrap_or_default();
        let requests = self.median(|measured| measured.load.requests.map(|(total, _)| total)).flatten();
        let at_once = self.runs.iter().filter_map(|measured| Some(measured.load.requests?.1)).max();
        let connections = self.median(|measured| measured.load.connections).unwrap_or(0);
        let or_dash = |number: Option<usize>| number.map_or("-".to_owned(), |number| number.to_string());
        println!(
            "{:7.2} {range:>15} {:>6} {peak:8.1} {:7.2} {:8.2} {:>8} {:>7} {connections:>7}",
            time.as_secs_f64(),
            ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
            processor.as_secs_f64(),
            of_server.as_secs_f64(),
            or_dash(requests),
            or_dash(at_once),
        );
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
