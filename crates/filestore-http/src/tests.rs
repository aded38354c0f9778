//! Tests of the client against servers that behave badly.
