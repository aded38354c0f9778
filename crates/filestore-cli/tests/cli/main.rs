//! The program as a stranger runs it: real processes, real files.

#![expect(clippy::unwrap_used, reason = "what a test cannot do is a failure of the test")]

mod bad_input;
mod commands;
mod config;
mod emulated;
mod filescom;
mod kill;
#[cfg(unix)]
mod limits;
mod program;
mod pubnub;
mod served;
#[cfg(unix)]
mod signals;
