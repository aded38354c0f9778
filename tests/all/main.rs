//! Tests that cross crates.

#![expect(clippy::unwrap_used, reason = "what a test cannot do is a failure of the test")]

mod conformance;
mod documents;
mod generated;
mod network;
mod properties;
mod secrets;
mod swap;
