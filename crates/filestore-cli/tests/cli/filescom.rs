//! Files.com on the emulator, with the program and the emulator as processes: sessions, folders, copies, share links.

use serde_json::Value;

use crate::program::{Done, Home};
use crate::served::Served;

/// Runs a command on the store `filescom`.
fn site(home: &Home, args: &[&str]) -> Done {
    let mut all = vec!["--config", "stores.toml", "--store", "filescom"];
    all.extend(args);
    home.run(&all)
}

#[test]
fn files_are_copied_and_moved_inside_the_service() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("q3.txt", "figures");
    let reference = site(&home, &["upload", "q3.txt", "--to", "2026/drafts"]).line();
    assert_eq!(reference, "filescom:filescom:2026/drafts/q3.txt");
    let copy = site(&home, &["filescom", "cp", &reference, "2026/final/q3.txt"]).line();
    assert_eq!(copy, "filescom:filescom:2026/final/q3.txt");
    let taken = site(&home, &["filescom", "cp", &reference, "2026/final/q3.txt"]);
    assert_eq!(taken.code, 5, "{taken:?}");
    assert_eq!(site(&home, &["filescom", "cp", &reference, "2026/final/q3.txt", "--overwrite"]).code, 0);
    let moved = site(&home, &["--json", "filescom", "mv", &reference, "old/q3-old.txt"]).line();
    let moved: Value = serde_json::from_str(&moved).unwrap();
    assert_eq!(moved["ref"], "filescom:filescom:old/q3-old.txt");
    assert_eq!(site(&home, &["stat", &reference]).code, 3);
    for reference in [copy.as_str(), moved["ref"].as_str().unwrap()] {
        assert_eq!(site(&home, &["download", reference, "-o", "-"]).bytes, b"figures");
    }
    let folder = site(&home, &["filescom", "mkdir", "empty/below"]).line();
    assert_eq!(folder, "filescom:filescom:empty/below");
    assert_eq!(site(&home, &["delete", "filescom:filescom:empty"]).code, 2, "the folder is not empty");
    assert_eq!(site(&home, &["delete", "--recursive", "filescom:filescom:empty"]).code, 0);
    drop(served);
}

#[test]
fn a_session_is_used_until_it_is_ended() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    home.file("password", "emulator-password\n");
    let printed = site(&home, &["filescom", "login", "emulator", "--password", "file:password", "-o", "session"]);
    assert_eq!(printed.line(), "session");
    let text = format!(
        "[stores.filescom]\nbackend = \"filescom\"\nbase_url = \"http://{}\"\nsession_id = \"file:session\"\n",
        served.address
    );
    let with_key = std::fs::read(home.path().join("stores.toml")).unwrap();
    home.file("stores.toml", text);
    let reference = site(&home, &["upload", "a.txt"]).line();
    assert_eq!(site(&home, &["filescom", "logout"]).code, 0);
    let ended = site(&home, &["stat", &reference]);
    assert!(ended.code == 4 && ended.err.contains("log in again"), "{ended:?}");

    home.file("stores.toml", with_key);
    let mut args = vec!["--config", "stores.toml", "--store", "filescom", "filescom", "login", "emulator"];
    let wrong = home.run_with_input(&args, b"wrong\n");
    assert_eq!((wrong.code, wrong.out.as_str()), (4, ""), "{wrong:?}");
    let id = home.run_with_input(&args, b"emulator-password\n").line();
    assert_eq!(id.len(), 40);
    args.extend(["--password", "emulator-password"]);
    let literal = home.run(&args);
    assert!(literal.code == 2 && !literal.err.contains("emulator-password"), "{literal:?}");
}

#[test]
fn an_account_with_a_second_factor_needs_a_one_time_password() {
    let home = Home::new();
    let users = "[[filescom.users]]\nname = \"ann\"\npassword = \"pw\"\notp = \"123456\"\napi_key = \"annKey\"\n";
    home.file("users.toml", users);
    let _served = Served::start(&home, &["--credentials", "users.toml"]);
    home.file("password", "pw");
    let login = ["filescom", "login", "ann", "--password", "file:password"];
    let without = site(&home, &login);
    assert!(without.code == 4 && without.err.contains("--otp"), "{without:?}");
    let wrong = site(&home, &[&login[..], &["--otp", "000000"]].concat());
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert_eq!(site(&home, &[&login[..], &["--otp", "123456"]].concat()).line().len(), 40);
}

