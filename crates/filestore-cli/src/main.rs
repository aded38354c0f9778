//! The command line program of filestore.
fn main() {}
