//! Every response body is accepted or rejected: with no body does an operation of a backend panic or hang.
//!
//! Each response of each operation is replaced by mutations of valid bodies, of at most 64 KiB, for 2 s each,
//! or for `FUZZ_SECONDS` seconds. A body that makes an operation panic or hang is stored in `tests/fuzz`, and
//! is the first to be tried in later runs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::effects::{self, Operation, Service};
use crate::gateway::{Action, Gateway, Script, Seen};

const LARGEST: usize = 64 * 1024;

/// The time limit of an operation, longer than all its attempts take.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn any_response_of_pubnub_is_accepted_or_rejected() {
    let (_emulator, gateway) = effects::emulator().await;
    let service = Service::new(&gateway, effects::pubnub::store).with_one_client();
    println!("{} responses", fuzz("pubnub", &gateway, effects::pubnub::operations(&service)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_response_of_files_com_is_accepted_or_rejected() {
    let (_emulator, gateway) = effects::emulator().await;
    let service = Service::new(&gateway, effects::filescom::store).with_one_client();
    let changes = effects::filescom::changes(&service);
    let operations = effects::filescom::uploads(&service).into_iter().chain(changes);
    let operations = operations.chain(effects::filescom::reads(&service)).collect();
    println!("{} responses", fuzz("filescom", &gateway, operations).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_response_of_file_io_is_accepted_or_rejected() {
    let (_emulator, gateway) = effects::emulator().await;
    let service = Service::new(&gateway, effects::fileio::store).with_one_client();
    println!("{} responses", fuzz("fileio", &gateway, effects::fileio::operations(&service)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_response_of_s3_is_accepted_or_rejected() {
    let (_server, gateway) = effects::opendal::s3().await;
    let service = Service::new(&gateway, effects::opendal::s3_store).with_one_client();
    println!("{} responses", fuzz("s3", &gateway, effects::opendal::operations(&service, |_| true)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_response_of_webdav_is_accepted_or_rejected() {
    let (_server, gateway) = effects::opendal::webdav().await;
    let service = Service::new(&gateway, effects::opendal::webdav_store).with_one_client();
    println!("{} responses", fuzz("webdav", &gateway, effects::opendal::operations(&service, |_| true)).await);
}

/// Fuzzes all responses of `operations`. Returns the number of responses that were tried.
async fn fuzz(service: &str, gateway: &Gateway, operations: Vec<Operation>) -> usize {
    let seconds = std::env::var("FUZZ_SECONDS").map_or(2, |seconds| seconds.parse().unwrap());
    let mut numbers = 0..;
    let mut tried = 0;
    for operation in &operations {
        let mut prepare = async || {
            gateway.play(Script::PASS).await;
            (operation.case)(numbers.next().unwrap()).await
        };
        let case = prepare().await;
        gateway.play(Script::PASS).await;
        case.run.await.unwrap();
        let seen = gateway.finish().await;
        for at in 0..seen.len() {
            let name = format!("{service}-{}-{at}", operation.name.replace(' ', "-"));
            let mut random =
                Random(name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))));
            let mut stored = stored_bodies(&name);
            let end = Instant::now() + Duration::from_secs(seconds);
            while !stored.is_empty() || Instant::now() < end {
                let (status, body) = stored.pop().unwrap_or_else(|| mutated(&seen, at, &mut random));
                let case = prepare().await;
                let first = Action::ReplaceResponse(status);
                gateway.play(Script { at, first, then: Action::Pass, body: body.clone() }).await;
                match tokio::time::timeout(LIMIT, tokio::spawn(case.run)).await {
                    Ok(Ok(_accepted_or_rejected)) => tried += 1,
                    Ok(Err(panic)) => panic!("{name}: {panic}; the body is stored in {}", store(&name, status, &body)),
                    Err(_) => panic!("{name} does not return; the body is stored in {}", store(&name, status, &body)),
                }
            }
        }
    }
    tried
}

/// Returns a status, and a mutation of a body that is valid for the request `at` or for an error.
fn mutated(seen: &[Seen], at: usize, random: &mut Random) -> (u16, Vec<u8>) {
    const JSON: &[u8] = br#"{"success":false,"status":400,"error":{"message":"m","details":[{"message":"d"}]},"type":"a/b","data":{"x":1},"errors":["x",{"error":"y"}]}"#;
    const XML: &[u8] = b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>m &amp; n</Message><RequestId>1</RequestId></Error>";
    let valid = (seen[at].status.unwrap_or(200), seen[at].body.as_slice());
    let other = |random: &mut Random| seen[random.below(seen.len())].body.as_slice();
    let errors = [400, 403, 404, 409, 422, 429, 500];
    let error = errors[random.below(errors.len())];
    let (status, body) = match random.below(8) {
        0 => (error, JSON),
        1 => (error, XML),
        2 => (valid.0, other(random)),
        _ => valid,
    };
    let mut body = body.to_vec();
    for _ in 0..=random.below(6) {
        mutate(&mut body, random);
    }
    body.truncate(LARGEST);
    (status, body)
}

fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    const TOKENS: [&[u8]; 24] = [
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b"true",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"0.1",
        b"\\u0000",
        b"\\ud800",
        b"\xff\xfe",
        b"<",
        b"</",
        b"]]>",
        b"&#x0;",
        b"%00",
        b"../",
        b"\r\n\r\n",
        "\u{202e}".as_bytes(),
    ];
    let at = random.below(body.len() + 1);
    let end = (at + random.below(64)).min(body.len());
    match random.below(9) {
        0 if !body.is_empty() => {
            let at = at.min(body.len() - 1);
            body[at] = random.next().to_le_bytes()[0];
        }
        1 => drop(body.drain(at..end)),
        2 => {
            let piece = body[at..end].to_vec();
            body.splice(at..at, piece);
        }
        3 | 4 => {
            let token = TOKENS[random.below(TOKENS.len())];
            body.splice(at..at, token.iter().copied());
        }
        5 => body.truncate(at),
        // Deep nesting, or a long body.
        6 => {
            let token = TOKENS[random.below(TOKENS.len())];
            let times = random.below(LARGEST / token.len());
            body.splice(at..at, token.repeat(times));
        }
        // Another token in the place of some bytes.
        7 => {
            let token = TOKENS[random.below(TOKENS.len())];
            body.splice(at..end, token.iter().copied());
        }
        _ => {
            let piece = body[at..end].to_vec();
            let to = random.below(body.len() + 1);
            body.splice(to..to, piece);
        }
    }
    body.truncate(LARGEST);
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

/// Returns the statuses and bodies that made the operation panic or hang in earlier runs.
fn stored_bodies(name: &str) -> Vec<(u16, Vec<u8>)> {
    let Ok(files) = std::fs::read_dir(folder()) else { return Vec::new() };
    let read = |path: PathBuf| {
        let rest = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('.')?.to_owned();
        Some((rest.split('.').next()?.parse().ok()?, std::fs::read(&path).unwrap()))
    };
    files.filter_map(|file| read(file.unwrap().path())).collect()
}

fn store(name: &str, status: u16, body: &[u8]) -> String {
    let sum = body.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let path = folder().join(format!("{name}.{status}.{sum:08x}"));
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(&path, body).unwrap();
    path.display().to_string()
}

/// A SplitMix64 generator: its numbers are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}
