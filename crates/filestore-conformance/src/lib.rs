//! The test kit for backends: numbered rules, run against any store, with one report.
//!
//! The rules are written down in `docs/conformance.md` of the project, under the same ids. A backend
//! proves itself with a [`Harness`] that opens a store, and [`run`]:
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
//! Rules that do not bind a store are skipped with the reason that its
//! [`Capabilities`](filestore_core::Capabilities) give. What the kit cannot find out by itself (the
//! requests that a service received, its clock, the bytes behind a URL) a harness may tell, and what it
//! cannot cause (lost responses, listings without end) a harness may cause, and so unlock more rules.

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
