//! Tests that cross crates.

#![expect(clippy::unwrap_used, reason = "what a test cannot do is a failure of the test")]

mod campaign;
mod conformance;
mod disturbance;
mod documents;
mod effects;
mod filescom_faults;
mod filescom_operations;
mod fuzz;
mod gateway;
mod generated;
mod hostile;
mod network;
mod properties;
mod pubnub_faults;
mod runtime;
mod swap;
