//! Tests of the program from outside: real processes and real files.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod bad_input;
mod commands;
mod config;
mod conformance;
mod doctor;
mod emulated;
mod filescom;
mod kill;
#[cfg(unix)]
mod limits;
mod moves;
mod program;
mod pubnub;
mod served;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod trees;
