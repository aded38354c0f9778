//! The configuration file, as commands use it.

use crate::program::Home;

const TWO: &str = r#"
default = "docs"

[stores.docs]
backend = "fs"
root = "./docs"
aliases = ["old-docs"]

[stores.scratch]
backend = "memory"
"#;

#[test]
fn a_store_is_found_by_default_by_name_and_by_alias() {
    let home = Home::new();
    home.file("filestore.toml", TWO);
    home.file("a", "1");
    assert_eq!(home.run(&["upload", "a"]).line(), "docs:fs:a");
    assert_eq!(home.run(&["stat", "old-docs:fs:a"]).code, 0);
    assert_eq!(home.run(&["--store", "scratch", "upload", "a"]).line(), "scratch:memory:a");
    assert!(home.run(&["stores"]).out.contains("old-docs"));
}

#[test]
fn a_store_whose_table_is_wrong_does_not_affect_another_one() {
    let home = Home::new();
    home.file("a", "1");
    for wrong in ["backend = 5", "root = \"x\"", "backend = \"memory\"\nupload = 5", "backend = \"env:B\""] {
        home.file("filestore.toml", format!("{TWO}\n[stores.bad]\n{wrong}\n"));
        assert_eq!(home.run(&["--store", "scratch", "list"]).code, 0, "{wrong}");
        assert_eq!(home.run(&["stores"]).code, 0, "{wrong}");
        let bad = home.run(&["--store", "bad", "upload", "a"]);
        assert!(bad.code == 2 && bad.err.contains("filestore.toml:1"), "{bad:?}");
        let check = home.run(&["config", "check"]);
        let reported = check.out.lines().any(|line| line.starts_with("bad ") && line.contains("filestore.toml:1"));
        assert!(check.code == 2 && reported, "{check:?}");
        assert!(check.out.contains("scratch  ok"), "{check:?}");
    }
}

#[test]
fn a_relative_root_starts_at_the_folder_of_the_configuration() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("elsewhere")).unwrap();
    home.file("elsewhere/f.toml", TWO);
    home.file("a", "1");
    home.run(&["--config", "elsewhere/f.toml", "upload", "a"]).line();
    assert!(home.path().join("elsewhere/docs/a").exists());
}

#[test]
fn the_environment_names_the_configuration() {
    let home = Home::new();
    home.file("g.toml", TWO);
    let output = home.command(&["stores"]).env("FILESTORE_CONFIG", "g.toml").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("scratch"));
}

#[test]
fn show_masks_secrets_and_prints_the_origin_of_each_value() {
    let home = Home::new();
    home.file("token", "filesecret\n");
    home.file(
        "filestore.toml",
        r#"
[stores.archive]
backend = "opendal"
service = "s3"
[stores.archive.options]
bucket = "archive"
region = "eu-central-1"
secret_access_key = "literalsecret"
access_key_id = "env:DEMO_KEY_ID"
session_token = "file:token"
"#,
    );
    let output = home.command(&["config", "show"]).env("DEMO_KEY_ID", "envsecret").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for secret in ["filesecret", "literalsecret", "envsecret"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("eu-central-1") && text.contains("filestore.toml:7"), "{text}");
    assert!(text.contains("environment variable DEMO_KEY_ID"), "{text}");
}

