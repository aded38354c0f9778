//! `cp` and `migrate`: new references, what is proven, resumption, and clear errors.

use std::fs;

use serde_json::Value;

use crate::program::{Done, Home};
use crate::served::Served;

/// A local store, and the emulated services.
struct Stores<'a> {
    home: &'a Home,
    served: Served<'a>,
}

impl<'a> Stores<'a> {
    fn start(home: &'a Home) -> Self {
        let served = Served::start(home, &[]);
        let config = fs::read_to_string(home.path().join("stores.toml")).unwrap();
        let api_key = config.lines().find(|line| line.starts_with("api_key") && line.contains("filescom")).unwrap();
        let more = format!(
            "{config}\n[stores.local]\nbackend = \"fs\"\nroot = \"files\"\n\n[stores.other]\nbackend = \"fs\"\nroot = \
             \"others\"\n\n[stores.site]\nbackend = \"filescom\"\nbase_url = \"http://{}\"\nroot = \"sub\"\n{api_key}\n",
            served.address
        );
        home.file("all.toml", more);
        Self { home, served }
    }

    fn run(&self, args: &[&str]) -> Done {
        self.home.run(&[&["--config", "all.toml"], args].concat())
    }

    fn upload(&self, store: &str, name: &str, content: &str) -> String {
        self.home.file(name, content);
        self.run(&["--store", store, "upload", name]).line()
    }

    fn content(&self, reference: &str) -> String {
        let done = self.run(&["download", reference, "-o", "-"]);
        assert_eq!(done.code, 0, "{done:?}");
        done.out
    }

    fn faults(&self, rule: &str) {
        self.served.control("PUT", "faults", &format!("[[fault]]\n{rule}\n"));
    }

    fn migrate(&self, args: &[&str]) -> Done {
        self.run(&[&["migrate"], args, &["--journal", "journal", "--map", "map"]].concat())
    }
}

