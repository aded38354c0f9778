//! The latency and memory of an emulator that holds many connections which do nothing.
//!
//! `cargo bench -p filestore-emulator --bench load`. A client opens idle connections and half-sent uploads (the head of
//! a request and a part of its body), then measures normal requests. The emulator is a second process: this program
//! with the argument `emulator`. The program fails if a bar is missed. It needs Linux, and a limit of open files of
//! five for three connections. `FILESTORE_BENCH=idle=5000,half_sent=1000,requests=200` changes the numbers.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs, reason = "a benchmark")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// The time after [`BODY_TIMEOUT`] in which the end of a half-sent upload has to reach the client.
const TOLERANCE: Duration = Duration::from_secs(1);
const MAX_99TH_PERCENTILE: Duration = Duration::from_millis(50);
/// The time to wait for a step that takes a second or two if the emulator accepts connections.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections for the normal requests. They are sent one after the other, so most of these stay unused.
const POOL: usize = 16;
/// The descriptors that the emulator uses for itself. Of the others, it uses three of five for connections.
const OTHER_DESCRIPTORS: usize = 16;

/// The content type of all forms.
const FORM: &str = "multipart/form-data; boundary=B";
const DISPOSITION: &str = "Content-Disposition: form-data; name=";
/// The length of a half-sent body as its head tells it, and the bytes of content that are sent, in bytes.
const TOLD: usize = 1024 * 1024;
const SENT: usize = 4096;

/// The sizes of the measurement.
struct Scale {
    idle: usize,
    half_sent: usize,
    requests: usize,
}

impl Scale {
    fn read() -> Self {
        let mut scale = Self { idle: 10_000, half_sent: 1000, requests: 200 };
        for pair in env::var("FILESTORE_BENCH").unwrap_or_default().split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').expect("NAME=NUMBER");
            let number = value.parse().expect("a number");
            match name {
                "idle" => scale.idle = number,
                "half_sent" => scale.half_sent = number,
                "requests" => scale.requests = number,
                other => panic!("{other}: idle, half_sent or requests"),
            }
        }
        let most = Options::default().max_connections;
        assert!(scale.connections() <= most, "at most {most} connections, with {POOL} for requests");
        assert!(scale.requests > 0, "at least one request");
        scale
    }

    fn connections(&self) -> usize {
        self.idle + self.half_sent + POOL
    }

    /// Returns the limit of open files that the emulator needs. The client needs three fifths of it.
    fn descriptors(&self) -> usize {
        self.connections().div_ceil(3) * 5 + OTHER_DESCRIPTORS
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "emulator") {
        run_emulator();
        return ExitCode::SUCCESS;
    }
    // `cargo test --benches` starts benches without this argument.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("not measured; run `cargo bench -p filestore-emulator --bench load`");
        return ExitCode::SUCCESS;
    }
    let scale = Scale::read();
    let (soft, hard) = descriptor_limits();
    if soft >= scale.descriptors() {
        return measure(&scale);
    }
    if hard >= scale.descriptors() {
        return run_again_with(scale.descriptors());
    }
    let affordable = hard.saturating_sub(OTHER_DESCRIPTORS) / 5 * 3;
    let (needed, idle) = (scale.descriptors(), affordable.saturating_sub(scale.half_sent + POOL));
    eprintln!(
        "{} idle connections and {} half-sent uploads need {needed} open files; the limit of this process is {hard}.\n\
         Raise the hard limit: `ulimit -Hn {needed}` as root, `LimitNOFILE={needed}` of systemd, or \
         `--ulimit nofile={needed}` of docker.\n\
         Or measure fewer connections: FILESTORE_BENCH=idle={idle},half_sent={}",
        scale.idle, scale.half_sent, scale.half_sent,
    );
    ExitCode::FAILURE
}

