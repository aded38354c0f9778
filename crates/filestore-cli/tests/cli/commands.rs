//! Each command, without a configuration unless the test writes one.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::program::Home;

#[test]
fn a_file_is_stored_and_downloaded_without_any_configuration() {
    let home = Home::new();
    home.file("README.md", "hello\n");
    let reference = home.run(&["upload", "README.md"]).line();
    assert_eq!(reference, "local:fs:README.md");
    assert!(home.run(&["stat", &reference]).out.contains("size                 6"));
    assert!(home.run(&["url", &reference]).line().starts_with("file:///"));
    let copy = home.run(&["download", &reference, "-o", "copy.md"]);
    assert_eq!(copy.line(), "copy.md");
    assert_eq!(std::fs::read(home.path().join("copy.md")).unwrap(), b"hello\n");
    assert_eq!(home.run(&["delete", &reference]).code, 0);
    assert_eq!(home.run(&["stat", &reference]).code, 3);
    assert_eq!(home.run(&["delete", &reference]).code, 0, "a second delete succeeds");
}

#[test]
fn a_download_to_an_existing_path_is_rejected_without_force() {
    let home = Home::new();
    home.file("a", "new");
    home.file("copy", "old");
    let reference = home.run(&["upload", "a"]).line();
    let rejected = home.run(&["download", &reference, "-o", "copy"]);
    assert_eq!(rejected.code, 5, "{rejected:?}");
    assert!(rejected.err.contains("exists"), "{}", rejected.err);
    assert_eq!(std::fs::read(home.path().join("copy")).unwrap(), b"old");
    assert_eq!(home.run(&["download", &reference, "-o", "copy", "--force"]).code, 0);
    assert_eq!(std::fs::read(home.path().join("copy")).unwrap(), b"new");
}

#[cfg(unix)]
#[test]
fn a_download_is_written_to_a_device_or_a_fifo() {
    let home = Home::new();
    home.file("x", "content");
    let reference = home.run(&["upload", "x"]).line();
    assert_eq!(home.run(&["download", &reference, "-o", "/dev/null"]).line(), "/dev/null");
    let done =
        home.shell(&format!("mkfifo pipe && {{ \"$0\" download {reference} -o pipe >&2 & cat pipe; wait $!; }}"));
    assert_eq!((done.code, done.out.as_str()), (0, "content"), "{done:?}");
    // The path is not printed among the content.
    assert_eq!(home.run(&["download", &reference, "-o", "/dev/stdout"]).out, "content");
}

#[test]
fn the_modification_time_of_a_file_is_kept_by_an_upload_and_restored_by_a_download() {
    let home = Home::new();
    let time = UNIX_EPOCH + Duration::new(981_173_106, 789_000_000);
    let set = std::fs::File::create(home.path().join("old")).unwrap().set_modified(time);
    set.unwrap();
    let modified = |name: &str| std::fs::metadata(home.path().join(name)).unwrap().modified().unwrap();
    for name in ["old", "new"] {
        let reference = home.run(&["upload", "old", "--name", name]).line();
        let stat: Value = serde_json::from_str(&home.run(&["--json", "stat", &reference]).line()).unwrap();
        assert_eq!(stat["modified"], "2001-02-03T04:05:06.789Z");
        home.run(&["download", &reference, "-o", "copy", "--times", "--force"]).line();
        assert_eq!(modified("copy"), time);
        home.run(&["download", &reference, "-o", "copy", "--force"]).line();
        assert!(modified("copy") > time);
    }
    let piped = home.run_with_input(&["upload", "-", "--name", "piped"], b"x").line();
    home.run(&["download", &piped, "--times"]).line();
    assert!(modified("piped") > time);
    assert_eq!(home.run(&["download", &piped, "--times", "-o", "-"]).code, 2);
}

#[test]
fn a_download_into_a_folder_takes_the_stored_name() {
    let home = Home::new();
    home.file("a.txt", "x");
    std::fs::create_dir(home.path().join("into")).unwrap();
    let reference = home.run(&["upload", "a.txt", "--name", "b.txt"]).line();
    assert_eq!(home.run(&["download", &reference, "-o", "into"]).line(), "into/b.txt");
    assert_eq!(home.run(&["download", &reference]).line(), "b.txt");
}

#[test]
fn standard_input_and_output_carry_bytes_unchanged() {
    let home = Home::new();
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    let reference = home.run_with_input(&["upload", "-", "--name", "x.bin"], &bytes).line();
    assert_eq!(home.run(&["download", &reference, "-o", "-"]).bytes, bytes);
}

