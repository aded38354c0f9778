//! The speed of encrypting and decrypting the stream of a file, compared with `openssl speed` on the same machine.
//!
//! `cargo bench -p filestore-pubnub`

#![expect(clippy::print_stdout, reason = "prints the results")]

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::ByteStream;
use filestore_pubnub::{Cipher, Crypto};
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use rustix::time::{ClockId, clock_gettime};

/// The size of the chunks in which files are read, in bytes.
const CHUNK: usize = 256 * 1024;
const CHUNKS: usize = 256;

/// The minimum duration of a round. It is long enough for the processor to reach a constant speed.
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;

fn main() {
    let cipher = Cipher::new(Crypto::Acrh, "a cipher key").expect("a key that is not empty");
    let content = vec![Bytes::from(vec![7; CHUNK]); CHUNKS];
    let stored = block_on(read(cipher.encrypt(body(&content))));

    println!("AES-256-CBC, GB/s         this  openssl  ratio");
    report("encrypt", best(|| cipher.encrypt(body(&content))), openssl(&[]));
    report("decrypt", best(|| cipher.decrypt(body(&stored))), openssl(&["-decrypt"]));
}

fn body(chunks: &[Bytes]) -> ByteStream {
    ByteStream::upload(stream::iter(chunks.to_vec()).map(Ok), None)
}

async fn read(stream: ByteStream) -> Vec<Bytes> {
    stream.map(|chunk| chunk.expect("the chunk is valid")).collect().await
}

/// Returns the CPU time of this thread, which `openssl speed` also measures. Other processes do not affect it.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the bytes per second of the best round.
fn best(open: impl Fn() -> ByteStream) -> f64 {
    let round = |_| {
        let (begin, mut bytes) = (now(), 0);
        while now() - begin < ROUND {
            bytes += block_on(open().fold(0, async |sum, chunk| sum + chunk.expect("the chunk is valid").len()));
        }
        bytes as f64 / (now() - begin).as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

/// Returns the bytes per second of `openssl speed`; `None` if there is no such command.
fn openssl(options: &[&str]) -> Option<f64> {
    let args = ["speed", "-mr", "-evp", "aes-256-cbc", "-bytes", "65536", "-seconds", "2"];
    let output = Command::new("openssl").args(args).args(options).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // +F:22:AES-256-CBC:1073741824.00
    text.lines().find(|line| line.starts_with("+F:"))?.rsplit(':').next()?.parse().ok()
}

fn report(operation: &str, speed: f64, reference: Option<f64>) {
    let gigabytes = speed / 1e9;
    match reference {
        Some(reference) => {
            println!("{operation:<24} {gigabytes:>5.2}    {:>5.2}  {:>5.2}", reference / 1e9, speed / reference);
        }
        None => println!("{operation:<24} {gigabytes:>5.2}  there is no openssl command to compare with"),
    }
}
