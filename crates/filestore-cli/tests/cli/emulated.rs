//! file.io on the emulator, with the program and the emulator as processes: reads that consume, options, the account,
//! the demo.

use std::process::Command;

use serde_json::Value;

use crate::program::Home;
use crate::served::Served;

#[test]
fn a_file_is_read_once_and_then_not_found() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "once");
    let reference = served.run(&["upload", "a.txt", "--expires", "2d"]).line();
    assert!(reference.starts_with("fileio:fileio:"), "{reference}");
    assert!(served.run(&["stat", &reference]).out.contains("remaining downloads  1"));
    assert_eq!(served.run(&["download", &reference, "-o", "copy"]).line(), "copy");
    assert_eq!(std::fs::read(home.path().join("copy")).unwrap(), b"once");
    let second = served.run(&["download", &reference, "-o", "copy2"]);
    assert_eq!(second.code, 3, "{second:?}");
    assert!(!home.path().join("copy2").exists());
    assert_eq!(home.files_below(".").iter().filter(|path| path.to_string_lossy().contains(".part")).count(), 0);
}

#[test]
fn a_link_of_the_stores_own_origin_and_a_bare_key_are_accepted_as_a_reference() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "once");
    let upload = || served.run(&["upload", "a.txt"]).line();
    let run = |args: &[&str]| home.run(&[&["--config", "stores.toml"], args].concat());
    let with_store = |args: &[&str]| served.run(args);
    for run in [&run as &dyn Fn(&[&str]) -> crate::program::Done, &with_store] {
        let reference = upload();
        let link = run(&["url", &reference]).line();
        assert!(link.starts_with(&format!("http://{}/", served.address)), "{link}");
        assert!(run(&["stat", &link]).out.contains(&reference));
        assert_eq!(run(&["url", &link]).line(), link);
        assert_eq!(run(&["delete", &link]).code, 0);
        assert_eq!(run(&["stat", &link]).code, 3);
        let link = run(&["url", &upload()]).line();
        assert_eq!(run(&["download", &link, "-o", "-"]).out, "once");
    }
    let reference = upload();
    let key = reference.rsplit(':').next().unwrap();
    assert_eq!(run(&["stat", key]).code, 2);
    assert!(served.run(&["stat", key]).out.contains(&reference));
    assert_eq!(served.run(&["download", key, "-o", "-"]).out, "once");
}

#[test]
fn a_link_of_no_store_is_rejected_and_not_requested() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "once");
    let link = served.run(&["url", &served.run(&["upload", "a.txt"]).line()]).line();
    let key = link.rsplit('/').next().unwrap();
    let (requests, other) = (served.operations().len(), link.replace("127.0.0.1", "localhost"));
    home.file("other.toml", "[stores.local]\nbackend = \"fs\"\nroot = \"files\"\n");
    for args in [
        &["--config", "stores.toml", "download", &other][..],
        &["--config", "stores.toml", "--store", "fileio", "download", &other],
        &["--config", "stores.toml", "--store", "pubnub", "download", &link],
        &["--config", "other.toml", "download", &link],
        &["--config", "stores.toml", "download", &format!("{link}/x")],
    ] {
        let done = home.run(args);
        assert!(done.code == 2 && done.err.contains("is not a link of"), "{args:?}: {done:?}");
        assert!(!done.err.contains(key), "{args:?}: {done:?}");
    }
    // The store of the link may be one that cannot be read.
    home.file("secret.toml", "[stores.a]\nbackend = \"fileio\"\napi_key = \"env:NO_SUCH_VARIABLE\"\n");
    let done = home.run(&["--config", "secret.toml", "download", &link]);
    assert!(done.code == 2 && done.err.contains("NO_SUCH_VARIABLE"), "{done:?}");
    assert_eq!(served.operations().len(), requests);
}

#[test]
fn a_link_of_several_stores_is_one_of_the_default_store() {
    let home = Home::new();
    let stores = |default: &str| {
        format!(
            "{default}[stores.a]\nbackend = \"fileio\"\nbase_url = \"http://127.0.0.1:9\"\n\
             [stores.b]\nbackend = \"fileio\"\nbase_url = \"http://127.0.0.1:9\"\n"
        )
    };
    home.file("filestore.toml", stores(""));
    let done = home.run(&["url", "http://127.0.0.1:9/Ab12Cd34"]);
    assert!(done.code == 2 && done.err.contains("the stores a, b"), "{done:?}");
    assert_eq!(home.run(&["--store", "b", "url", "http://127.0.0.1:9/Ab12Cd34"]).code, 0);
    home.file("filestore.toml", stores("default = \"b\"\n"));
    assert_eq!(home.run(&["url", "http://127.0.0.1:9/Ab12Cd34"]).code, 0);
    let json = home.run(&["--json", "url", "http://127.0.0.1:9/Ab12Cd34"]).out;
    assert!(json.contains("\"ref\":\"b:fileio:Ab12Cd34\""), "{json}");
}

