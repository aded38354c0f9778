//! PubNub on the emulator, with the program and the emulator as processes: messages, files that are stored but not
//! published, invalid input.

use serde_json::Value;

use crate::program::{Done, Home};
use crate::served::Served;

/// Writes a configuration with the store `room`, whose settings end with `more`.
fn configure(home: &Home, served: &Served<'_>, more: &str) {
    let text = format!(
        "[stores.room]\nbackend = \"pubnub\"\nbase_url = \"http://{}\"\nuser_id = \"ann\"\nchannel = \"room-1\"\n\
         publish_key = \"pub-c-emulator\"\nsubscribe_key = \"sub-c-emulator\"\nsecret_key = \"env:SECRET\"\n{more}\n",
        served.address
    );
    home.file("room.toml", text);
}

/// Runs a command on the store `room`.
fn room(home: &Home, args: &[&str]) -> Done {
    let mut all = vec!["--config", "room.toml", "--store", "room"];
    all.extend(args);
    let output = home.command(&all).env("SECRET", "sec-c-emulator").output().unwrap();
    crate::program::done(output)
}

/// Returns the file messages in the history of the channel.
fn messages(served: &Served<'_>) -> Vec<Value> {
    let query = "max=100&include_meta=true&uuid=ann";
    let history = served.get(&format!("/v3/history/sub-key/sub-c-emulator/channel/room-1?{query}"));
    let history: Value = serde_json::from_str(&history).unwrap();
    history["channels"]["room-1"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_file_is_published_with_its_message() {
    let home = Home::new();
    let served = Served::start(&home, &["--pubnub-require-signature"]);
    configure(&home, &served, "");
    home.file("cat.jpg", "meow");
    let sent = room(&home, &["upload", "cat.jpg", "-O", r#"message={"text":"look"}"#, "-O", r#"meta={"from":"ann"}"#]);
    let reference = sent.line();
    assert!(reference.starts_with("room:pubnub:room-1/") && reference.ends_with("/cat.jpg"), "{reference}");
    assert_eq!(room(&home, &["download", &reference, "-o", "-"]).bytes, b"meow");

    let second = room(&home, &["pubnub", "publish", &reference, "--message", "\"again\"", "-O", "ttl=24"]);
    assert!(second.line().len() == 17 && second.line().bytes().all(|byte| byte.is_ascii_digit()), "{second:?}");
    assert_eq!(room(&home, &["pubnub", "publish", &reference, "-O", "should_store=false"]).code, 0);
}

#[test]
fn another_process_publishes_a_file_that_is_stored_but_not_published() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    configure(&home, &served, "upload = { message = '{\"text\":\"from the configuration\"}' }");
    home.file("cat.jpg", "meow");
    served.control(
        "PUT",
        "faults",
        "[[fault]]\nservice = \"pubnub\"\noperation = \"upload\"\nstep = \"publish\"\ndo = { status = { code = 403 } }\n",
    );
    let sent = room(&home, &["upload", "cat.jpg"]);
    assert_eq!(sent.code, 8, "{sent:?}");
    let reference = sent.out.trim().to_owned();
    assert!(sent.err.contains("filestore pubnub publish"), "{}", sent.err);
    let rejected = room(&home, &["pubnub", "publish", &reference]);
    assert_eq!(rejected.code, 4, "{rejected:?}");
    assert!(rejected.err.starts_with(&format!("error: room: publish {reference:?}: ")), "{rejected:?}");
    served.control("DELETE", "faults", "");
    assert!(messages(&served).is_empty());

    assert_eq!(room(&home, &["pubnub", "publish", &reference]).code, 0);
    let published = messages(&served);
    assert_eq!(published.len(), 1, "{published:?}");
    assert_eq!(published[0]["message"]["message"]["text"], "from the configuration");
    assert_eq!(published[0]["message"]["file"]["name"], "cat.jpg");
    assert_eq!(room(&home, &["download", &reference, "-o", "-"]).bytes, b"meow");
    assert_eq!(served.operations().iter().filter(|operation| *operation == "list").count(), 0);
}

#[test]
fn an_encrypted_file_is_read_only_with_its_key() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("cat.jpg", vec![7; 100_000]);
    for crypto in ["acrh", "legacy"] {
        configure(&home, &served, &format!("cipher_key = \"enigma\"\ncrypto = {crypto:?}"));
        let reference = room(&home, &["upload", "cat.jpg"]).line();
        assert_eq!(room(&home, &["download", &reference, "-o", "-"]).bytes, vec![7; 100_000]);
        configure(&home, &served, "cipher_key = \"another\"");
        let wrong = room(&home, &["download", &reference, "-o", "wrong.jpg"]);
        assert_eq!(wrong.code, 7, "{wrong:?}");
        assert!(!home.path().join("wrong.jpg").exists());
    }
}

#[test]
fn the_largest_file_is_stored_and_a_larger_one_is_rejected_before_a_request_is_sent() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    for (more, largest) in [
        ("", 5_242_880),
        ("cipher_key = \"enigma\"", 5_242_847),
        ("cipher_key = \"enigma\"\ncrypto = \"legacy\"", 5_242_863),
    ] {
        configure(&home, &served, more);
        home.file("large", vec![1; largest]);
        home.file("larger", vec![1; largest + 1]);
        let reference = room(&home, &["upload", "large"]).line();
        assert_eq!(room(&home, &["download", &reference, "-o", "-"]).bytes.len(), largest, "{more}");
        let before = served.operations().len();
        let rejected = room(&home, &["upload", "larger"]);
        assert_eq!(rejected.code, 5, "{rejected:?}");
        assert!(rejected.err.contains(&largest.to_string()), "{}", rejected.err);
        assert_eq!(served.operations().len(), before, "{more}: a request was sent");
    }
}

#[test]
fn invalid_input_is_named_and_no_request_is_sent() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    configure(&home, &served, "");
    home.file("a", "x");
    let long = format!("message={:?}", "x".repeat(33_000));
    let reference = room(&home, &["upload", "a"]).line();
    let before = served.operations().len();
    for (args, expected) in [
        (vec!["upload", "a", "--to", ""], "scope"),
        (vec!["upload", "a", "--to", "a,b"], "channel"),
        (vec!["upload", "a", "-O", "message={"], "message"),
        (vec!["upload", "a", "-O", &long], "32"),
        (vec!["upload", "a", "-O", "custom_message_type=pn_x"], "custom_message_type"),
        (vec!["pubnub", "publish", &reference, "--message", "{"], "message"),
        (vec!["pubnub", "publish", "room:pubnub:nothing"], "CHANNEL/ID/NAME"),
        (vec!["pubnub", "publish", &reference, "-O", "ttl=soon"], "ttl"),
    ] {
        let rejected = room(&home, &args);
        assert_eq!(rejected.code, 2, "{args:?}: {rejected:?}");
        assert!(rejected.err.contains(expected), "{args:?}: {}", rejected.err);
    }
    assert_eq!(served.operations().len(), before);
    let user = "u".repeat(93);
    let text = std::fs::read_to_string(home.path().join("room.toml")).unwrap().replace("\"ann\"", &format!("{user:?}"));
    home.file("room.toml", text);
    let rejected = room(&home, &["upload", "a"]);
    assert!(rejected.code == 2 && rejected.err.contains("user_id"), "{rejected:?}");
    let other = served.run(&["pubnub", "publish", &reference, "--message", "{}"]);
    assert_eq!(other.code, 2, "{other:?}");
}