/// Returns the soft and the hard limit of open files.
fn descriptor_limits() -> (usize, usize) {
    let limits = fs::read_to_string("/proc/self/limits").expect("the bench needs Linux");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().map(|limit| limit.parse().unwrap_or(usize::MAX));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Starts this program again with a higher soft limit of open files, which its emulator inherits.
fn run_again_with(descriptors: usize) -> ExitCode {
    let script = format!("ulimit -Sn {descriptors} && exec \"$0\" --bench");
    let status = Command::new("sh").arg("-c").arg(script).arg(env::current_exe().unwrap()).status().unwrap();
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_io().enable_time().build().unwrap()
}

/// Runs an emulator until standard input ends. The first line of standard output is its URL.
fn run_emulator() {
    let runtime = runtime();
    let options = Options { body_timeout: BODY_TIMEOUT, ..Options::default() };
    let emulator = runtime.block_on(Emulator::start(options)).unwrap();
    println!("{}", emulator.url());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    runtime.block_on(emulator.shutdown());
}

/// The emulator in its own process. It ends when its standard input is closed, and so with this process.
struct EmulatorProcess {
    child: Child,
    url: String,
    /// The sockets of the process without any connection.
    own_sockets: usize,
}

impl EmulatorProcess {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.arg("emulator").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let mut process = Self { child, url: url.trim().to_owned(), own_sockets: 0 };
        process.own_sockets = process.connections();
        process
    }

    fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Returns the number of connections that the emulator has accepted and not closed.
    fn connections(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count() - self.own_sockets
    }

    /// Returns the peak resident memory, in KiB.
    fn peak_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Measures, prints the figures, and fails if a bar is missed.
fn measure(scale: &Scale) -> ExitCode {
    let runtime = runtime();
    let emulator = EmulatorProcess::start();
    let figures = runtime.block_on(Figures::measure(scale, &emulator));
    drop(runtime);
    emulator.stop();
    if figures.print(scale) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Figures {
    /// The connections that the emulator held before and after the normal requests; the lower number.
    connections: usize,
    /// The durations of the normal requests, the shortest first.
    latencies: Vec<Duration>,
    ends: Vec<End>,
    /// The peak resident memory of the emulator, in KiB.
    memory: usize,
}

impl Figures {
    async fn measure(scale: &Scale, emulator: &EmulatorProcess) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let uploads = HalfSent::of_each_service(&client, emulator).await;
        let mut idle = Vec::with_capacity(scale.idle);
        let mut half_sent = JoinSet::new();
        let open = async {
            for _ in 0..scale.idle {
                idle.push(TcpStream::connect(emulator.authority()).await.unwrap());
            }
            for upload in uploads.iter().cycle().take(scale.half_sent) {
                let mut stream = TcpStream::connect(emulator.authority()).await.unwrap();
                stream.write_all(upload.0.as_bytes()).await.unwrap();
                half_sent.spawn(End::of(stream));
            }
            while emulator.connections() < scale.idle + scale.half_sent {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(STEP_TIMEOUT, open).await.expect("the emulator accepts all connections");

        let before = emulator.connections();
        let mut latencies = Vec::with_capacity(scale.requests);
        for number in 0..scale.requests {
            latencies.push(latency(normal_request(&client, emulator, number)).await);
        }
        latencies.sort();
        let connections = before.min(emulator.connections());

        let ends = timeout(BODY_TIMEOUT * 2, half_sent.join_all()).await.unwrap_or_default();
        Figures { connections, latencies, ends, memory: emulator.peak_memory() }
    }

    /// Returns the nearest-rank percentile.
    fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() * percent).div_ceil(100) - 1]
    }

    /// Prints one line for each figure. Returns `true` if no bar is missed.
    fn print(&self, scale: &Scale) -> bool {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        // With the one of the normal requests.
        let opened = scale.idle + scale.half_sent + 1;
        let ended = self.ends.iter().filter(|end| end.is_by_limit()).count();
        let with_408 = self.ends.iter().filter(|end| end.status == "408").count();
        let last = self.ends.iter().map(|end| end.after).max().unwrap_or_default();
        let median = milliseconds(self.percentile(50));
        let slow = self.percentile(99);
        let mut passed = true;
        let mut bar = |reached: bool| {
            passed &= reached;
            if reached { "" } else { "  MISSED" }
        };

        println!("idle connections      {}", scale.idle);
        println!("half-sent uploads     {}", scale.half_sent);
        println!("held by the emulator  {} of {opened}{}", self.connections, bar(self.connections >= opened));
        println!("normal requests       {}", scale.requests);
        println!("50th percentile       {median:.2} ms");
        println!("99th percentile       {:.2} ms{}", milliseconds(slow), bar(slow < MAX_99TH_PERCENTILE));
        println!(
            "ended by the limit    {ended} of {}, {with_408} with 408, the last after {:.2} s{}",
            scale.half_sent,
            last.as_secs_f64(),
            bar(ended == scale.half_sent)
        );
        println!("emulator's memory     {:.1} MiB (peak)", self.memory as f64 / 1024.0);
        passed
    }
}