#[test]
fn a_share_link_serves_the_file_until_it_is_ended() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "for everybody");
    let reference = site(&home, &["upload", "a.txt"]).line();
    let url = site(&home, &["filescom", "share", &reference, "--expires", "2d", "--max-uses", "5"]).line();
    let path = url.strip_prefix(&format!("http://{}", served.address)).expect(&url);
    assert_eq!(served.get(path), "for everybody");
    assert_eq!(site(&home, &["filescom", "unshare", &url]).code, 0);
    assert_eq!(site(&home, &["filescom", "unshare", &url]).code, 3);
    let link = site(&home, &["--json", "filescom", "share", &reference]).line();
    let link: Value = serde_json::from_str(&link).unwrap();
    assert_eq!(site(&home, &["filescom", "unshare", &link["id"].to_string()]).code, 0);
    assert_eq!(site(&home, &["filescom", "share", "filescom:filescom:nothing"]).code, 3);
}

#[test]
fn names_that_are_equal_to_the_store_are_rejected_before_a_request_is_sent() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("résumé.txt", "one");
    home.file("RESUME.TXT", "two");
    let rejected = site(&home, &["upload", "résumé.txt", "RESUME.TXT"]);
    assert!(rejected.code == 2 && rejected.err.contains("replace each other"), "{rejected:?}");
    assert!(served.operations().is_empty());
    // The service finds a free name, so neither file replaces the other.
    let renamed = site(&home, &["upload", "-O", "with_rename=true", "résumé.txt", "RESUME.TXT"]);
    assert_eq!((renamed.code, renamed.out.lines().count()), (0, 2), "{renamed:?}");
    for folder in ["x", "y"] {
        std::fs::create_dir(home.path().join(folder)).unwrap();
        home.file(&format!("{folder}/same.txt"), folder);
    }
    let local = home.run(&["upload", "x/same.txt", "y/same.txt"]);
    assert_eq!(local.code, 2, "{local:?}");
}

#[test]
fn invalid_input_is_rejected_without_any_effect() {
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    assert_eq!(site(&home, &["upload", "a.txt", "--to", "folder"]).code, 0);
    let long = format!("{}/x", "p".repeat(500));
    let longer = [long.as_str(); 12].join("/");
    for (args, code) in [
        (vec!["upload", "a.txt", "--name", "trailing "], 2),
        (vec!["upload", "a.txt", "--name", "zero\u{200B}width"], 2),
        (vec!["upload", "a.txt", "--to", &longer], 2),
        (vec!["upload", "a.txt", "--name", "folder"], 5),
        (vec!["upload", "a.txt", "--to", "missing", "-O", "mkdir_parents=false"], 3),
        (vec!["upload", "a.txt", "-O", "part_size=0"], 2),
        (vec!["upload", "a.txt", "-O", "part_size=6GiB"], 2),
        (vec!["list", "--page", "c2:next:garbage"], 2),
        (vec!["list", "nowhere"], 3),
        (vec!["filescom", "share", "filescom:filescom:folder", "--max-uses", "0"], 2),
        (vec!["filescom", "mv", "filescom:filescom:folder", "folder/inside"], 2),
    ] {
        let rejected = site(&home, &args);
        assert_eq!(rejected.code, code, "{args:?}: {rejected:?}");
    }
    let left = site(&home, &["list", "--all", "--recursive"]);
    assert_eq!(left.out.matches("filescom:filescom:").count(), 1, "{left:?}");
}