#[test]
fn a_name_with_spaces_at_its_ends_is_not_changed() {
    let home = Home::new();
    home.file("a", "x");
    let reference = home.run(&["upload", "a", "--name", " a "]).line();
    assert_eq!(reference, "local:fs:%20a%20");
    assert!(home.run(&["list", "--json"]).out.contains("\" a \""));
    assert_eq!(home.run(&["download", &reference, "-o", "-"]).bytes, b"x");
}

#[test]
fn no_clobber_leaves_the_old_file() {
    let home = Home::new();
    home.file("a", "old");
    home.run(&["upload", "a"]).line();
    home.file("a", "new");
    let rejected = home.run(&["upload", "a", "--no-clobber"]);
    assert_eq!(rejected.code, 5, "{rejected:?}");
    assert_eq!(home.run(&["download", "local:fs:a", "-o", "-"]).bytes, b"old");
}

#[test]
fn several_uploads_continue_after_a_failure_and_exit_with_its_code() {
    let home = Home::new();
    home.file("a", "1");
    home.file("c", "3");
    let done = home.run(&["upload", "a", "missing", "c"]);
    assert_eq!((done.code, done.out.as_str()), (2, "local:fs:a\nlocal:fs:c\n"), "{}", done.err);
}

#[test]
fn a_listing_has_pages_and_folders() {
    let home = Home::new();
    for name in ["a", "b", "c"] {
        home.file(name, name);
        home.run(&["upload", name]).line();
    }
    home.run(&["upload", "a", "--to", "sub/deep"]).line();
    let page = home.run(&["list", "--limit", "2", "--json"]);
    let lines: Vec<Value> = page.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{}", page.out);
    assert_eq!(lines[0]["ref"], "local:fs:a");
    assert_eq!(lines[0]["name"], "a");
    assert_eq!(lines[0]["size"], 1);
    assert_eq!(lines[0]["store"], "local");
    let next = lines[2]["next"].as_str().unwrap();
    let rest = home.run(&["list", "--limit", "2", "--json", "--page", next]);
    assert!(rest.out.contains("local:fs:c") && !rest.out.contains("\"next\""), "{}", rest.out);
    let all = home.run(&["list", "--all", "--limit", "1", "--recursive", "--json"]);
    assert_eq!(all.out.lines().count(), 4, "{}", all.out);
    assert!(home.run(&["list"]).out.contains("sub/"));
    assert!(home.run(&["list", "sub/deep"]).out.contains("local:fs:sub/deep/a"));
}

#[test]
fn a_listing_as_json_has_a_line_for_each_folder_before_those_of_the_files() {
    let home = Home::new();
    home.file("a", "a");
    home.run(&["upload", "a", "--to", "one/deep"]).line();
    home.run(&["upload", "a", "--to", "two"]).line();
    let folders = "{\"folder\":\"one\"}\n{\"folder\":\"two\"}\n";
    for all in [&["list", "--json"][..], &["list", "--json", "--all"]] {
        assert_eq!(home.run(all).out, folders);
    }
    assert_eq!(home.run(&["list", "--json", "one"]).out, "{\"folder\":\"one/deep\"}\n");
    home.run(&["upload", "a"]).line();
    let listed = home.run(&["list", "--json"]).out;
    let file = listed.strip_prefix(folders).unwrap();
    assert!(file.contains("local:fs:a") && file.lines().count() == 1, "{listed}");
}

#[cfg(unix)]
#[test]
fn a_listing_reports_the_entries_that_it_leaves_out() {
    let home = Home::new();
    home.file("a", "a");
    home.run(&["upload", "a", "--to", "d"]).line();
    for name in ["back\\slash", "other\\slash"] {
        std::fs::write(home.path().join("data/filestore/files/d").join(name), "x").unwrap();
    }
    for command in [&["list", "d"][..], &["list", "--recursive", "--all", "--limit", "1"]] {
        let listed = home.run(command);
        assert!(listed.code == 0 && listed.out.contains("local:fs:d/a"), "{listed:?}");
        assert_eq!(
            listed.err,
            "warning: the listing leaves out 2 of the entries: no reference can name them, or their size or time is invalid\n"
        );
        let json = home.run(&[command, &["--json"]].concat());
        assert_eq!((json.out.lines().last(), json.err.as_str()), (Some("{\"left_out\":2}"), ""), "{json:?}");
    }
    let deleted = home.run(&["delete", "--recursive", "local:fs:d"]);
    assert_eq!(deleted.code, 8, "{deleted:?}");
    assert!(deleted.err.contains("2 entries"), "{deleted:?}");
    assert_eq!(home.files_below("data/filestore/files/d").len(), 2);
}

