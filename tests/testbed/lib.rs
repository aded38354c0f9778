//! A server of [S3](s3), the path of the program under test, and a log of lines: for the chaos run, the migrations and the
//! benchmark of links.

#![allow(missing_docs, missing_debug_implementations, clippy::unwrap_used, reason = "only tests depend on it")]

pub mod s3;

use std::env::consts::EXE_SUFFIX;
use std::io::Write;
use std::path::PathBuf;

/// The failure of a step of a run itself, in words.
pub type Result<T> = std::result::Result<T, String>;

/// Returns a function that puts `what` before an error.
pub fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Prints a line about the run.
pub fn log(line: &str) {
    // Without a reader, the run goes on.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Returns the path of the program that was built beside this test.
pub fn program() -> Option<PathBuf> {
    let folder = std::env::current_exe().ok()?.parent()?.parent()?.to_owned();
    Some(folder.join(format!("filestore{EXE_SUFFIX}"))).filter(|program| program.exists())
}

/// Returns `true` if the arguments of this process are those of other tests, which `cargo test` passes to all of them: a
/// filter, or a flag of their runner.
pub fn selects_other_tests() -> bool {
    let first = std::env::args().nth(1).unwrap_or_default();
    let flags = ["--ignored", "--include-ignored", "--exact", "--list", "--nocapture", "--skip", "--test-threads"];
    !first.is_empty() && (!first.starts_with("--") || flags.iter().any(|flag| first.starts_with(flag)))
}