fn json(done: &Done) -> Value {
    serde_json::from_str(done.out.lines().next().unwrap()).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

#[test]
fn a_file_is_copied_from_each_store_to_each_other() {
    let home = Home::new();
    let stores = Stores::start(&home);
    for from in ["local", "pubnub", "filescom", "fileio"] {
        for to in ["other", "pubnub", "filescom", "fileio"] {
            let (name, new_name) = (format!("{from}-{to}"), format!("{from}-{to}-2"));
            let reference = stores.upload(from, &name, "hello");
            let consume: &[&str] = if from == "fileio" { &["--consume"] } else { &[] };
            let args = [&["cp", &reference, to, "--name", &new_name], consume].concat();
            let new = stores.run(&args).line();
            assert!(new.starts_with(&format!("{to}:")), "{new}");
            assert_eq!(stores.content(&new), "hello", "{name}");
        }
    }
    assert_eq!(fs::read_dir(home.path().join("data/filestore/spool")).unwrap().count(), 0);
}

#[test]
fn a_copy_says_what_is_not_kept_and_what_is_not_proven() {
    let home = Home::new();
    let stores = Stores::start(&home);
    let reference = stores.upload("filescom", "a.txt", "hello");
    let done = stores.run(&["--json", "cp", &reference, "local"]);
    assert!(
        done.err.contains("does not keep content-type") && done.err.contains("only the size is proven"),
        "{done:?}"
    );
    let object = json(&done);
    assert_eq!((&object["ref"], &object["from"]), (&"local:fs:a.txt".into(), &Value::from(reference.clone())));
    assert_eq!((&object["proof"], &object["size"]), (&"size".into(), &5.into()));
    let done = stores.run(&["--json", "cp", &reference, "local", "--verify", "read-back"]);
    assert_eq!((done.code, &json(&done)["proof"]), (0, &"read-back".into()));
    let done = stores.run(&["cp", &reference, "fileio", "--verify", "read-back"]);
    assert!(done.code == 5 && done.err.contains("may consume"), "{done:?}");
}

#[test]
fn a_damaged_copy_is_an_integrity_error_and_an_html_page_leaves_the_effect_unknown() {
    let home = Home::new();
    let stores = Stores::start(&home);
    let reference = stores.upload("local", "a.txt", "hello");
    let corrupt = "do = { corrupt = { at = 0, of = \"request\" } }";
    for (to, rule, code) in [
        ("filescom", format!("operation = \"upload\"\nstep = \"part\"\n{corrupt}"), 7),
        ("pubnub", format!("operation = \"upload\"\nstep = \"form\"\n{corrupt}"), 7),
        ("fileio", "operation = \"upload\"\ndo = { truncate = { keep = 3, of = \"request\" } }".to_owned(), 7),
        ("fileio", "operation = \"upload\"\ndo = { html = { code = 200 } }".to_owned(), 8),
    ] {
        stores.faults(&rule);
        let done = stores.run(&["cp", &reference, to]);
        assert_eq!(done.code, code, "{to} {rule}: {done:?}");
        stores.served.control("PUT", "faults", "");
        assert_eq!(stores.content(&reference), "hello");
    }
}

#[test]
fn a_copy_on_pubnub_announces_nothing_unless_the_options_say_so() {
    let home = Home::new();
    let stores = Stores::start(&home);
    let reference = stores.upload("local", "a.txt", "hello");
    stores.run(&["cp", &reference, "pubnub"]).line();
    stores.migrate(&["local", "pubnub"]).line();
    assert_eq!(stores.served.messages(), 0);
    stores.run(&["cp", &reference, "pubnub", "-O", "publish=true"]).line();
    stores.run(&["cp", &reference, "pubnub", "-O", "ttl=1"]).line();
    assert_eq!(stores.served.messages(), 1);
}

#[test]
fn the_service_copies_between_two_stores_of_one_account() {
    let home = Home::new();
    let stores = Stores::start(&home);
    let reference = stores.upload("filescom", "a.txt", "hello");
    let before = stores.served.operations().len();
    let new = stores.run(&["cp", &reference, "site", "--to", "x", "--name", "b.txt"]).line();
    assert_eq!(new, "site:filescom:sub/x/b.txt");
    let operations = stores.served.operations().split_off(before);
    assert!(operations.iter().any(|operation| operation == "copy"), "{operations:?}");
    assert!(operations.iter().all(|operation| operation != "upload" && operation != "download"), "{operations:?}");
    assert_eq!(stores.content(&new), "hello");
}

#[test]
fn a_copy_that_makes_no_sense_is_rejected_before_anything_is_sent() {
    let home = Home::new();
    let stores = Stores::start(&home);
    let (one, two) = (stores.upload("local", "a.txt", "1"), stores.upload("other", "a.txt", "2"));
    let once = stores.upload("fileio", "once", "3");
    for (args, code, expected) in [
        (&["cp", &one, &two][..], 2, "the last argument is the name of a store"),
        (&["cp", &one, "nowhere"], 2, "nowhere"),
        (&["cp", &one], 2, "cp [OPTIONS] <REF>... <STORE>"),
        (&["cp", &one, &once, "filescom", "--name", "x"], 2, "one file only"),
        (&["cp", &one, &two, "filescom"], 2, "would replace each other"),
        (&["cp", &one, "local"], 2, "would be replaced by a copy"),
        (&["cp", "local:fs:missing", "filescom"], 3, "missing"),
        (&["cp", &once, "filescom"], 5, "--consume"),
        (&["cp", &one, "filescom", "-O", "ttl=1"], 2, "ttl"),
        (&["cp", &one, "fileio", "--to", "x"], 5, "scope"),
    ] {
        let done = stores.run(args);
        assert!(done.code == code && done.err.contains(expected), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
    }
    assert!(stores.served.operations().iter().all(|operation| operation != "download"));
    assert_eq!(stores.content(&once), "3");
}

#[test]
fn a_consumed_content_that_could_not_be_copied_is_kept_and_copied_by_the_same_command() {
    let home = Home::new();
    let stores = Stores::start(&home);
    let reference = stores.upload("fileio", "a.txt", "once");
    stores.faults("service = \"filescom\"\noperation = \"upload\"\ndo = { status = { code = 403 } }");
    let args = ["cp", &reference, "filescom", "--consume"];
    let done = stores.run(&args);
    assert_eq!(done.code, 4, "{done:?}");
    let kept = done.err.lines().find_map(|line| line.strip_prefix("the content is kept in ")).unwrap();
    let kept = kept.split(';').next().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "once");
    assert!(!done.err.contains(reference.rsplit(':').next().unwrap()), "{done:?}");
    stores.served.control("PUT", "faults", "");
    assert_eq!(stores.content(&stores.run(&args).line()), "once");
    assert!(!fs::exists(kept).unwrap());
}

#[test]
fn a_migration_is_summed_up_and_its_dry_run_changes_nothing() {
    let home = Home::new();
    let stores = Stores::start(&home);
    for (name, content) in [("a.txt", "1"), ("b.txt", "22")] {
        stores.upload("local", name, content);
    }
    let done = stores.migrate(&["local", "filescom:in/", "--dry-run"]);
    assert_eq!(done.line(), "2 files (3 bytes) would be copied, 0 are at the destination already, 0 are not copied");
    assert!(!fs::exists(home.path().join("journal")).unwrap() && !fs::exists(home.path().join("map")).unwrap());
    let done = stores.migrate(&["local", "filescom:in/"]);
    assert_eq!(done.line(), "2 files (3 bytes) are copied, 0 are at the destination already, 0 are not copied");
    let map = fs::read_to_string(home.path().join("map")).unwrap();
    let mut lines: Vec<&str> = map.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[0], "{\"from\":\"local:fs:a.txt\",\"to\":\"filescom:filescom:in/a.txt\"}");
    let done = stores.run(&["--json", "migrate", "local", "filescom:in/", "--journal", "journal", "--map", "map"]);
    assert_eq!(json(&done), serde_json::json!({ "already": 2, "bytes": 0, "copied": 0, "failed": 0 }));
}

