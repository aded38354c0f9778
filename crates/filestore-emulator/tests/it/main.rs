//! The emulator as its clients see it: through HTTP only.

mod support;
mod uploads;
