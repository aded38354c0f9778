//! A stateful emulator of hosted file services, strict by default.
//!
//! One process and one port stand in for services that cannot be reached, cost money or no longer
//! answer. Clients that other people wrote work against it unchanged; wrong input is rejected as
//! strictly as the services reject it, because an emulator that accepts it gives false
//! confidence. What is exact and what is a choice is written down in `docs/emulator.md`.
//!
//! [`Emulator::start`] is the way in. Inside, a request passes the `server`, which applies fault
//! rules and keeps the journal, to a service (`pubnub`, `filescom`, `fileio`) or to the `control` API; services share
//! the clock, the blobs and nothing else. Nothing here is shared with the clients of this
//! workspace either: common code would have common mistakes.

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
