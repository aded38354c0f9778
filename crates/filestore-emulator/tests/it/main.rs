//! Tests of the emulator through HTTP, as its clients use it.

#![expect(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod connections;
mod control;
mod durability;
mod faults;
mod filescom;
#[cfg(unix)]
mod leftovers;
mod lists;
mod management;
mod modes;
mod pubnub;
mod pubnub_access;
mod pubnub_durability;
mod pubnub_faults;
mod pubnub_messages;
mod pubnub_reads;
mod pubnub_uploads;
mod reads;
mod start;
mod support;
mod uninvited_reads;
mod uploads;
