//! Tests that span several crates.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod conformance;
mod disturbance;
mod documents;
mod effects;
mod fault_matrix;
mod files_as_streams;
mod filescom_faults;
mod filescom_operations;
mod fuzz;
mod gateway;
mod generated;
mod hostile;
mod network;
mod path_prefix;
mod portability;
mod properties;
mod pubnub_faults;
mod rules_page;
mod runtime;
mod servers;
mod slow_link;
mod warnings;
