//! Whole folders and scopes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::program::{Done, Home, done, kill};
use crate::served::Served;

/// Runs a command on a store of the emulator's configuration, or on the built-in one.
fn run(home: &Home, store: &str, args: &[&str]) -> Done {
    match store {
        "local" => home.run(args),
        _ => home.run(&[&["--config", "stores.toml", "--store", store], args].concat()),
    }
}

/// Returns the content of all files below `folder`, by their paths.
fn contents(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match fs::symlink_metadata(&path).unwrap() {
                metadata if metadata.is_dir() => folders.push(path),
                metadata if metadata.is_file() => {
                    let below = path.strip_prefix(folder).unwrap();
                    found.insert(below.as_os_str().as_bytes().to_vec(), fs::read(&path).unwrap());
                }
                _ => {}
            }
        }
    }
    found
}

/// The number of ordinary files of a tree: `TREE_FILES`, or 300.
fn size() -> usize {
    std::env::var("TREE_FILES").ok().and_then(|number| number.parse().ok()).unwrap_or(300)
}

/// Names that a file system can have and that some stores cannot.
const NAMES: [&str; 11] =
    ["é", "e\u{301}", "case", "CASE", "CON", "trailing ", "%2F", ".env", ".gitignore", "a\"b", "semi;colon"];

/// Creates a tree with files of all kinds of names, and with what is no file. Returns the names of what is no file.
fn create_tree(tree: &Path) -> [&'static str; 4] {
    for number in 0..size() {
        let folder = tree.join(format!("d{}", number % 17)).join(format!("e{}", number % 5));
        fs::create_dir_all(&folder).unwrap();
        let content = format!("{number} ").repeat(1 + number % 700);
        fs::write(folder.join(format!("{number}.txt")), content).unwrap();
    }
    let names = tree.join("names");
    fs::create_dir_all(&names).unwrap();
    for name in NAMES {
        fs::write(names.join(name), name).unwrap();
    }
    fs::write(names.join("x".repeat(255)), "long").unwrap();
    fs::write(names.join("empty"), "").unwrap();
    fs::write(names.join(OsStr::from_bytes(b"not-\xff-text")), "not text").unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    symlink("..", names.join("loop")).unwrap();
    let fifo = tree.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    ["not-\u{fffd}-text", "dangling", "loop", "fifo"]
}

#[test]
fn a_tree_goes_to_a_store_and_back_and_what_cannot_is_listed_with_its_reason() {
    there_and_back(&Home::new(), "local", "fs", &[]);
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    // Files.com compares names without case, accents and trailing spaces.
    there_and_back(&home, "filescom", "filescom", &["é", "e\u{301}", "case", "CASE"]);
}

/// `tests/interop/servers` gives the configuration of the store in `TREE_CONFIG`.
#[test]
#[ignore = "needs an S3 server"]
fn a_tree_goes_to_a_real_server_and_back() {
    let home = Home::new();
    fs::copy(std::env::var_os("TREE_CONFIG").unwrap(), home.path().join("stores.toml")).unwrap();
    // OpenDAL would remove the space at the end of a name.
    there_and_back(&home, "archive", "s3", &["trailing "]);
}

