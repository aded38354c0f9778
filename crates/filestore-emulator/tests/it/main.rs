//! The emulator as its clients see it: through HTTP only.

#![expect(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod connections;
mod control;
mod durability;
mod faults;
#[cfg(unix)]
mod leftovers;
mod lists;
mod management;
mod modes;
mod reads;
mod start;
mod support;
mod uploads;
