//! Tests that cross crates.

mod documents;
mod generated;
mod properties;
mod secrets;
mod swap;