#[test]
fn files_that_would_be_one_file_are_rejected_before_anything_is_sent() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("in")).unwrap();
    for name in ["a.txt", "in/a.txt", "A.txt"] {
        home.file(name, name);
    }
    for (more, word) in [(None, "would replace each other"), (Some("--no-clobber"), "are one file")] {
        let args: Vec<_> = ["upload"].into_iter().chain(more).chain(["a.txt", "in/a.txt"]).collect();
        let done = home.run(&args);
        assert!(done.code == 2 && done.err.contains(word) && done.err.contains("a.txt and a.txt"), "{done:?}");
        assert_eq!((done.out.as_str(), home.files_below("data").len()), ("", 0));
    }
    if cfg!(target_os = "linux") {
        assert_eq!(home.run(&["upload", "a.txt", "A.txt"]).out.lines().count(), 2);
    }
}

#[test]
fn caps_name_each_missing_feature_with_its_reason() {
    let home = Home::new();
    let text = home.run(&["caps"]).out;
    assert!(text.contains("expiry") && text.contains("unsupported:"), "{text}");
    assert!(text.contains("names compare"), "{text}");
    let json: Value = serde_json::from_str(home.run(&["caps", "--json"]).out.lines().next().unwrap()).unwrap();
    assert!(json["features"]["list"]["support"].is_string(), "{json}");
}

#[test]
fn an_option_that_the_store_does_not_support_is_rejected() {
    let home = Home::new();
    home.file("a", "1");
    let expiring = home.run(&["upload", "a", "--expires", "14d"]);
    assert_eq!(expiring.code, 5, "{expiring:?}");
    let unknown = home.run(&["upload", "a", "-O", "max_downloads=3"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(home.files_below("data").is_empty());
}

#[test]
fn completions_and_manual_come_from_the_same_definition() {
    let home = Home::new();
    assert!(home.run(&["completions", "bash"]).out.contains("_filestore"));
    assert!(home.run(&["man"]).out.contains(".TH filestore"));
    assert!(home.run(&["man", "upload"]).out.contains("no\\-clobber"));
}

#[test]
fn the_demo_passes_and_shows_a_row_for_each_store() {
    let home = Home::new();
    let done = home.run(&["demo"]);
    assert_eq!(done.code, 0, "{done:?}");
    for store in ["fs ", "memory ", "fileio "] {
        let row = done.out.lines().find(|line| line.starts_with(store)).unwrap_or_else(|| panic!("{}", done.out));
        assert!(row.ends_with("ok") && !row.contains("FAILED"), "{row}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_reference_that_standard_output_does_not_accept_is_not_lost() {
    let home = Home::new();
    home.file("a", "x");
    let full = std::fs::File::create("/dev/full").unwrap();
    home.file("b", "x");
    let output = home.command(&["upload", "a", "b"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("stored as local:fs:a\n"), "{stderr}");
    let words = ["stored as local:fs:b\n", "not uploaded: b\n", "stopped, and possibly uploaded: b\n"];
    assert!(words.iter().any(|words| stderr.contains(words)), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_name_is_not_text_is_stored_under_the_name_that_is_given() {
    use std::os::unix::ffi::OsStrExt;

    let home = Home::new();
    let name = std::ffi::OsStr::from_bytes(b"\xff");
    std::fs::write(home.path().join(name), "x").unwrap();
    assert_eq!(home.command(&["upload"]).arg(name).output().unwrap().status.code(), Some(2));
    let named = home.command(&["upload", "--name", "a"]).arg(name).output().unwrap();
    assert_eq!(named.stdout, b"local:fs:a\n");
    let target = std::ffi::OsStr::from_bytes(b"copy\xff");
    let saved = home.command(&["download", "local:fs:a", "-o"]).arg(target).output().unwrap();
    assert_eq!(saved.stdout, b"copy\xff\n");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_command_whose_output_is_not_read() {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    let home = Home::new();
    home.file("filestore.toml", "[stores.a]\nbackend = \"fs\"\nroot = \"files\"\n");
    let folder = home.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    // More output than the buffer of a pipe holds.
    for number in 0..1000 {
        std::fs::write(folder.join(format!("{number:0200}")), "").unwrap();
    }
    let mut child = home.command(&["list", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    // Only the first byte of the output is read.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let ended = child.wait().unwrap();
    // The signal itself ends the program if it arrives before the program listens for it.
    assert!(ended.code() == Some(143) || ended.signal() == Some(15), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn the_hint_at_the_next_page_is_quoted_for_a_shell() {
    let home = Home::new();
    home.file("a", "x");
    for name in ["-a 'b", "-c"] {
        home.run(&["upload", "a", &format!("--name={name}")]).line();
    }
    let hint = home.run(&["list", "--limit", "1"]).err;
    let page = hint.split("continue with ").nth(1).unwrap().split(", or").next().unwrap();
    let listed = home.shell(&format!("\"$0\" list {page}"));
    assert!(listed.code == 0 && listed.out.contains("-c") && !listed.out.contains("-a"), "{listed:?}");
}