/// Sends a tree to the store of this name and back. `left_out`: the names that this store cannot have.
fn there_and_back(home: &Home, store: &str, scheme: &str, left_out: &[&str]) {
    let tree = home.path().join("tree");
    let no_files = create_tree(&tree);
    let sent = run(home, store, &["upload", "-r", "tree", "--to", "in"]);
    for name in no_files.iter().chain(left_out) {
        let lines = sent.err.lines().filter(|line| line.starts_with("error: ") && line.contains(name)).count();
        assert!(lines >= 1, "{store}: {name}: {}", sent.err);
    }
    assert!(matches!(sent.code, 2 | 5), "{store}: {sent:?}");
    let failed = sent.err.lines().filter(|line| line.starts_with("error: ")).count();
    let files = contents(&tree);
    let stored = sent.out.lines().count();
    // Three of those that fail are no files.
    assert_eq!(stored + failed - 3, files.len(), "{store}: {}", sent.err);

    let again = run(home, store, &["upload", "-r", "tree", "--to", "in", "--if-exists", "skip"]);
    assert_eq!((again.out.as_str(), again.code), ("", sent.code), "{store}: {}", again.err);
    assert!(again.err.contains(&format!("{stored} files are unchanged")), "{store}: {}", again.err);

    let scope = format!("{store}:in/tree/");
    let received = run(home, store, &["download", "-r", "--exact-names", &scope, "-o", "out"]);
    assert_eq!((received.code, received.err.as_str()), (0, ""), "{store}");
    let out = home.path().join("out");
    let back = contents(&out);
    assert_eq!(back.len(), stored, "{store}");
    let different = back.iter().filter(|(path, content)| files.get(*path) != Some(content)).map(|(path, _)| path);
    let different: Vec<_> = different.map(|path| String::from_utf8_lossy(path)).collect();
    assert!(different.is_empty(), "{store}: {different:?}");

    // Without this option, names are safe on every system.
    let received = run(home, store, &["download", "-r", &format!("{scope}names/"), "-o", "safe"]);
    assert_eq!(received.code, 0, "{store}: {received:?}");
    assert!(received.out.contains("safe/_env\n") && received.out.contains("safe/_CON\n"), "{store}: {received:?}");

    fs::remove_file(out.join("d0/e0/0.txt")).unwrap();
    fs::write(out.join("d1/e1/1.txt"), "changed").unwrap();
    let skip = ["download", "-r", "--exact-names", &scope, "-o", "out", "--if-exists", "skip"];
    let again = run(home, store, &skip);
    let mut written: Vec<&str> = again.out.lines().collect();
    written.sort_unstable();
    assert_eq!((written, again.code), (vec!["out/d0/e0/0.txt", "out/d1/e1/1.txt"], 0), "{store}: {again:?}");
    assert_eq!(contents(&out), back, "{store}");

    let folder = format!("{store}:{scheme}:in");
    assert_eq!(run(home, store, &["delete", "-r", &folder]).code, 0);
    // An object store has no folders, so none can be missing.
    let nothing = run(home, store, &["download", "-r", &scope, "-o", "none"]);
    match scheme {
        "s3" => assert!(nothing.code == 0 && nothing.err.contains("has no files that are chosen"), "{nothing:?}"),
        _ => assert_eq!(nothing.code, 3, "{nothing:?}"),
    }
}

#[test]
fn globs_choose_files_of_a_tree_and_of_a_scope_and_the_last_one_decides() {
    let home = Home::new();
    for path in ["t/a.pdf", "t/b.txt", "t/docs/c.pdf", "t/docs/draft-d.pdf", "t/.git/config"] {
        fs::create_dir_all(home.path().join(path).parent().unwrap()).unwrap();
        home.file(path, path);
    }
    let globs = ["--include", "*.pdf", "--exclude", "draft-*"];
    let sent = home.run(&[&["upload", "-r", "t/"][..], &globs].concat());
    let mut references: Vec<&str> = sent.out.lines().collect();
    references.sort_unstable();
    assert_eq!(references, ["local:fs:a.pdf", "local:fs:docs/c.pdf"]);
    assert_eq!(home.run(&["upload", "-r", "t/"]).out.lines().count(), 5);
    let received = home.run(&[&["download", "-r", "local:/", "-o", "out"][..], &globs].concat());
    let mut paths: Vec<&str> = received.out.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["out/a.pdf", "out/docs/c.pdf"]);
    // A reference to a folder is a scope, too, and a plain name is below the store of --store.
    let received = home.run(&["download", "-r", "local:fs:docs/", "-o", "out2", "--json"]);
    assert_eq!(received.out.lines().count(), 2, "{received:?}");
}

#[test]
fn bad_input_is_rejected_and_nothing_is_done() {
    let home = Home::new();
    fs::create_dir(home.path().join("t")).unwrap();
    home.file("t/a", "a");
    home.file("b", "b");
    for (args, code, words) in [
        (&["upload", "t"][..], 2, "t is a folder; upload it with -r"),
        (&["upload", "-r", "missing"], 2, "cannot read missing"),
        (&["upload", "-r", "t", "--include", "a["], 2, "the glob \"a[\" is invalid"),
        (&["upload", "-r", "t", "--exclude", ""], 2, "--exclude"),
        (&["upload", "-r", "t", "--name", "n"], 2, "--name"),
        (&["upload", "t/a", "--include", "a"], 2, "--recursive"),
        (&["upload", "-r", "t", "-"], 2, "standard input has no name in a folder"),
        (&["upload", "-r", "t", "--jobs", "0"], 2, "--jobs"),
        (&["upload", "-r", "t", "--if-exists", "never"], 2, "--if-exists"),
        (&["upload", "-r", "t", "--if-exists", "skip", "--no-clobber"], 2, "cannot be used with"),
        (&["upload", "-r", "t", "--to", "../up"], 2, "error: "),
        (&["download", "-r", "t/"], 2, "names no store"),
        (&["download", "-r", "other:t/"], 2, "other"),
        (&["download", "-r", "local:missing/", "-o", "out"], 3, "there is no such folder"),
        (&["download", "local:fs:a", "local:fs:b", "-o", "out"], 2, "out is no folder"),
        (&["download", "local:fs:a", "local:fs:b", "-o", "-"], 2, "is one file"),
        (&["download", "local:fs:x/a", "local:fs:y/a", "--force"], 2, "would be stored as"),
    ] {
        let done = home.run(args);
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{args:?}: {done:?}");
        assert!(done.err.contains(words), "{args:?}: {}", done.err);
        assert!(home.files_below("data").is_empty() && !home.path().join("out").exists(), "{args:?}");
    }
}

