//! Tests of the whole store against scripted servers.
