//! The backend `pubnub`, opened from settings.

use filestore_core::{Backend, Feature, FileStore, Origin, Setting, Settings, Upload, Value};
use secrecy::ExposeSecret;

use super::*;
use crate::{Cipher, Crypto, PubNub, PubNubSend};

fn settings(values: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::new();
    for (key, value) in values {
        settings.insert(*key, Setting::new(Value::Text((*value).to_owned()), Origin::BuiltIn));
    }
    settings
}

const REQUIRED: [(&str, &str); 3] = [("user_id", "alice"), ("publish_key", "pub-c-1"), ("subscribe_key", "sub-c-1")];

#[test]
fn a_store_is_opened_from_settings() {
    let all = [
        ("base_url", "http://127.0.0.1:7070"),
        ("channel", "room-1"),
        ("secret_key", "sec-c-1"),
        ("token", "t"),
        ("auth_key", "a"),
        ("cipher_key", "k"),
        ("crypto", "legacy"),
        ("max_file_size", "20000000"),
        ("idle_timeout", "5s"),
    ];
    let store = PubNub.connect(&settings(&[&REQUIRED[..], &all].concat())).unwrap();
    assert_eq!(store.cipher().unwrap().crypto(), Crypto::Legacy);
    let debug = format!("{store:?}");
    assert_eq!(
        debug,
        "PubNubStore { base: \"http://127.0.0.1:7070/\", channel: Some(\"room-1\"), cipher: Some(Cipher(Legacy)), .. }"
    );
    assert!(PubNub.open(&settings(&REQUIRED)).unwrap().capabilities().supports(Feature::Url));
}

#[test]
fn an_error_names_the_missing_or_unknown_setting() {
    for (missing, _) in REQUIRED {
        let rest: Vec<_> = REQUIRED.into_iter().filter(|(key, _)| *key != missing).collect();
        let error = PubNub.connect(&settings(&rest)).unwrap_err();
        assert!(error.to_string().contains(missing), "{error}");
    }
    let unknown = [("crypto", "aes"), ("cipher_key", "k")];
    let error = PubNub.connect(&settings(&[&REQUIRED[..], &unknown].concat())).unwrap_err();
    assert!(error.to_string().contains("acrh, legacy, legacy-static-iv"), "{error}");
    let error = PubNub.connect(&settings(&[&REQUIRED[..], &[("chanel", "x")]].concat())).unwrap_err();
    assert!(error.to_string().contains("did you mean \"channel\"?"), "{error}");
}

#[test]
fn a_scheme_without_a_cipher_key_is_rejected() {
    let error = PubNub.connect(&settings(&[&REQUIRED[..], &[("crypto", "acrh")]].concat())).unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Config, Effect::NotSent));
    assert!(error.to_string().contains("\"crypto\" needs \"cipher_key\""), "{error}");
}

#[test]
fn options_are_parsed_from_texts() {
    let options = PubNub
        .options(&settings(&[
            ("message", r#"{"text":"hi"}"#),
            ("meta", r#"{"a":1}"#),
            ("ttl", "24"),
            ("should_store", "false"),
            ("custom_message_type", "my-type"),
            ("cipher_key", "k"),
        ]))
        .unwrap();
    let send: PubNubSend = options.get().unwrap();
    assert_eq!((send.message.unwrap().get(), send.meta.unwrap().get()), (r#"{"text":"hi"}"#, r#"{"a":1}"#));
    assert_eq!((send.ttl, send.should_store), (Some(24), Some(false)));
    assert_eq!(send.cipher_key.as_ref().unwrap().expose_secret(), "k");
}

#[test]
fn a_message_that_is_not_json_is_rejected_and_not_shown() {
    for (key, value) in [("message", "hello"), ("message", "{\"a\":"), ("meta", "{CANARY")] {
        let error = PubNub.options(&settings(&[(key, value)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("not JSON") && error.to_string().contains(key), "{error}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    assert_eq!(PubNub.options(&settings(&[("custom_message_type", "x")])).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_message_may_be_a_table() {
    let table = [("text".to_owned(), Setting::new(Value::Text("hi".into()), Origin::BuiltIn))].into();
    let mut settings = Settings::new();
    settings.insert("message", Setting::new(Value::Table(table), Origin::BuiltIn));
    let options = PubNub.options(&settings).unwrap();
    assert_eq!(options.get::<PubNubSend>().unwrap().message.unwrap().get(), r#"{"text":"hi"}"#);
}

#[test]
fn an_empty_secret_is_rejected_before_any_request() {
    for blank in ["", " ", "\t\n"] {
        for key in ["publish_key", "subscribe_key", "secret_key", "token", "auth_key", "cipher_key"] {
            let mut values: Vec<_> = REQUIRED.into_iter().filter(|(known, _)| *known != key).collect();
            values.push((key, blank));
            let error = PubNub.open(&settings(&values)).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent), "{error}");
            assert!(error.message().contains(&format!("the secret {key:?} is empty")), "{error}");
        }
        let config = || PubNubConfig::new("pub-c-1", "sub-c-1", "alice");
        for (key, config) in [
            ("publish_key", PubNubConfig::new(blank, "sub-c-1", "alice")),
            ("subscribe_key", PubNubConfig::new("pub-c-1", blank, "alice")),
            ("secret_key", config().secret_key(blank)),
            ("token", config().token(blank)),
            ("auth_key", {
                let mut config = config();
                config.auth_key = Some(blank.into());
                config
            }),
            ("cipher_key", config().cipher_key(Crypto::Acrh, blank)),
        ] {
            let error = PubNubStore::new(config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.message().contains(&format!("the secret {key:?} is empty")), "{error}");
        }
        assert_eq!(Cipher::new(Crypto::Acrh, blank).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(PubNub.options(&settings(&[("cipher_key", blank)])).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn an_upload_or_message_with_an_empty_cipher_key_is_rejected_before_any_request() {
    let (service, store) = store([]).await;
    let send = PubNubSend::new().cipher_key(" ");
    let upload = Upload::new("cat.txt", "meow").with(send.clone());
    let reference: FileRef = format!("s:pubnub:room-1/{ID}/cat.txt").parse().unwrap();
    for error in
        [store.upload(upload).await.unwrap_err(), store.publish_file_message(&reference, &send).await.unwrap_err()]
    {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        assert!(error.message().contains("the secret \"cipher_key\" is empty"), "{error}");
    }
    assert!(service.requests().is_empty());
}