#[test]
fn only_a_download_reads_the_file() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "once");
    home.file("exists", "x");
    let reference = served.run(&["upload", "a.txt", "-O", "title=report"]).line();
    for args in [
        &["stat", &reference][..],
        &["url", &reference],
        &["url", &reference, "--expires", "1h"],
        &["list"],
        &["list", "--all", "--json"],
        &["caps", "fileio"],
        &["fileio", "me"],
        &["fileio", "update", &reference, "--expires", "3d"],
    ] {
        assert_eq!(served.run(args).code, 0, "{args:?}");
    }
    for args in [&["config", "show"][..], &["stores"]] {
        assert_eq!(home.run(&[&["--config", "stores.toml"], args].concat()).code, 0, "{args:?}");
    }
    // The command is rejected before a request is sent.
    assert_eq!(served.run(&["download", &reference, "-o", "exists"]).code, 5);
    assert_eq!(served.run(&["download", &reference, "-o", "no/folder/x"]).code, 2);
    assert_eq!(served.run(&["download", &reference, "-o", "no-folder/"]).code, 2);
    assert_eq!(served.reads(), 0, "{:?}", served.operations());
    assert_eq!(served.run(&["download", &reference, "-o", "-"]).bytes, b"once");
    assert_eq!(served.reads(), 1);
    served.run(&["delete", &reference]);
    assert_eq!(served.reads(), 1);
}

#[test]
fn the_service_applies_options_and_updates() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "thrice");
    home.file("b.txt", "replaced");
    let upload = served.run(&["--json", "upload", "a.txt", "-O", "max_downloads=3", "--expires", "never"]);
    let file: Value = serde_json::from_str(upload.line().as_str()).unwrap();
    assert_eq!((file["remaining_downloads"].as_u64(), file["expires"].as_str()), (Some(3), Some("never")));
    let reference = file["ref"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(served.run(&["download", reference, "-o", "-"]).bytes, b"thrice");
    }
    assert_eq!(served.run(&["download", reference, "-o", "-"]).code, 3);

    let reference = served.run(&["upload", "a.txt"]).line();
    let update = served.run(&["--json", "fileio", "update", &reference, "--max-downloads", "5"]);
    let file: Value = serde_json::from_str(update.line().as_str()).unwrap();
    assert_eq!(file["remaining_downloads"].as_u64(), Some(5));
    assert_eq!(served.run(&["fileio", "update", &reference, "--replace-with", "b.txt"]).line(), reference);
    assert_eq!(served.run(&["download", &reference, "-o", "-"]).bytes, b"replaced");
    let unknown = served.run(&["upload", "a.txt", "-O", "max_download=3"]);
    assert!(unknown.code == 2 && unknown.err.contains("did you mean \"max_downloads\"?"), "{unknown:?}");
    let account = served.run(&["--json", "fileio", "me"]).line();
    assert!(account.contains("\"plan\":1"), "{account}");
}

#[test]
fn the_media_type_is_guessed_from_the_name_unless_it_is_given() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("index.html", "x");
    for (more, expected) in [(&[][..], "text/html"), (&["--content-type", "text/plain"], "text/plain")] {
        let reference = served.run(&[&["upload", "index.html"], more].concat()).line();
        let file: Value = serde_json::from_str(&served.run(&["--json", "stat", &reference]).line()).unwrap();
        assert_eq!(file["content_type"], expected);
    }
    // A store without media types rejects one.
    let local = home.run(&["upload", "index.html", "--content-type", "text/plain"]);
    assert!(local.code == 5 && local.err.contains("media types"), "{local:?}");
}

