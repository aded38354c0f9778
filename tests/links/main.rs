//! Compares the program with other clients over links with a delay and a rate, as docs/performance.md describes.
//!
//! `cargo bench -p filestore-links --features bench -- up --service s3 --rounds 1`. Each client runs each scenario in a
//! process of its own, the rounds are interleaved, and each result is checked. The servers and the links are in this
//! process, except the emulator.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs, reason = "a benchmark")]

mod content;
mod job;
mod measure;
mod peers;
mod report;
mod servers;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use filestore_links::{Link, LinkOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use content::Content;
use job::{Job, Scenario};
use peers::{Client, Clients};
use report::{Measured, Row};
use servers::{Server, Service};

#[derive(Parser)]
struct Arguments {
    /// The scenarios; without any, all except `memory`
    scenarios: Vec<Scenario>,
    /// The services [default: all]
    #[arg(long, value_delimiter = ',')]
    service: Vec<Service>,
    /// The clients [default: all of the service]
    #[arg(long, value_delimiter = ',')]
    client: Vec<Client>,
    /// The number of runs of each client
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The size of the large file in MiB
    #[arg(long, default_value_t = 200)]
    large: usize,
    /// The number of small files, of 4 KiB each
    #[arg(long, default_value_t = 2000)]
    small: usize,
    /// The number of files of the scenario `memory`
    #[arg(long, default_value_t = 64)]
    memory_files: usize,
    /// The size of each file of the scenario `memory` in MB
    #[arg(long, default_value_t = 100)]
    memory_size: usize,
    /// The round-trip time of the link in milliseconds
    #[arg(long, default_value_t = 40)]
    round_trip: u64,
    /// The rate of each connection and direction in MB/s; 0 is without a limit
    #[arg(long, default_value_t = 10)]
    rate: u64,
    /// The queue of each connection and direction in KiB
    #[arg(long, default_value_t = 256)]
    queue: usize,
    /// `cargo bench` sets it
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn link(&self) -> LinkOptions {
        LinkOptions {
            delay: Duration::from_millis(self.round_trip) / 2,
            rate: (self.rate > 0).then_some(self.rate * 1_000_000),
            queue: self.queue * 1024,
        }
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let all = [
            Scenario::Up,
            Scenario::Down,
            Scenario::UpTree,
            Scenario::DownTree,
            Scenario::DeleteTree,
            Scenario::DeleteList,
        ];
        if self.scenarios.is_empty() { all.to_vec() } else { self.scenarios.clone() }
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|word| word == peers::WORKER) {
        return match runtime.block_on(peers::run_worker(&arguments[2..])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => panic!("{error}"),
        };
    }
    let arguments = Arguments::parse();
    let folder = scratch();
    let clients = Clients::install(peers::program(), folder.path().to_owned());
    println!(
        "round trip {} ms, {} MB/s for each connection and direction; {}",
        arguments.round_trip,
        arguments.rate,
        runtime.block_on(measure_link(arguments.link()))
    );
    println!(
        "{} MiB, {} files of 4 KiB, {} rounds, files in {}",
        arguments.large,
        arguments.small,
        arguments.rounds,
        folder.path().display()
    );
    report::print_head();
    let mut has_failed = false;
    for service in [Service::S3, Service::Filescom] {
        if !arguments.service.is_empty() && !arguments.service.contains(&service) {
            continue;
        }
        let server_folder = folder.path().join(service.name());
        fs::create_dir(&server_folder).unwrap();
        let server = runtime.block_on(Server::start(service, arguments.link(), clients.program(), &server_folder));
        clients.configure(&server);
        for scenario in arguments.scenarios() {
            if scenario == Scenario::Memory && service != Service::S3 {
                continue;
            }
            let rows = runtime.block_on(compare(&arguments, &clients, &server, scenario, folder.path()));
            has_failed |= rows.iter().any(|row| !row.failures.is_empty());
            report::print_scenario(service, scenario, &rows);
        }
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Returns a folder in memory, if the system has one: no disk is the limit.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    tempfile::Builder::new().prefix("filestore-links-").tempdir_in(parent).unwrap()
}

/// Runs a scenario with all clients, round by round.
async fn compare(
    arguments: &Arguments,
    clients: &Clients,
    server: &Server,
    scenario: Scenario,
    folder: &Path,
) -> Vec<Row> {
    let source = folder.join("source");
    let content = match scenario {
        Scenario::Up | Scenario::Down => Content::large(source, arguments.large << 20),
        Scenario::Memory => Content::equal(source, arguments.memory_files, arguments.memory_size * 1_000_000),
        _ => Content::small(source, arguments.small),
    };
    let is_chosen = |client: &Client| arguments.client.is_empty() || arguments.client.contains(client);
    let chosen =
        Client::value_variants().iter().copied().filter(is_chosen).filter(|client| client.supports(server.service));
    let mut rows: Vec<Row> = chosen.map(Row::new).collect();
    if scenario.is_download() {
        server.insert("download", &content.files).await;
    }
    for round in 0..arguments.rounds {
        for row in &mut rows {
            let scope = match scenario.is_download() {
                true => "download".to_owned(),
                false => format!("round-{round}-{:?}", row.client).to_lowercase(),
            };
            let destination = folder.join("destination");
            fs::create_dir(&destination).unwrap();
            let job = Job { scenario, server, scope: &scope, content: &content, destination: &destination };
            match run(clients, row.client, &job).await {
                Some(Ok(measured)) => {
                    let (client, seconds) = (row.client.name(), measured.run.time.as_secs_f64());
                    eprintln!(
                        "{} {}, round {}, {client}: {seconds:.2} s",
                        server.service.name(),
                        scenario.name(),
                        round + 1
                    );
                    row.runs.push(measured);
                }
                Some(Err(failure)) => row.failures.push(failure),
                None => {}
            }
            fs::remove_dir_all(&destination).unwrap();
        }
    }
    if scenario.is_download() {
        server.clear("download").await;
    }
    fs::remove_dir_all(&content.folder).unwrap();
    rows.retain(|row| !row.runs.is_empty() || !row.failures.is_empty());
    rows
}

/// Prepares, runs and checks one job; `None` if the client has no command for it.
async fn run(clients: &Clients, client: Client, job: &Job<'_>) -> Option<Result<Measured, String>> {
    let command = clients.command(client, job)?;
    let is_download = job.scenario.is_download();
    if job.scenario.begins_with_files() && !is_download {
        job.server.insert(job.scope, &job.content.files).await;
    }
    let log = job.destination.with_extension("log");
    let (ran, load) = job.server.observe(tokio::task::spawn_blocking(move || measure::run(command, &log))).await;
    let ran = ran.unwrap();
    let checked = match &ran {
        Ok(_) if is_download => job.content.check_folder(job.destination),
        Ok(_) => {
            let stored = job.server.files(job.scope).await;
            match job.scenario {
                Scenario::DeleteTree | Scenario::DeleteList if stored.is_empty() => Ok(()),
                Scenario::DeleteTree | Scenario::DeleteList => Err(format!("{} files are still there", stored.len())),
                _ => job.content.check_stored(&stored),
            }
        }
        Err(_) => Ok(()),
    };
    if !is_download {
        job.server.clear(job.scope).await;
    }
    Some(ran.and_then(|run| checked.map(|()| Measured { run, load })))
}

/// Returns what a link really does: the median of ten round trips, and the rate of 10 MB on one connection.
async fn measure_link(options: LinkOptions) -> String {
    const LENGTH: usize = 10_000_000;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::bind(options).unwrap();
    let address: SocketAddr = link.address().unwrap();
    tokio::spawn(link.forward_to(server.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut connection, _) = server.accept().await.unwrap();
        for _ in 0..10 {
            let byte = connection.read_u8().await.unwrap();
            connection.write_u8(byte).await.unwrap();
        }
        connection.write_all(&vec![0; LENGTH]).await.unwrap();
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    client.set_nodelay(true).unwrap();
    let mut times = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        client.write_u8(0).await.unwrap();
        client.read_u8().await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    client.read_u8().await.unwrap();
    let (start, mut content) = (Instant::now(), Vec::with_capacity(LENGTH));
    client.read_to_end(&mut content).await.unwrap();
    let rate = content.len() as f64 / 1e6 / start.elapsed().as_secs_f64();
    format!("measured: median {:.1} ms, {rate:.1} MB/s", times[times.len() / 2].as_secs_f64() * 1000.0)
}