#[test]
fn a_key_on_the_command_line_can_be_literal_or_come_from_env_or_file() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    configure(&home, &served, "");
    home.file("cat.jpg", "meow");
    home.file("key", "from the file\n");
    let keyed = |key: &str| {
        configure(&home, &served, &format!("cipher_key = {key:?}"));
        move |home: &Home, reference: &str| room(home, &["download", reference, "-o", "-"])
    };
    for (option, key) in
        [("cipher_key=env:SECRET", "sec-c-emulator"), ("cipher_key=file:key", "from the file"), ("cipher_key=k", "k")]
    {
        let reference = room(&home, &["upload", "cat.jpg", "-O", option]).line();
        let read = keyed(key)(&home, &reference);
        assert_eq!((read.code, read.bytes.as_slice()), (0, &b"meow"[..]), "{option}: {read:?}");
        // The key is also valid for a message, which it does not encrypt.
        assert_eq!(room(&home, &["pubnub", "publish", &reference, "-O", option]).code, 0, "{option}");
    }
    home.file("empty", "\n");
    for option in
        ["cipher_key=file:empty", "cipher_key=", "cipher_key= ", "cipher_key=env:NOT_SET", "cipher_key=file:no"]
    {
        let before = served.operations().len();
        for command in [&["upload", "cat.jpg"][..], &["pubnub", "publish", "room:pubnub:room-1/i/n"]] {
            let failed = room(&home, &[command, &["-O", option]].concat());
            assert_eq!(failed.code, 2, "{option}: {failed:?}");
            assert!(failed.err.contains("cipher_key"), "{option}: {failed:?}");
        }
        assert_eq!(served.operations().len(), before, "{option}");
    }
}

#[test]
fn an_option_on_the_command_line_keeps_the_other_options_of_the_store() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    configure(&home, &served, "[stores.room.upload]\ncipher_key = \"env:SECRET\"");
    home.file("a.txt", "content");
    let reference = room(&home, &["upload", "a.txt", "-O", "ttl=24"]).line();
    assert_ne!(room(&home, &["download", &reference, "-o", "-"]).bytes, b"content");
    let keyed = std::fs::read_to_string(home.path().join("room.toml")).unwrap();
    home.file("room.toml", keyed.replace("[stores.room.upload]\n", ""));
    assert_eq!(room(&home, &["download", &reference, "-o", "-"]).bytes, b"content");
}
