//! The test kit for FileStore backends: numbered rules, one report
