//! Invalid input: the error names it, the exit code fits, and nothing is lost or partly written.

use crate::program::{Done, Home};

fn assert_rejected(done: &Done, code: i32, words: &[&str]) {
    assert_eq!(done.code, code, "{done:?}");
    assert_eq!(done.out, "", "{done:?}");
    for word in words {
        assert!(done.err.contains(word), "{word:?} is not in {}", done.err);
    }
}

#[test]
fn an_invalid_configuration_is_rejected() {
    for (text, words) in [
        ("[stores.a]\nbackend = \"memmory\"\n", &["memmory", "memory"][..]),
        ("[stores.a]\nbackend = \"fs\"\nrot = \"x\"\n", &["rot", "did you mean \"root\"?", "filestore.toml:3"]),
        ("[stores.a]\nbackend = \"fs\"\nroot = \"env:NOT_SET_HERE\"\n", &["NOT_SET_HERE", "is not set"]),
        ("[stores.a]\nbackend = \"fs\"\nroot = \"file:no-such-file\"\n", &["no-such-file"]),
        ("this is not toml", &["filestore.toml:1", "not TOML"]),
        ("default = \"b\"\n[stores.a]\nbackend = \"memory\"\n", &["no store \"b\""]),
        ("", &["declares no stores"]),
        ("[stores.a]\nbackend = \"fs\"\n", &["root"]),
        ("[stores.\"a b\"]\nbackend = \"memory\"\n", &["a b", "letters"]),
    ] {
        let home = Home::new();
        home.file("filestore.toml", text);
        home.file("x", "x");
        assert_rejected(&home.run(&["upload", "x"]), 2, words);
    }
    let home = Home::new();
    assert_rejected(&home.run(&["--config", "none.toml", "stores"]), 2, &["none.toml"]);
}

#[test]
fn an_invalid_reference_is_rejected() {
    let home = Home::new();
    assert_rejected(&home.run(&["stat", "garbage"]), 2, &["STORE:SCHEME:LOCATOR"]);
    assert_rejected(&home.run(&["download", "local:fs:../../etc/passwd"]), 2, &["below the root"]);
    assert_rejected(&home.run(&["stat", "other:fs:a"]), 2, &["no store \"other\""]);
    assert_rejected(&home.run(&["stat", "local:s3:a"]), 2, &["scheme"]);
    assert_rejected(&home.run(&["stat", "local:fs:nothing"]), 3, &["nothing"]);
    assert_rejected(&home.run(&["download", "local:fs:nothing", "-o", "x"]), 3, &["nothing"]);
    assert!(!home.path().join("x").exists());
}

#[test]
fn an_invalid_local_path_is_rejected() {
    let home = Home::new();
    home.file("x", "x");
    std::fs::create_dir(home.path().join("folder")).unwrap();
    assert_rejected(&home.run(&["upload", "folder"]), 2, &["folder", "is a folder"]);
    assert_rejected(&home.run(&["upload", "missing"]), 2, &["missing"]);
    assert_rejected(&home.run(&["upload", "-"]), 2, &["--name"]);
    assert_rejected(&home.run(&["upload", "x", "x", "--name", "y"]), 2, &["--name"]);
    home.run(&["upload", "x"]).line();
    assert_rejected(
        &home.run(&["download", "local:fs:x", "-o", "no/such/x"]),
        2,
        &["there is no folder no/such; create it"],
    );
    assert_eq!(home.files_below("folder").len(), 0);
}