#[test]
fn a_store_that_chooses_references_cannot_skip_and_has_no_folders() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    fs::create_dir_all(home.path().join("t/sub")).unwrap();
    for path in ["t/a", "t/b", "t/sub/c"] {
        home.file(path, path);
    }
    for store in ["fileio", "pubnub"] {
        let skipped = run(&home, store, &["upload", "-r", "t/", "--to", "room", "--if-exists", "skip"]);
        assert_eq!(skipped.code, 5, "{skipped:?}");
        assert!(skipped.err.contains("migrate"), "{skipped:?}");
        let with_folder = run(&home, store, &["upload", "-r", "t"]);
        assert_eq!((with_folder.code, with_folder.err.contains("write t/")), (5, true), "{with_folder:?}");
    }
    assert!(served.operations().is_empty());
    let sent = run(&home, "pubnub", &["upload", "-r", "t/", "--to", "room", "--json"]);
    assert_eq!((sent.out.lines().count(), sent.code), (2, 5), "{sent:?}");
    assert!(sent.out.contains("\"path\":\"t/a\"") && sent.err.contains("sub/c"), "{sent:?}");
    let received = run(&home, "pubnub", &["download", "-r", "pubnub:room/", "-o", "out"]);
    assert_eq!((received.out.lines().count(), received.code), (2, 0), "{received:?}");
}

#[test]
fn files_that_are_not_unchanged_are_replaced_and_single_files_are_skipped_too() {
    let home = Home::new();
    home.file("a", "one");
    home.file("b", "two");
    let skip = ["upload", "a", "b", "--if-exists", "skip"];
    assert_eq!(home.run(&skip).out, "local:fs:a\nlocal:fs:b\n");
    home.file("b", "2!!");
    assert_eq!(home.run(&skip).out, "local:fs:b\n");
    let receive = ["download", "local:fs:a", "local:fs:b", "-o", ".", "--if-exists", "skip"];
    assert_eq!(home.run(&receive).out, "");
    home.file("a", "1!!");
    assert_eq!(home.run(&receive).out, "a\n");
    assert_eq!(fs::read_to_string(home.path().join("a")).unwrap(), "one");
    assert_eq!(home.run(&["upload", "a", "--if-exists", "fail"]).code, 5);
    assert_eq!(home.run(&["upload", "a", "--if-exists", "replace"]).code, 0);
}

#[test]
fn the_stored_files_have_the_times_of_the_local_ones_unless_they_are_not_wanted() {
    let home = Home::new();
    fs::create_dir(home.path().join("t")).unwrap();
    let path = home.file("t/a", "a");
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    assert_eq!(home.run(&["upload", "-r", "t/"]).code, 0);
    assert!(home.run(&["stat", "local:fs:a"]).out.contains("2001-09-09"));
    assert_eq!(home.run(&["download", "-r", "local:/", "-o", "out"]).code, 0);
    assert_eq!(fs::metadata(home.path().join("out/a")).unwrap().modified().unwrap(), old);
    assert_eq!(home.run(&["upload", "-r", "t/", "--no-times"]).code, 0);
    assert!(!home.run(&["stat", "local:fs:a"]).out.contains("2001-09-09"));
}

#[test]
fn many_references_are_deleted_with_one_command() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    fs::create_dir(home.path().join("t")).unwrap();
    for number in 0..40 {
        home.file(&format!("t/{number}"), "x");
    }
    let sent = run(&home, "filescom", &["upload", "-r", "t/", "--to", "d"]);
    let more = run(&home, "fileio", &["upload", "t/1"]).line();
    let mut args = vec!["--config", "stores.toml", "--json", "delete", "nonsense", &more];
    args.extend(sent.out.lines());
    let deleted = home.run(&args);
    assert_eq!((deleted.out.lines().count(), deleted.code), (41, 2), "{deleted:?}");
    let last: serde_json::Value = serde_json::from_str(deleted.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["deleted"], sent.out.lines().last().unwrap());
    assert_eq!(run(&home, "filescom", &["list", "d"]).out, "");
    assert!(!served.has_file(&more));
}