#[test]
fn an_anonymous_store_rejects_operations_that_it_does_not_support() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    home.file(
        "anonymous.toml",
        format!("[stores.drop]\nbackend = \"fileio\"\nbase_url = \"http://{}\"\n", served.address),
    );
    let run = |args: &[&str]| {
        let mut all = vec!["--config", "anonymous.toml"];
        all.extend(args);
        home.run(&all)
    };
    let reference = run(&["upload", "a.txt"]).line();
    let stat = run(&["stat", &reference]);
    assert!(stat.code == 5 && stat.err.contains("a read consumes"), "{stat:?}");
    assert_eq!(run(&["list"]).code, 5);
    assert_eq!(run(&["upload", "a.txt", "-O", "max_downloads=2"]).code, 5);
    assert_eq!(run(&["download", &reference, "-o", "-"]).bytes, b"x");
    let rejected = home.run(&Served::with(&["--config", "stores.toml", "stores"]));
    assert_eq!(rejected.code, 2, "an option cannot be given twice");
}

#[test]
fn a_consuming_download_that_breaks_keeps_the_bytes_that_arrived_and_is_not_retried() {
    for (fault, arrives) in [
        ("do = \"lost-answer\"", false),
        ("do = { reset = { at = \"headers\" } }", false),
        ("do = { cut-download = { after = \"50%\" } }", true),
        ("do = { reset = { at = \"body\", after = \"50%\" } }", true),
    ] {
        let home = Home::new();
        let served = Served::start(&home, &[]);
        home.file("big", vec![7; 4_000_000]);
        let reference = served.run(&["upload", "big"]).line();
        served.control("PUT", "faults", &format!("[[fault]]\noperation = \"download\"\n{fault}\n"));
        let broken = served.run(&["download", &reference, "-o", "copy"]);
        assert_eq!(broken.code, 8, "{fault}: {broken:?}");
        assert!(broken.err.contains("possibly consumed"), "{fault}: {broken:?}");
        assert_eq!(served.reads(), 1, "{fault}");
        assert!(!home.path().join("copy").exists(), "{fault}");
        let kept: Vec<_> = home
            .files_below(".")
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "partial"))
            .collect();
        assert_eq!(kept.len(), 1, "{fault}: {kept:?}");
        let name = kept[0].file_name().unwrap().to_string_lossy().into_owned();
        assert!(broken.err.contains(&name), "{fault}: {broken:?}");
        if arrives {
            assert!(kept[0].metadata().unwrap().len() > 0, "{fault}");
        }
    }
}

#[test]
fn the_error_of_an_update_names_the_shortened_reference() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    let failed = served.run(&["fileio", "update", "fileio:fileio:CANARYCANARY", "--title", "t"]);
    assert_eq!(failed.code, 3, "{failed:?}");
    assert!(failed.err.starts_with("error: fileio: update \"fileio:fileio:CAN...\": "), "{failed:?}");
    assert!(!failed.err.contains("CANARYCANARY"), "{failed:?}");
}

#[test]
fn neither_output_nor_logs_show_a_key() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    let reference = served.run(&["upload", "a.txt"]).line();
    let key = reference.rsplit(':').next().unwrap().to_owned();
    let api_key = "FILEIO0.EMULATO-RKEY000-0000000-0000000";
    for args in [
        &["stat", &reference][..],
        &["download", &reference, "-o", "copy"],
        &["download", &reference, "-o", "copy2"],
        &["delete", &reference],
        &["fileio", "update", &reference, "--title", "t"],
        &["fileio", "me"],
        &["config", "show"],
        &["config", "check"],
        &["list", "--page", "nonsense"],
    ] {
        let output = home.command(&Served::with(args)).env("RUST_LOG", "trace").output().unwrap();
        let logged = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(!logged.contains(&key), "{args:?}: {logged}");
        assert!(!logged.contains(api_key) && !printed.contains(api_key), "{args:?}: {logged} {printed}");
    }
}

#[test]
fn missing_bytes_are_an_integrity_error() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; 100_000]);
    let reference = served.run(&["upload", "big"]).line();
    served.control(
        "PUT",
        "faults",
        "[[fault]]\noperation = \"upload\"\ndo = { truncate = { keep = \"50%\", of = \"request\" } }\n",
    );
    let short = served.run(&["upload", "big"]);
    assert_eq!(short.code, 7, "{short:?}");
    assert!(short.out.starts_with("fileio:fileio:"), "stored, so the reference is not lost: {short:?}");
    served.run(&["delete", &reference]);
}