#[test]
fn a_migration_goes_on_after_files_that_fail_and_says_which() {
    let home = Home::new();
    let stores = Stores::start(&home);
    for name in ["a.txt", "b.txt", "c.txt"] {
        stores.upload("local", name, name);
    }
    stores.upload("filescom", "b.txt", "another");
    // Files.com drops the space, and so rejects the name.
    stores.run(&["--store", "local", "upload", "a.txt", "--name", "d "]).line();
    let done = stores.migrate(&["local", "filescom"]);
    assert!([2, 5].contains(&done.code), "{done:?}");
    assert!(
        done.err.contains("upload \"filescom:filescom:b.txt\"") && done.err.contains("another file in its place"),
        "{done:?}"
    );
    assert!(done.out.contains("2 files") && done.out.contains("2 are not copied"), "{done:?}");
    assert_eq!(stores.content("filescom:filescom:b.txt"), "another");
    stores.run(&["delete", "filescom:filescom:b.txt"]);
    stores.run(&["delete", "local:fs:d%20"]);
    assert_eq!(stores.migrate(&["local", "filescom"]).code, 0);
    assert_eq!(fs::read_to_string(home.path().join("map")).unwrap().lines().count(), 3);
}

#[test]
fn an_interrupted_upload_to_file_io_is_recognized_unless_several_files_may_be_it() {
    let home = Home::new();
    let stores = Stores::start(&home);
    stores.upload("local", "a.txt", "1");
    stores.migrate(&["local", "fileio"]).line();
    let cut_after_begin = || {
        let journal = fs::read_to_string(home.path().join("journal")).unwrap();
        home.file("journal", journal.split_inclusive('\n').take(2).collect::<String>());
        fs::remove_file(home.path().join("map")).unwrap();
    };
    let files = || stores.run(&["--store", "fileio", "list", "--all", "--json"]).out.lines().count();
    cut_after_begin();
    assert!(stores.migrate(&["local", "fileio"]).line().contains("0 files (0 bytes) are copied, 1 are"));
    assert_eq!((files(), fs::read_to_string(home.path().join("map")).unwrap().lines().count()), (1, 1));
    // Another program stores a file of this name and size.
    stores.upload("fileio", "a.txt", "2");
    cut_after_begin();
    let done = stores.migrate(&["local", "fileio"]);
    assert!(done.line().starts_with("1 files") && done.err.contains("sent again"), "{done:?}");
    assert_eq!(done.err.matches("fileio:fileio:").count(), 2, "{done:?}");
    assert_eq!(files(), 3);
}

