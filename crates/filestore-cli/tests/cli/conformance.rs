//! `filestore conformance`: the rules hold on every store, a broken rule is an exit code, and nothing is left.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Done, Home, done, kill};
use crate::served::Served;

const STORES: [&str; 3] = ["pubnub", "filescom", "fileio"];

fn conformance(home: &Home, store: &str) -> Done {
    home.run(&["--config", "stores.toml", "--json", "conformance", store])
}

fn outcomes(done: &Done) -> Vec<(String, String)> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let lines = done.out.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.map(|line: Value| (text(&line, "id"), text(&line, "outcome"))).collect()
}

/// Returns everything that the emulated services show or keep: the entries of the two stores whose listing has all of
/// them, and the records of files in the emulator's data directory, because a listing of PubNub has only one channel.
fn stored(home: &Home) -> BTreeSet<String> {
    let mut stored = BTreeSet::new();
    for store in ["filescom", "fileio"] {
        let listed = home.run(&["--config", "stores.toml", "--store", store, "list", "--all", "--json"]);
        assert_eq!(listed.code, 0, "{listed:?}");
        stored.extend(listed.out.lines().map(str::to_owned));
    }
    for folder in ["data-dir/pubnub/files", "data-dir/pubnub/messages", "data-dir/fileio/records"] {
        stored.extend(home.files_below(folder).iter().map(|path| path.display().to_string()));
    }
    stored
}

#[test]
fn the_rules_hold_on_the_emulated_services_and_nothing_is_left() {
    let home = Home::new();
    let served = Served::start(&home, &["--data-dir", "data-dir"]);
    home.file("other.txt", "a file of another user");
    let others: Vec<String> = STORES
        .iter()
        .map(|store| home.run(&["--config", "stores.toml", "--store", store, "upload", "other.txt"]).line())
        .collect();
    let before = stored(&home);
    assert_eq!(before.len(), 5, "{before:?}");
    for store in STORES {
        let done = conformance(&home, store);
        assert_eq!(done.code, 0, "{store}: {done:?}");
        let outcomes = outcomes(&done);
        assert!(outcomes.iter().filter(|(_, outcome)| outcome == "passed").count() > 40, "{store}: {outcomes:?}");
        assert!(outcomes.iter().all(|(_, outcome)| outcome == "passed" || outcome == "skipped"), "{outcomes:?}");
        assert_eq!(stored(&home), before, "{store}");
    }
    for reference in others {
        let read = home.run(&["--config", "stores.toml", "download", &reference, "-o", "-"]);
        assert_eq!(read.out, "a file of another user");
    }
    assert_eq!(served.messages(), 1, "that of the other file");
}

#[test]
fn the_rules_hold_on_a_local_directory_and_nothing_is_left() {
    let home = Home::new();
    home.file("stores.toml", "[stores.a]\nbackend = \"fs\"\nroot = \"files\"\n[stores.b]\nbackend = \"memory\"\n");
    std::fs::create_dir(home.path().join("files")).unwrap();
    std::fs::write(home.path().join("files/other.txt"), "other").unwrap();
    let done = home.run(&["--config", "stores.toml", "conformance"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.starts_with("STORE  RULE  RESULT   TITLE"), "{}", done.out);
    assert!(done.out.contains("\na      U1    passed "), "{}", done.out);
    assert!(done.out.contains("\nb      U1    passed "), "{}", done.out);
    let left: Vec<_> =
        std::fs::read_dir(home.path().join("files")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let left: BTreeSet<_> = left.iter().map(|name| name.to_str().unwrap()).collect();
    assert!(left.is_subset(&BTreeSet::from(["other.txt", ".filestore-tmp"])), "{left:?}");
    assert_eq!(home.files_below("files").len(), 1);
}

#[test]
fn a_broken_rule_is_an_exit_code_and_leaves_nothing() {
    let home = Home::new();
    let served = Served::start(&home, &["--data-dir", "data-dir"]);
    // Every read is damaged.
    served.control("PUT", "faults", "[[fault]]\noperation = \"download\"\ndo = { truncate = { keep = \"50%\" } }\n");
    for store in STORES {
        let done = conformance(&home, store);
        assert_eq!(done.code, 1, "{store}: {done:?}");
        assert!(outcomes(&done).contains(&("U1".to_owned(), "failed".to_owned())), "{done:?}");
    }
    assert_eq!(stored(&home), BTreeSet::new());
}

#[test]
fn files_that_cannot_be_deleted_are_named() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    served.control("PUT", "faults", "[[fault]]\noperation = \"delete\"\ndo = { status = { code = 403 } }\n");
    let done = conformance(&home, "fileio");
    assert_eq!(done.code, 8, "{done:?}");
    assert!(done.err.contains("cannot delete the test files at fileio:fileio:"), "{done:?}");
}

#[test]
fn a_store_without_deletes_is_rejected_and_gets_no_file() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("stores.toml", format!("[stores.a]\nbackend = \"fileio\"\nbase_url = \"http://{}\"\n", served.address));
    let done = conformance(&home, "a");
    assert!(done.code == 5 && done.err.contains("the test files would stay"), "{done:?}");
    assert_eq!(served.operations(), Vec::<String>::new());
}

#[test]
fn after_a_signal_nothing_is_left() {
    let home = Home::new();
    let served = Served::start(&home, &["--data-dir", "data-dir"]);
    for store in STORES {
        served.control("DELETE", "journal", "");
        let child = home.start(&["--config", "stores.toml", "conformance", store]);
        // In the middle of a rule, some of which have stored files.
        while served.operations().len() < 60 {
            sleep(Duration::from_millis(5));
        }
        kill(&child, "TERM");
        let done = done(child.wait_with_output().unwrap());
        assert_eq!(done.code, 143, "{store}: {done:?}");
        assert!(!done.err.contains("may remain"), "{store}: {done:?}");
        assert_eq!(stored(&home), BTreeSet::new(), "{store}");
    }
}