#[test]
fn a_consuming_download_that_is_shorter_than_listed_is_an_integrity_error() {
    for rule in ["do = { truncate = { keep = \"50%\" } }", "do = \"empty-body\""] {
        let home = Home::new();
        let served = Served::start(&home, &[]);
        home.file("big", vec![7; 100_000]);
        for output in ["copy", "-"] {
            let reference = served.run(&["upload", "big"]).line();
            served.control("PUT", "faults", &format!("[[fault]]\noperation = \"download\"\n{rule}\n"));
            let short = served.run(&["download", &reference, "-o", output]);
            assert_eq!(short.code, 7, "{rule}: {short:?}");
            assert!(short.err.contains("listed with 100000") && short.err.contains("possibly consumed"), "{short:?}");
            assert!(!home.path().join("copy").exists());
        }
    }
}

#[test]
fn all_bytes_of_a_consuming_download_that_is_longer_than_listed_are_kept() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; 1_000_000]);
    for output in ["copy", "-"] {
        let reference = served.run(&["upload", "big"]).line();
        let key = reference.rsplit(':').next().unwrap();
        let listing = format!(r#"{{"success":true,"nodes":[{{"key":"{key}","name":"big","size":100}}]}}"#);
        let headers = r#"{ "content-type" = "application/json" }"#;
        served.control(
            "PUT",
            "faults",
            &format!(
                "[[fault]]\noperation = \"list\"\ndo = {{ status = {{ code = 200, text = '{listing}', headers = {headers} }} }}\n"
            ),
        );
        let long = served.run(&["download", &reference, "-o", output]);
        assert_eq!(long.code, 7, "{long:?}");
        assert!(long.err.contains("1000000 bytes were received, but the file was listed with 100 bytes"), "{long:?}");
        let (place, kept) = match output {
            "-" => ("the bytes went to standard output", long.bytes),
            _ => ("copy.partial", std::fs::read(home.path().join("copy.partial")).unwrap()),
        };
        assert!(long.err.contains(place) && kept == vec![7; 1_000_000], "{}", long.err);
    }
}

#[test]
fn an_emulator_with_a_data_folder_survives_a_kill() {
    let home = Home::new();
    let mut served = Served::start(&home, &["--data-dir", "data-of-emulator"]);
    home.file("a", vec![1; 200_000]);
    let kept = served.run(&["upload", "a"]).line();
    let consumed = served.run(&["upload", "a"]).line();
    assert_eq!(served.run(&["download", &consumed, "-o", "copy"]).code, 0);
    served.kill();
    let served = Served::start(&home, &["--data-dir", "data-of-emulator"]);
    assert_eq!(served.run(&["download", &consumed, "-o", "again"]).code, 3, "a consumed file stays consumed");
    assert_eq!(served.run(&["download", &kept, "-o", "-"]).bytes.len(), 200_000);
}

#[test]
fn a_file_stays_consumed_after_a_kill_of_the_emulator_in_the_middle_of_the_body() {
    let home = Home::new();
    home.file("slow.toml", "[[fault]]\noperation = \"download\"\ndo = { stall-download = { after = \"10%\" } }\n");
    let mut served = Served::start(&home, &["--data-dir", "data-of-emulator", "--faults", "slow.toml"]);
    home.file("a", vec![1; 1_000_000]);
    let reference = served.run(&["upload", "a"]).line();
    let mut reader = home.command(&Served::with(&["download", &reference, "-o", "copy"])).spawn().unwrap();
    // The emulator counts the download before it sends the first byte, and the fault stalls the body after 10%.
    while !served.has_sent() {
        std::thread::yield_now();
    }
    served.kill();
    assert_eq!(reader.wait().unwrap().code(), Some(8));
    let served = Served::start(&home, &["--data-dir", "data-of-emulator"]);
    assert_eq!(served.run(&["download", &reference, "-o", "-"]).code, 3);
}

#[test]
fn a_killed_emulator_serves_no_partial_upload() {
    let home = Home::new();
    home.file("stall.toml", "[[fault]]\noperation = \"upload\"\ndo = { stall-upload = { after = \"50%\" } }\n");
    let mut served = Served::start(&home, &["--data-dir", "data-of-emulator", "--faults", "stall.toml"]);
    home.file("a", vec![1; 2_000_000]);
    let mut writer = home.command(&Served::with(&["upload", "a"])).spawn().unwrap();
    while served.operations().is_empty() {
        std::thread::yield_now();
    }
    served.kill();
    assert_ne!(writer.wait().unwrap().code(), Some(0));
    let served = Served::start(&home, &["--data-dir", "data-of-emulator"]);
    let listed = served.run(&["list", "--json"]);
    assert_eq!((listed.code, listed.out.as_str()), (0, ""), "{listed:?}");
}

