//! A stateful emulator of hosted file services, strict by default.
//!
//! One process on one port stands in for services that cannot be reached, cost money or no longer respond.
//! Third-party clients work against it unchanged. It rejects invalid input as strictly as the services do, because an
//! emulator that accepts invalid input gives false confidence. `docs/emulator.md` says which behavior is exact and
//! which is a choice of the emulator.
//!
//! [`Emulator::start`] is the entry point. The `server` applies fault rules to each request, records it in the journal
//! and passes it to a service (`pubnub`, `filescom`, `fileio`). Requests to the `control` API have neither faults nor
//! journal entries. Services share the clock and no other state. The emulator shares no code with the clients in this
//! workspace: common code would have common mistakes.

mod app_state;
mod bind_policy;
mod blobs;
mod canned_response;
mod clock;
mod control;
mod control_auth;
mod credentials;
mod credentials_file;
mod durable;
mod emulator;
mod faults;
mod fileio;
mod filescom;
mod hex;
mod http;
mod journal;
mod link;
mod multipart;
mod options;
mod pubnub;
mod server;
mod service;
mod start_error;
mod startup_files;
mod storage;

pub use clock::Clock;
pub use credentials::{
    CredentialsError, FILEIO_API_KEY, FILESCOM_API_KEY, FILESCOM_PASSWORD, FILESCOM_USER, PUBNUB_PUBLISH_KEY,
    PUBNUB_SECRET_KEY, PUBNUB_SUBSCRIBE_KEY,
};
pub use emulator::Emulator;
pub use faults::{FaultPlan, FaultPlanError};
pub use journal::JournalEntry;
pub use options::Options;
pub use start_error::StartError;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