#[test]
fn check_warns_of_literal_secrets_and_fails_for_missing_ones() {
    let home = Home::new();
    home.file(
        "filestore.toml",
        "[stores.a]\nbackend = \"opendal\"\nservice = \"s3\"\noptions = { bucket = \"b\", region = \"r\", secret_access_key = \"s3cr3t\" }\n\n[stores.b]\nbackend = \"fs\"\nroot = \"env:DEMO_NOT_SET\"\n",
    );
    let done = home.run(&["config", "check"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("secret_access_key") && !done.err.contains("s3cr3t"), "{done:?}");
    assert!(done.out.contains("DEMO_NOT_SET"), "{done:?}");
}

#[test]
fn show_prints_the_origin_of_the_default_and_of_the_aliases() {
    let home = Home::new();
    home.file("filestore.toml", "default = \"a\"\n[stores.a]\nbackend = \"memory\"\naliases = [\"b\"]\n");
    let shown = home.run(&["--json", "config", "show"]).out;
    assert!(shown.contains(r#"{"key":"default","origin":"filestore.toml:1","value":"a"}"#), "{shown}");
    assert!(shown.contains(r#"{"key":"stores.a.aliases","origin":"filestore.toml:4","value":"b"}"#), "{shown}");
}

#[test]
fn a_password_in_a_url_is_masked() {
    let home = Home::new();
    home.file("filestore.toml", "[stores.a]\nbackend = \"fileio\"\nbase_url = \"http://u:hunter2@host\"\n");
    assert!(!home.run(&["config", "show"]).out.contains("hunter2"));
}

#[test]
fn an_alias_that_is_the_name_of_another_store_is_rejected() {
    let home = Home::new();
    let text = "[stores.a]\nbackend = \"memory\"\naliases = [\"b\"]\n[stores.b]\nbackend = \"memory\"\n";
    home.file("filestore.toml", text);
    let done = home.run(&["--store", "b", "list"]);
    assert!(done.code == 2 && done.err.contains("two stores are called \"b\""), "{done:?}");
}

#[test]
fn show_masks_urls_that_may_have_a_password_or_a_signature() {
    let home = Home::new();
    for url in ["user:canary@h:9", "http:user:canary@h", "https://canary@h", "http://h/?sig=canary"] {
        home.file("filestore.toml", format!("[stores.a]\nbackend = \"fileio\"\nbase_url = {url:?}\n"));
        for args in [&["config", "show"][..], &["--json", "config", "show"]] {
            let shown = home.run(args);
            assert!(shown.code == 0 && !shown.out.contains("canary"), "{shown:?}");
        }
    }
}

#[test]
fn a_command_about_all_stores_rejects_the_option_store() {
    let home = Home::new();
    for args in [&["stores"][..], &["config", "show"], &["config", "check"]] {
        let done = home.run(&[&["--store", "local"], args].concat());
        assert!(done.code == 2 && done.err.contains("remove --store"), "{done:?}");
    }
    let caps = home.run(&["--store", "local", "caps"]);
    assert!(caps.code == 0 && caps.out.starts_with("local"), "{caps:?}");
    assert_eq!(home.run(&["--store", "other", "caps"]).code, 2);
}

#[test]
fn caps_show_the_other_stores_if_one_cannot_be_opened() {
    let home = Home::new();
    let bad = "[stores.bad]\nbackend = \"fileio\"\nbase_url = \"x\"\n";
    home.file("filestore.toml", format!("{bad}[stores.good]\nbackend = \"memory\"\n"));
    let caps = home.run(&["caps"]);
    assert!(caps.code == 2 && caps.out.contains("good (memory)") && caps.err.contains("bad"), "{caps:?}");
}

#[test]
fn show_masks_the_values_of_unknown_keys() {
    let home = Home::new();
    home.file(
        "filestore.toml",
        "[stores.a]\nbackend = \"opendal\"\nservice = \"s3\"\noptions = { bucket = \"shown-b\", endpoint = \"http://shown-e\", sekret = \"hidden1\", acces = \"hidden2\" }\n\
         [stores.b]\nbackend = \"pubnub\"\nuser_id = \"shown-u\"\npublish_key = \"hidden3\"\nsubscribe_key = \"hidden4\"\nciper_key = \"hidden5\"\n\
         upload = { cipher_key = \"hidden6\", ciper_key = \"hidden7\", custom_message_type = \"shown-t\" }\n",
    );
    for args in [&["config", "show"][..], &["--json", "config", "show"]] {
        let shown = home.run(args);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(!shown.out.contains("hidden"), "{shown:?}");
        for value in ["shown-b", "http://shown-e", "shown-u", "shown-t"] {
            assert!(shown.out.contains(value), "{value}: {shown:?}");
        }
        for key in ["stores.a.options.sekret", "stores.b.upload.cipher_key"] {
            assert!(shown.out.contains(key), "{key}: {shown:?}");
        }
    }
}

#[test]
fn check_warns_of_credentials_that_would_be_sent_unencrypted() {
    let home = Home::new();
    let store = |name: &str, url: &str, more: &str| {
        format!("[stores.{name}]\nbackend = \"fileio\"\nbase_url = \"{url}\"\n{more}\n")
    };
    let key = "api_key = \"env:KEY\"";
    let s3 = "[stores.s3]\nbackend = \"opendal\"\nservice = \"s3\"\noptions = { bucket = \"b\", region = \"r\", \
              endpoint = \"http://10.0.0.1:9000\", \
              access_key_id = \"a\", secret_access_key = \"env:KEY\" }\n";
    let text = [
        store("remote", "HTTP://files.example.com", key),
        store("address", "http://[2001:db8::1]:8080", key),
        store("variable", "env:URL", key),
        store("anonymous", "http://files.example.com", "proxy = \"http://proxy:3128\""),
        store("encrypted", "https://files.example.com", key),
        store("local", "http://localhost:7070", key),
        store("loopback", "http://127.0.0.2:7070", key),
        store("loopback6", "http://[::1]:7070", key),
        s3.to_owned(),
    ];
    home.file("filestore.toml", text.concat());
    let mut command = home.command(&["config", "check"]);
    let checked = crate::program::done(command.env("KEY", "k").env("URL", "http://a.example.com").output().unwrap());
    let warned: Vec<&str> = checked
        .err
        .lines()
        .filter(|line| line.contains("use https"))
        .map(|line| line.trim_start_matches("warning: ").split(" is an").next().unwrap())
        .collect();
    let expected =
        ["remote: \"base_url\"", "address: \"base_url\"", "variable: \"base_url\"", "s3: \"options.endpoint\""];
    assert_eq!(warned, expected, "{checked:?}");
    assert_eq!(checked.code, 0, "a warning is not a failure: {checked:?}");
}

#[test]
fn an_empty_secret_is_rejected_and_named_with_its_variable() {
    let home = Home::new();
    home.file("filestore.toml", "[stores.a]\nbackend = \"fileio\"\napi_key = \"env:EMPTY\"\n");
    home.file("a", "1");
    for args in [&["upload", "a"][..], &["config", "check"]] {
        let done = crate::program::done(home.command(args).env("EMPTY", " ").output().unwrap());
        assert_eq!(done.code, 2, "{done:?}");
        let text = format!("{}{}", done.out, done.err);
        assert!(text.contains("environment variable EMPTY: the secret \"api_key\" is empty"), "{done:?}");
    }
}

#[test]
fn stores_from_environment_variables_alone_need_no_file() {
    let home = Home::new();
    home.file("a", "1");
    let variables = [
        ("FILESTORE_DEFAULT", "uploads"),
        ("FILESTORE_STORES__UPLOADS__BACKEND", "fs"),
        ("FILESTORE_STORES__UPLOADS__ROOT", "./up"),
        ("FILESTORE_STORES__CHAT__BACKEND", "pubnub"),
        ("FILESTORE_STORES__CHAT__USER_ID", "17"),
        ("FILESTORE_STORES__CHAT__PUBLISH_KEY", "hidden1"),
        ("FILESTORE_STORES__CHAT__SUBSCRIBE_KEY", "env:SUBSCRIBE"),
        ("FILESTORE_STORES__CHAT__MAX_RETRIES", "5"),
        ("SUBSCRIBE", "hidden2"),
    ];
    let run = |args: &[&str]| crate::program::done(home.command(args).envs(variables).output().unwrap());
    assert_eq!(run(&["upload", "a"]).line(), "uploads:fs:a");
    assert!(home.path().join("up/a").exists());
    let names: Vec<String> =
        run(&["stores"]).out.lines().skip(1).map(|line| line.split(' ').next().unwrap().into()).collect();
    assert_eq!(names, ["chat", "uploads"], "the built-in store is not added");
    let check = run(&["config", "check"]);
    assert!(check.code == 0 && check.err.is_empty(), "{check:?}");

    let shown = run(&["config", "show"]);
    assert!(shown.out.starts_with("# environment variables: there is no configuration file\n"), "{shown:?}");
    let has = |words: &[&str]| shown.out.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["default", "uploads", "environment variable FILESTORE_DEFAULT"]), "{shown:?}");
    assert!(has(&["stores.uploads.backend", "environment variable FILESTORE_STORES__UPLOADS__BACKEND"]), "{shown:?}");
    assert!(has(&["stores.chat.max_retries", "5", "environment variable FILESTORE_STORES__CHAT__MAX_RETRIES"]));
    let both = "environment variable SUBSCRIBE (environment variable FILESTORE_STORES__CHAT__SUBSCRIBE_KEY)";
    assert!(has(&["stores.chat.subscribe_key", "****", both]), "{shown:?}");
    assert!(!shown.out.contains("hidden"), "{shown:?}");
}

#[test]
fn a_variable_overrides_the_file_and_a_mistake_in_it_is_named() {
    let home = Home::new();
    home.file("filestore.toml", TWO);
    home.file("a", "1");
    let run = |args: &[&str], name: &str, value: &str| {
        crate::program::done(home.command(args).env(format!("FILESTORE_STORES__{name}"), value).output().unwrap())
    };
    assert_eq!(run(&["upload", "a"], "DOCS__ROOT", "elsewhere").line(), "docs:fs:a");
    assert!(home.path().join("elsewhere/a").exists());

    let typo = run(&["config", "check"], "DOCS__ROOOT", "elsewhere");
    let reported = "environment variable FILESTORE_STORES__DOCS__ROOOT: the backend \"fs\" has no key \"rooot\"; did you \
                    mean \"root\"?";
    assert!(typo.code == 2 && typo.out.contains(reported) && typo.out.contains("scratch  ok"), "{typo:?}");
    let incomplete = run(&["stores"], "DOCS", "x");
    assert!(incomplete.code == 2 && incomplete.err.contains("FILESTORE_STORES__DOCS: the name is"), "{incomplete:?}");
    let elsewhere = run(&["stores"], "DOC__ROOT", "x");
    assert!(elsewhere.code == 2 && elsewhere.err.contains("did you mean \"docs\"?"), "{elsewhere:?}");
}

#[test]
fn the_default_of_the_environment_works_with_the_built_in_store() {
    let home = Home::new();
    let stores = crate::program::done(home.command(&["stores"]).env("FILESTORE_DEFAULT", "local").output().unwrap());
    assert!(stores.code == 0 && stores.out.contains("local"), "{stores:?}");
    assert!(home.run(&["config", "show"]).out.starts_with("# built in"));
}

#[test]
fn a_missing_secret_is_reported_where_its_store_is_used() {
    let home = Home::new();
    home.file(
        "filestore.toml",
        format!("{TWO}\n[stores.drop]\nbackend = \"fileio\"\napi_key = \"env:DEMO_NOT_SET\"\n"),
    );
    assert_eq!(home.run(&["--store", "scratch", "list"]).code, 0);
    assert!(home.run(&["stores"]).out.contains("drop"));
    for args in [&["--store", "drop", "list"][..], &["caps"], &["config", "check"]] {
        let done = home.run(args);
        let text = format!("{}{}", done.out, done.err);
        assert!(done.code == 2 && text.contains("filestore.toml:14") && text.contains("DEMO_NOT_SET"), "{done:?}");
    }
}