/// The head of an upload and the first bytes of its body.
struct HalfSent(String);

impl HalfSent {
    /// Returns one upload for each service. Each is valid as far as it goes, and the content of the file has begun.
    async fn of_each_service(client: &Client, emulator: &EmulatorProcess) -> [Self; 3] {
        let content = "x".repeat(SENT);
        let file = format!("--B\r\n{DISPOSITION}\"file\"; filename=\"half.txt\"\r\n\r\n{content}");

        let begin = format!("{}/api/rest/v1/file_actions/begin_upload/half.txt", emulator.url);
        let parts = json_of(client.post(begin).header("X-FilesAPI-Key", FILESCOM_API_KEY).json(&json!({}))).await;
        let part = parts[0]["upload_uri"].as_str().unwrap().strip_prefix(&emulator.url).unwrap();

        let form = format!("{}/generate-upload-url?uuid=bench", channel(emulator));
        let form = json_of(client.post(form).json(&json!({"name": "half.txt"}))).await;
        let fields = form["file_upload_request"]["form_fields"].as_array().unwrap().iter().map(|field| {
            let text = |name: &str| field[name].as_str().unwrap();
            format!("--B\r\n{DISPOSITION}\"{}\"\r\n\r\n{}\r\n", text("key"), text("value"))
        });
        let fields: String = fields.collect();

        let half_sent = |target: &str, content_type: &str, body: &str| {
            Self(format!(
                "{target} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {TOLD}\r\n\r\n{body}",
                emulator.authority()
            ))
        };
        [
            half_sent("POST /", FORM, &file),
            half_sent(&format!("PUT {part}"), "application/octet-stream", &content),
            half_sent("POST /_storage/pubnub/", FORM, &(fields + &file)),
        ]
    }
}

/// The end of a half-sent upload.
struct End {
    /// The status of the response; empty if the connection ended without a response.
    status: String,
    /// The time from the last byte of the request to the end of the connection.
    after: Duration,
}

impl End {
    /// Waits until the emulator ends the connection.
    async fn of(mut stream: TcpStream) -> Self {
        let begin = Instant::now();
        let mut response = Vec::new();
        // An error is a reset, and so an end without a response.
        let _ = stream.read_to_end(&mut response).await;
        let response = String::from_utf8_lossy(&response);
        let status = response.split(' ').nth(1).unwrap_or_default().to_owned();
        End { status, after: begin.elapsed() }
    }

    fn is_by_limit(&self) -> bool {
        matches!(&*self.status, "408" | "")
            && (BODY_TIMEOUT - TOLERANCE..BODY_TIMEOUT + TOLERANCE).contains(&self.after)
    }
}

fn channel(emulator: &EmulatorProcess) -> String {
    format!("{}/v1/files/sub-c-emulator/channels/bench", emulator.url)
}

/// Returns the request with this number: an upload or one of three lists.
fn normal_request(client: &Client, emulator: &EmulatorProcess, number: usize) -> RequestBuilder {
    let url = &emulator.url;
    match number % 4 {
        0 => {
            let head = format!("--B\r\n{DISPOSITION}\"file\"; filename=\"{number}.txt\"\r\n\r\n");
            let body = format!("{head}{}\r\n--B--\r\n", "x".repeat(SENT));
            client.post(url).bearer_auth(FILEIO_API_KEY).header("Content-Type", FORM).body(body)
        }
        1 => client.get(url).bearer_auth(FILEIO_API_KEY),
        2 => client.get(format!("{url}/api/rest/v1/folders/")).header("X-FilesAPI-Key", FILESCOM_API_KEY),
        _ => client.get(format!("{}/files?uuid=bench", channel(emulator))),
    }
}

/// Returns the time from the start of a request to the end of its response.
async fn latency(request: RequestBuilder) -> Duration {
    let begin = Instant::now();
    request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
    begin.elapsed()
}

async fn json_of(request: RequestBuilder) -> Value {
    request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}
