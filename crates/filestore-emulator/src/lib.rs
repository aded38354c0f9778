//! A stateful emulator of hosted file services, strict by default