#[test]
fn an_invalid_name_or_scope_is_rejected() {
    let home = Home::new();
    home.file("x", "x");
    let long = "n".repeat(300);
    for (name, words) in [
        ("a/b", &["separator"][..]),
        ("..", &["relative"]),
        ("", &["empty"]),
        ("a\nb", &["control"]),
        (long.as_str(), &["300", "255"]),
    ] {
        assert_rejected(&home.run(&["upload", "x", "--name", name]), 2, words);
    }
    assert_rejected(&home.run(&["upload", "x", "--to", "a/../b"]), 2, &["a/../b"]);
    assert_rejected(&home.run(&["upload", "x", "--to", "/etc"]), 2, &["/etc"]);
    assert!(home.files_below("data").is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_or_an_output_that_cannot_be_written_is_an_error() {
    let home = Home::new();
    home.file("x", "x");
    home.run(&["upload", "x"]).line();
    // Not even root can create files in /proc.
    home.file("filestore.toml", "[stores.local]\nbackend = \"fs\"\nroot = \"/proc/filestore\"\n");
    let done = home.run(&["upload", "x"]);
    assert!(done.code != 0 && done.err.contains("/proc/filestore"), "{done:?}");
    std::fs::remove_file(home.path().join("filestore.toml")).unwrap();
    // /dev/full is a disk without space.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = home.command(&["download", "local:fs:x", "-o", "-"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_rejected(&home.run(&["download", "local:fs:x", "-o", "/dev/full"]), 5, &["/dev/full"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let home = Home::new();
    assert_eq!(home.run(&["upload"]).code, 2);
    assert_eq!(home.run(&["frobnicate"]).code, 2);
    assert_eq!(home.run(&["list", "--limit", "0"]).code, 2);
    assert_rejected(&home.run(&["upload", "x", "--expires", "1|"]), 2, &["14d"]);
}

#[test]
fn a_root_that_is_a_file_is_a_configuration_error() {
    let home = Home::new();
    home.file("file", "x");
    home.file("filestore.toml", "[stores.a]\nbackend = \"fs\"\nroot = \"file\"\n");
    assert_rejected(&home.run(&["list"]), 2, &["cannot be the root", "not a folder"]);
    assert_eq!(home.run(&["config", "check"]).code, 2);
}

#[test]
fn a_demo_of_a_missing_file_is_not_a_failure_of_the_stores() {
    assert_rejected(&Home::new().run(&["demo", "no-such-file"]), 2, &["no-such-file"]);
}

#[test]
fn hidden_characters_of_a_local_name_are_escaped() {
    assert_rejected(&Home::new().run(&["upload", "no\u{1b}[31m-file"]), 2, &["no\\u{1b}[31m-file"]);
    // A name that looks like an option is in an error of the command line.
    for name in ["--x\u{1b}]0;title\u{7}", "-\u{9b}31m"] {
        let done = Home::new().run(&["upload", name]);
        assert!(done.code == 2 && done.err.contains("unexpected argument"), "{done:?}");
        assert!(!done.err.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{done:?}");
    }
}

#[cfg(unix)]
#[test]
fn hidden_characters_of_a_listed_name_are_escaped() {
    let home = Home::new();
    home.file("a", "x");
    home.run(&["upload", "a"]).line();
    let name = "x\u{9b}2J\u{202e}\u{200b}\u{2028}y";
    std::fs::write(home.path().join("data/filestore/files").join(name), "x").unwrap();
    for (args, escaped) in [(&["list"][..], "x\\u{9b}2J\\u{202e}"), (&["list", "--json"], "x\\u009b2J\\u202e")] {
        let listed = home.run(args);
        assert!(listed.out.contains(escaped), "{listed:?}");
        assert!(!listed.out.contains(['\u{9b}', '\u{202e}', '\u{200b}', '\u{2028}']), "{listed:?}");
    }
}

#[test]
fn a_download_into_a_missing_folder_is_rejected() {
    let home = Home::new();
    home.file("a", "x");
    let reference = home.run(&["upload", "a"]).line();
    assert_rejected(&home.run(&["download", &reference, "-o", "new/"]), 2, &["there is no folder new/"]);
}

#[test]
fn an_option_that_is_given_twice_is_rejected() {
    let home = Home::new();
    home.file("stores.toml", "[stores.f]\nbackend = \"fileio\"\n\n[stores.p]\nbackend = \"pubnub\"\nsubscribe_key = \"s\"\npublish_key = \"p\"\nuser_id = \"u\"\nchannel = \"c\"\n");
    home.file("a", "x");
    let file = "p:pubnub:c/11111111-6f0a-4d0e-9a54-0f2f4a3b7c11/a";
    for (args, word) in [
        (&["--store", "f", "upload", "a", "-O", "max_downloads=1", "-O", "max_downloads=9"][..], "max_downloads"),
        (&["pubnub", "publish", file, "-O", "ttl=1", "-O", "ttl=2"], "ttl"),
        (&["pubnub", "publish", file, "--message", "1", "-O", "message=2"], "message"),
    ] {
        let done = home.run(&[&["--config", "stores.toml"], args].concat());
        assert_rejected(&done, 2, &[word]);
        assert!(done.err.contains("twice") || done.err.contains("the same option"), "{done:?}");
    }
}