#[cfg(unix)]
#[test]
fn sigterm_ends_the_emulator_cleanly() {
    let home = Home::new();
    let mut served = Served::start(&home, &[]);
    assert!(Command::new("kill").arg(served.pid().to_string()).status().unwrap().success());
    assert_eq!(served.ended(), Some(0));
}

#[test]
fn an_emulator_on_a_public_address_needs_a_control_token() {
    let home = Home::new();
    let rejected = home.run(&["emulator", "--listen", "0.0.0.0:0"]);
    assert!(rejected.code == 2 && rejected.err.contains("control token"), "{rejected:?}");
}

#[test]
fn the_emulator_listens_on_the_loopback_address_of_a_name() {
    let home = Home::new();
    let served = Served::start_on(&home, "localhost:0", &[]);
    assert!(served.address.starts_with("127.0.0.1:"), "{}", served.address);
    for invalid in ["no-such-host.invalid:0", "localhost", "127.0.0.1:port"] {
        let rejected = home.run(&["emulator", "--listen", invalid]);
        assert!(rejected.code == 2 && rejected.err.contains("127.0.0.1:7070"), "{invalid}: {rejected:?}");
    }
}

#[test]
fn a_demo_with_faults_fails_and_names_the_store_and_the_step() {
    for (rule, words) in [
        ("operation = \"download\"\ndo = { corrupt = { at = 10 } }", ["fileio: download FAILED", "byte 10"]),
        ("operation = \"download\"\ndo = { truncate = { keep = \"50%\" } }", ["fileio: download FAILED", "bytes"]),
        (
            "operation = \"upload\"\ndo = { truncate = { keep = \"50%\", of = \"request\" } }",
            ["fileio: upload FAILED", "bytes"],
        ),
        (
            "operation = \"upload\"\ndo = { corrupt = { at = 5, of = \"request\" } }",
            ["fileio: download FAILED", "byte 5"],
        ),
    ] {
        let home = Home::new();
        home.file("faults.toml", format!("[[fault]]\n{rule}\n"));
        home.file("README.md", "a file of some length to send around\n".repeat(20));
        let done = home.run(&["demo", "--faults", "faults.toml"]);
        assert_ne!(done.code, 0, "{rule}: {done:?}");
        for word in words {
            assert!(done.out.contains(word), "{rule}: {}", done.out);
        }
        assert!(done.out.lines().any(|line| line.starts_with("fs ") && line.ends_with("ok")), "{}", done.out);
    }
    let home = Home::new();
    home.file("faults.toml", "[[fault]]\ndo = \"explode\"\n");
    let done = home.run(&["demo", "--faults", "faults.toml"]);
    assert_eq!(done.code, 2, "{done:?}");
}

#[test]
fn an_option_that_had_no_effect_is_a_warning() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    let reference = served.run(&["upload", "a.txt"]).line();
    served.control("PUT", "faults", "[[fault]]\ndo = { plan = \"free\" }\n\n[[fault]]\ndo = \"clamp\"\n");
    for args in [
        &["upload", "a.txt"][..],
        &["fileio", "update", &reference],
        &["fileio", "update", &reference, "--replace-with", "a.txt"],
    ] {
        let done = served.run(&[args, &["--expires", "never"]].concat());
        assert!(done.code == 0 && done.err.contains("expiry had no effect"), "{args:?}: {done:?}");
        let quiet = served.run(&[args, &["--expires", "never", "--quiet"]].concat());
        assert_eq!((quiet.code, quiet.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn an_update_to_the_default_expiry_is_rejected() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    let reference = served.run(&["upload", "a.txt", "--expires", "3d"]).line();
    let done = served.run(&["fileio", "update", &reference, "--title", "t", "--expires", "default"]);
    assert!(done.code == 2 && done.err.contains("default expiry"), "{done:?}");
}

#[test]
fn a_command_that_would_store_an_input_twice_is_not_safe_to_retry() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "1");
    home.file("b", "2");
    let busy = |nth| {
        format!(
            "[[fault]]\noperation = \"upload\"\nnth = {nth}\n\
             do = {{ status = {{ code = 429, headers = {{ \"Retry-After\" = \"3600\" }} }} }}\n"
        )
    };
    served.control("PUT", "faults", &format!("{}{}", busy(2), busy(3)));
    let one_of_two = served.run(&["upload", "a", "b"]);
    assert_eq!((one_of_two.code, one_of_two.out.lines().count()), (1, 1), "{one_of_two:?}");
    let none = served.run(&["upload", "b"]);
    assert_eq!((none.code, none.out.as_str()), (6, ""), "{none:?}");
}
