//! A chaos run: several clients execute random operations on several stores at once, while the services fail at random.
//! After each round, the state of every store is read past the clients and compared with what the outcomes allow.
//!
//! - [`plan`] derives the rounds from a seed: the operations, the faults, the interruptions.
//! - [`environment`] is the emulator and the local stores; [`snapshot`] reads their state without the code under test.
//! - [`execute`] runs the operations by the library, [`processes`] by the command-line program. [`many`] is what both do
//!   with commands for many files.
//! - [`history`] is the record of each round; [`check`] finds the violations in it, and needs nothing else.
//! - [`run`] connects them, and [`shrink`] reduces a failing history.
//! - [`kill`] kills the program during single transfers.

#![allow(missing_docs, clippy::exhaustive_structs, clippy::exhaustive_enums, reason = "no other crate depends on it")]

pub mod check;
pub mod content;
pub mod environment;
pub mod execute;
pub mod history;
pub mod kill;
pub mod many;
pub mod plan;
pub mod processes;
pub mod run;
pub mod shrink;
pub mod snapshot;
