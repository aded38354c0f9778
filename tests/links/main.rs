//! Compares the program with other clients over a link.
#![allow(missing_docs, reason = "a benchmark")]
fn main() {}