#[test]
fn an_interrupted_tree_says_what_is_done_and_the_same_command_goes_on_from_there() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    fs::create_dir(home.path().join("t")).unwrap();
    for number in 0..60 {
        home.file(&format!("t/{number}"), format!("{number}"));
    }
    served.control("PUT", "faults", "[[fault]]\noperation = \"upload\"\ndo = { latency = { delay = \"50ms\" } }\n");
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let args = ["--config", "stores.toml", "--store", "filescom", "upload", "-r", "t", "--jobs", "4"];
        let skip = ["--if-exists", "skip"];
        let command = [&args[..], &skip].concat();
        served.control("DELETE", "journal", "");
        let child = home.start(&command);
        // The first files are stored.
        while served.operations().len() < 25 {
            sleep(Duration::from_millis(5));
        }
        kill(&child, signal);
        let stopped = done(child.wait_with_output().unwrap());
        assert_eq!(stopped.code, code, "{stopped:?}");
        let printed = stopped.out.lines().count();
        let summary = stopped.err.lines().find(|line| line.starts_with("interrupted: ")).unwrap_or_default();
        let words = format!("interrupted: {printed} of ");
        assert!(summary.starts_with(&words) && summary.contains("--if-exists skip"), "{stopped:?}");
        // Every file that is printed is stored.
        for reference in stopped.out.lines() {
            assert_eq!(home.run(&["--config", "stores.toml", "stat", reference]).code, 0, "{reference}");
        }
    }
    served.control("DELETE", "faults", "");
    let rest = run(&home, "filescom", &["upload", "-r", "t", "--if-exists", "skip"]);
    assert_eq!(rest.code, 0, "{rest:?}");
    assert!(rest.out.lines().count() < 60 && rest.err.contains("files are unchanged"), "{rest:?}");
    let listed = run(&home, "filescom", &["list", "t", "--all", "--json"]);
    assert_eq!(listed.out.lines().count(), 60, "{listed:?}");
    assert!(!listed.out.contains("filestore-"), "{listed:?}");
}

/// Waits until the emulator has received so many uploads.
fn wait_for_uploads(served: &Served<'_>, uploads: usize) {
    while served.operations().iter().filter(|operation| *operation == "upload").count() < uploads {
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_signal_while_standard_output_is_not_read_loses_no_reference() {
    const FILES: usize = 300;
    let home = Home::new();
    let served = Served::start(&home, &[]);
    fs::create_dir(home.path().join("t")).unwrap();
    for number in 0..FILES {
        // The lines do not fit into a pipe.
        home.file(&format!("t/{number}-{}", "n".repeat(200)), "x");
    }
    let command = Served::with(&["--json", "upload", "-r", "t/"]);
    let child = home.start(&command);
    wait_for_uploads(&served, FILES);
    sleep(Duration::from_millis(200));
    kill(&child, "TERM");
    // Nothing reads the pipe until the process has ended.
    sleep(Duration::from_secs(3));
    let stopped = done(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 143, "{}", stopped.err);
    let printed = stopped.out.lines().filter(|line| line.ends_with('}')).count();
    let reported = stopped.err.lines().filter(|line| line.contains("stored as fileio:fileio:")).count();
    // The line that was being written may be in both.
    assert!((FILES..=FILES + 1).contains(&(printed + reported)), "{printed} and {reported}");
    assert!(reported > 0 && stopped.err.contains(&format!("{FILES} of {FILES} files are uploaded")), "{}", stopped.err);
}

#[test]
fn a_signal_before_a_consuming_read_is_sent_consumes_nothing_and_a_repeated_one_cuts_nothing_off() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "content");
    let reference = served.run(&["upload", "a"]).line();
    for (operation, times, is_saved) in [("list", 1, false), ("download", 2, true)] {
        let fault = format!("[[fault]]\noperation = \"{operation}\"\ndo = {{ latency = {{ delay = \"1500ms\" }} }}\n");
        served.control("PUT", "faults", &fault);
        served.control("DELETE", "journal", "");
        let command = Served::with(&["download", &reference, "-o", "copy"]);
        let child = home.start(&command);
        while !served.operations().iter().any(|seen| seen == operation) {
            sleep(Duration::from_millis(20));
        }
        for _ in 0..times {
            kill(&child, "TERM");
        }
        let stopped = done(child.wait_with_output().unwrap());
        assert_eq!(stopped.code, 143, "{stopped:?}");
        assert_eq!(home.path().join("copy").exists(), is_saved, "{operation}: {stopped:?}");
        assert_eq!(served.operations().iter().any(|seen| seen == "download"), is_saved, "{stopped:?}");
        served.control("DELETE", "faults", "");
    }
}

#[test]
fn few_open_files_are_enough_for_many_transfers() {
    let home = Home::new();
    fs::create_dir(home.path().join("t")).unwrap();
    for number in 0..200 {
        home.file(&format!("t/{number}"), "x");
    }
    let sent = home.shell("ulimit -n 64; \"$0\" upload -r t/ | wc -l; \"$0\" download -r local:/ -o out | wc -l");
    assert_eq!(String::from_utf8(sent.bytes).unwrap(), "200\n200\n", "{}", sent.err);
}
