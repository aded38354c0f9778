//! The program as a stranger runs it: real processes, real files.

mod bad_input;
mod commands;
mod config;
mod kill;
mod program;