#[test]
fn an_empty_password_is_rejected_before_a_request_is_sent() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "content");
    home.file("blank", " \n");
    let reference = site(&home, &["upload", "a.txt"]).line();
    let before = served.operations().len();
    for args in [
        &["share", &reference, "--password", "env:EMPTY"][..],
        &["share", &reference, "--password", "file:blank"],
        &["login", "emulator", "--password", "env:EMPTY"],
        &["login", "emulator", "--password", "file:blank"],
    ] {
        let args = [&["--config", "stores.toml", "--store", "filescom", "filescom"], args].concat();
        let failed = crate::program::done(home.command(&args).env("EMPTY", "").output().unwrap());
        assert_eq!((failed.code, failed.out.as_str()), (2, ""), "{args:?}: {failed:?}");
        assert!(failed.err.contains("\"--password\" is empty"), "{args:?}: {failed:?}");
    }
    let piped = ["--config", "stores.toml", "--store", "filescom", "filescom", "login", "emulator"];
    assert_eq!(home.run_with_input(&piped, b" \n").code, 2);
    assert_eq!(served.operations().len(), before);
}

const LOGIN: [&str; 5] = ["filescom", "login", "emulator", "--password", "file:password"];

/// Runs a login whose standard output is full, with the rule `fault` in force. Returns the operations that the
/// emulator received: the login, and the end of the session.
#[cfg(target_os = "linux")]
fn unprinted_login(fault: &str, more: &[&str]) -> (Home, Done, Vec<String>) {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("password", "emulator-password");
    served.control("PUT", "faults", fault);
    let args = [&["--config", "stores.toml", "--store", "filescom"], &LOGIN[..], more].concat();
    let full = std::fs::File::create("/dev/full").unwrap();
    let done = crate::program::done(home.command(&args).stdout(full).output().unwrap());
    let operations = served.operations();
    drop(served);
    (home, done, operations)
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_whose_id_cannot_be_printed_is_ended() {
    for more in [&[][..], &["-o", "session"]] {
        let (home, done, operations) = unprinted_login("", more);
        assert_eq!(done.code, 5, "{done:?}");
        assert!(done.err.contains("the new session was ended"), "{done:?}");
        assert_eq!(operations, ["session", "session"]);
        assert!(!home.path().join("session").exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_whose_id_cannot_be_printed_and_that_cannot_be_ended_is_incomplete() {
    let fault = "[[fault]]\noperation = \"session\"\nnth = 2\ndo = { status = { code = 403 } }\n";
    for more in [&[][..], &["-o", "session"]] {
        let (home, done, operations) = unprinted_login(fault, more);
        assert_eq!(done.code, 8, "{done:?}");
        assert!(done.err.contains("stays valid"), "{done:?}");
        assert_eq!(operations, ["session", "session"]);
        assert!(!home.path().join("session").exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_whose_id_is_not_printed_at_a_signal_is_ended() {
    use std::io::Write;

    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("password", "emulator-password");
    for (fault, outcome) in
        [("", "the session was ended"), (LOGOUT_FAILS, "the new session stays valid until it expires")]
    {
        served.control("PUT", "faults", fault);
        served.control("DELETE", "journal", "");
        let (_unread, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[b'x'; 65_536]).unwrap();
        let args = [&["--config", "stores.toml", "--store", "filescom"], &LOGIN[..]].concat();
        let mut command = home.interruptible_command(&args);
        let child = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
        drop(command);
        while served.operations().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // The response arrives.
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(std::process::Command::new("kill").args([&child.id().to_string()]).status().unwrap().success());
        let done = crate::program::done(child.wait_with_output().unwrap());
        assert_eq!(done.code, 143, "{done:?}");
        assert!(done.err.contains("interrupted before") && done.err.contains(outcome), "{done:?}");
        assert_eq!(served.operations(), ["session", "session"], "{done:?}");
    }
}

#[cfg(target_os = "linux")]
const LOGOUT_FAILS: &str = "[[fault]]\noperation = \"session\"\nnth = 2\ndo = { status = { code = 403 } }\n";

#[test]
fn a_login_replaces_no_file_and_a_failed_login_leaves_none() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("password", "emulator-password");
    home.file("session", "mine");
    let login = |output: &str| site(&home, &[&LOGIN[..], &["-o", output]].concat());
    let rejected = login("session");
    assert!(rejected.code == 5 && rejected.err.contains("session already exists"), "{rejected:?}");
    assert_eq!(login("nowhere/session").code, 2);
    assert!(served.operations().is_empty());
    assert_eq!(std::fs::read_to_string(home.path().join("session")).unwrap(), "mine");

    assert_eq!(login("new").line(), "new");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = home.path().join("new").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    home.file("password", "wrong");
    assert_eq!(login("never").code, 4);
    assert!(!home.path().join("never").exists());
}

#[test]
fn a_share_link_of_files_in_two_stores_is_rejected() {
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    home.file("one.txt", "1");
    let one = site(&home, &["upload", "one.txt"]).line();
    let done = site(&home, &["filescom", "share", &one, "other:filescom:one.txt"]);
    assert!(done.code == 2 && done.err.contains("other"), "{done:?}");
}

#[test]
fn every_command_prints_the_spelling_of_the_service() {
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    home.file("Résumé.txt", "figures");
    home.file("new.txt", "x");
    assert_eq!(site(&home, &["filescom", "mkdir", "Docs"]).line(), "filescom:filescom:Docs");
    assert_eq!(site(&home, &["filescom", "mkdir", "DOCS"]).line(), "filescom:filescom:Docs");
    let stored = site(&home, &["upload", "Résumé.txt", "--to", "docs"]).line();
    assert_eq!(stored, "filescom:filescom:Docs/R%C3%A9sum%C3%A9.txt");
    let new = site(&home, &["upload", "new.txt", "--to", "docs", "--no-clobber"]).line();
    assert_eq!(new, "filescom:filescom:Docs/new.txt");
    let asked = "filescom:filescom:DOCS/resume.TXT";
    assert!(site(&home, &["stat", asked]).out.contains(&stored));
    std::fs::create_dir(home.path().join("out")).unwrap();
    assert!(site(&home, &["download", asked, "-o", "out"]).line().ends_with("Résumé.txt"));
    let copy = site(&home, &["filescom", "cp", asked, "docs/copy.txt"]).line();
    assert_eq!(copy, "filescom:filescom:Docs/copy.txt");
    let moved = site(&home, &["filescom", "mv", &copy, "DOCS/NEW.txt", "--overwrite"]).line();
    assert!(moved.starts_with("filescom:filescom:Docs/"), "{moved}");
}

#[test]
fn errors_name_the_operation_and_its_subject() {
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    home.file("a.txt", "x");
    site(&home, &["upload", "a.txt"]).line();
    let (file, none) = ("filescom:filescom:a.txt", "filescom:filescom:none");
    for (args, context) in [
        (&["mkdir", "a.txt"][..], "create folder \"a.txt\""),
        (&["cp", none, "b.txt"], "copy \"filescom:filescom:none\""),
        (&["mv", none, "b.txt"], "move \"filescom:filescom:none\""),
        (&["share", none], "share \"filescom:filescom:none\""),
        (&["share", none, file], "share \"filescom:filescom:none and 1 more\""),
        (&["unshare", "https://nowhere.invalid/secret"], "unshare"),
    ] {
        let done = site(&home, &[&["filescom"], args].concat());
        let start = format!("error: filescom: {context}: ");
        assert!(done.code != 0 && done.err.starts_with(&start) && !done.err.contains("secret"), "{args:?}: {done:?}");
    }
}

#[test]
fn an_upload_that_a_retry_would_rename_or_reject_is_not_safe_to_retry() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("one", "1");
    home.file("two", "2");
    let busy = "[[fault]]\nservice = \"filescom\"\noperation = \"upload\"\nstep = \"begin\"\nnth = 2\n\
                do = { status = { code = 429, headers = { \"Retry-After\" = \"3600\" } } }\n";
    for (more, code) in
        [(vec!["-O", "with_rename=true"], 1), (vec!["--to", "in", "--no-clobber"], 1), (vec!["--to", "on"], 6)]
    {
        served.control("PUT", "faults", busy);
        let args: Vec<_> = ["upload"].into_iter().chain(more).chain(["one", "two"]).collect();
        let done = site(&home, &args);
        assert_eq!((done.code, done.out.lines().count()), (code, 1), "{args:?}: {done:?}");
    }
}
