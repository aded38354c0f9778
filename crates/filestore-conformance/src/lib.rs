//! A test kit for backends. It checks any store against numbered rules, and returns one report.
//!
//! `docs/conformance.md` of the project describes the rules, under the same ids. The test of a backend
//! implements a [`Harness`] that opens a store, and calls [`run`]:
//!
//! ```
//! use std::sync::Arc;
//!
//! use filestore_conformance::{Harness, run};
//! use filestore_core::{FileStore, Result, Store};
//!
//! struct MyHarness {
//!     backend: Arc<dyn FileStore>,
//! }
//!
//! #[async_trait::async_trait]
//! impl Harness for MyHarness {
//!     async fn open(&self) -> Result<Store> {
//!         Store::new("tested", Arc::clone(&self.backend))
//!     }
//! }
//!
//! async fn my_store_keeps_the_rules(backend: Arc<dyn FileStore>) {
//!     let report = run(&MyHarness { backend }).await;
//!     assert!(report.passed(), "{report}");
//! }
//! ```
//!
//! A rule that does not apply to a store is skipped, with the reason from its
//! [`Capabilities`](filestore_core::Capabilities). Some rules need the help of the harness: it can tell what the
//! kit cannot observe (the requests that a service received, its clock, the bytes behind a URL), and cause what
//! the kit cannot cause (lost responses, endless listings). Each optional method of a harness enables more rules.

mod case;
mod content;
mod harness;
mod kit;
mod report;
mod rule;
mod rules;
mod verdict;

pub use harness::{Disturbance, Harness, Requests};
pub use kit::{Kit, run};
pub use report::{Counts, Outcome, Report, RuleReport};
pub use rule::Rule;
pub use rules::rules;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