#[test]
fn a_migration_that_cannot_begin_says_why_and_changes_nothing() {
    let home = Home::new();
    let stores = Stores::start(&home);
    stores.upload("local", "a.txt", "1");
    stores.upload("fileio", "once", "2");
    stores.migrate(&["local", "other"]).line();
    home.file("damaged", "{\"migration\":{\"version\":1,\"from\":\"local\",\"to\":\"filescom\"}}\nnonsense\n");
    let files = ["--journal", "j", "--map", "m"];
    for (args, code, expected) in [
        (&["local", "local"][..], 2, "name two stores"),
        (&["local", "nowhere"], 2, "nowhere"),
        (&["local:fs:a.txt", "filescom"], 2, "is a file"),
        (&["fileio", "filescom"], 5, "--consume"),
        (&["local", "filescom", "--shard", "5/4"], 2, "there is no shard 5 of 4"),
        (&["local", "filescom", "--shard", "0/4"], 2, "there is no shard 0 of 4"),
        (&["local", "fileio", "--verify", "read-back"], 5, "may consume"),
        (&["local", "filescom", "--include", "["], 2, "["),
        (&["local", "filescom", "--journal", "journal"], 2, "is the journal of the migration from local to other"),
        (&["local", "filescom", "--journal", "damaged"], 2, "line 2 of damaged"),
        (&["local", "filescom", "--map", "j"], 2, "one file"),
        (&["local", "filescom", "--map", "missing/m"], 2, "missing/m"),
    ] {
        let named = |name: &str| args.contains(&name);
        let more = files.chunks(2).filter(|pair| !named(pair[0])).flatten().copied();
        let args: Vec<&str> = ["migrate"].into_iter().chain(args.iter().copied()).chain(more).collect();
        let done = stores.run(&args);
        assert!(done.code == code && done.err.contains(expected), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
    }
    let operations = stores.served.operations();
    assert_eq!(operations.iter().filter(|operation| *operation == "upload").count(), 1, "{operations:?}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_under_the_journal_ends_the_migration_and_loses_nothing() {
    let home = Home::new();
    let stores = Stores::start(&home);
    for number in 0..40 {
        stores.upload("local", &format!("{number}.txt"), "1");
    }
    let script =
        "ulimit -f 4; exec \"$0\" --config all.toml migrate local filescom --journal journal --map map --jobs 1";
    let done = home.shell(script);
    assert!(done.code == 5 && done.err.contains("cannot write journal"), "{done:?}");
    let copied: u32 = done.out.split(' ').next().unwrap().parse().unwrap();
    assert!(
        (1..40).contains(&copied) && done.out.ends_with(&format!(", {} are not copied\n", 40 - copied)),
        "{done:?}"
    );
    assert_eq!(stores.migrate(&["local", "filescom"]).code, 0);
    let listed = stores.run(&["--store", "filescom", "list", "--all", "--json"]);
    assert_eq!(listed.out.lines().count(), 40, "{listed:?}");
    assert_eq!(fs::read_to_string(home.path().join("map")).unwrap().lines().count(), 40);
}
