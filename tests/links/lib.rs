//! The link of the benchmark `links`, which compares the program with other clients (docs/performance.md).

mod proxy;

pub use proxy::{Link, LinkOptions};
