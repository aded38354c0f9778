//! The backend: settings and options from files and command lines.

use filestore_core::{Backend, Effect, ErrorKind, Feature, Origin, Setting, Settings, Value};
use filestore_http::HttpConfig;

use super::API_KEY;
use crate::{AnonymousToken, FileIo, FileIoConfig, FileIoStore, FileIoUpload, MaxDownloads};

fn settings(pairs: &[(&str, Value)]) -> Settings {
    let mut settings = Settings::new();
    for (key, value) in pairs {
        settings.insert(*key, Setting::new(value.clone(), Origin::BuiltIn));
    }
    settings
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn the_backend_reads_its_own_keys_and_those_of_http() {
    let pairs = [("base_url", text("http://127.0.0.1:7070")), ("api_key", text(API_KEY)), ("idle_timeout", text("5s"))];
    let store = FileIo.open(&settings(&pairs)).unwrap();
    assert!(store.capabilities().supports(Feature::List));
    assert!(!format!("{store:?}").contains("canary"));
    let error = FileIo.open(&settings(&[("base_ulr", text("x"))])).unwrap_err();
    assert!(error.to_string().contains("did you mean \"base_url\"?"), "{error}");
}

#[test]
fn a_base_url_is_scheme_host_port_and_path() {
    for bad in
        ["file.io", "ftp://file.io", "https://u:CANARY@file.io", "https://file.io/?a=CANARY", "https://file.io/#CANARY"]
    {
        let error = FileIo.open(&settings(&[("base_url", text(bad))])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    for good in ["https://file.io", "https://gateway.example/drop", "https://gateway.example/drop/"] {
        assert!(FileIo.open(&settings(&[("base_url", text(good))])).is_ok(), "{good}");
    }
    assert!(FileIo.open(&settings(&[])).is_ok());
}

#[test]
fn a_link_is_a_reference_only_below_the_base_url() {
    let settings = settings(&[("base_url", text("https://gateway.example/drop/"))]);
    let reference = |link: &str| FileIo.reference_of(&settings, link).map(|found| found.to_string());
    for good in ["https://gateway.example/drop/Ab12Cd34", "Ab12Cd34"] {
        assert_eq!(reference(good).as_deref(), Some(":fileio:Ab12Cd34"), "{good}");
    }
    for bad in [
        "https://gateway.example/Ab12Cd34",
        "https://gateway.example/other/Ab12Cd34",
        "https://gateway.example/drop/more/Ab12Cd34",
        "https://gateway.example/dropAb12Cd34",
        "https://gateway.example/drop//Ab12Cd34",
        "https://gateway.example/drop/",
        "https://file.io/Ab12Cd34",
        "https://file.io/drop/Ab12Cd34",
    ] {
        assert_eq!(reference(bad), None, "{bad}");
    }
}

#[test]
fn options_come_as_texts_and_as_numbers() {
    let read = |pairs: &[(&str, Value)]| {
        FileIo.options(&settings(pairs)).map(|options| options.get::<FileIoUpload>().unwrap())
    };
    let expected = FileIoUpload::new().max_downloads(3).auto_delete(false).title("t");
    assert_eq!(
        read(&[("max_downloads", text("3")), ("auto_delete", text("false")), ("title", text("t"))]).unwrap(),
        expected
    );
    assert_eq!(
        read(&[("max_downloads", Value::Integer(3)), ("auto_delete", Value::Flag(false)), ("title", text("t"))])
            .unwrap(),
        expected
    );
    assert_eq!(read(&[("max_downloads", text("unlimited"))]).unwrap().max_downloads, Some(MaxDownloads::Unlimited));
    for bad in [text("0"), Value::Integer(0), Value::Integer(-1), text("many")] {
        let error = read(&[("max_downloads", bad)]).unwrap_err();
        assert!(error.to_string().contains("a number from 1, or unlimited"), "{error}");
    }
}

#[test]
fn an_empty_secret_is_rejected_before_anything_is_sent() {
    for blank in ["", " ", "\t\n"] {
        for (key, error) in [
            ("api_key", FileIo.open(&settings(&[("api_key", text(blank))])).unwrap_err()),
            ("proxy", FileIo.open(&settings(&[("proxy", text(blank))])).unwrap_err()),
            ("api_key", FileIoStore::new(FileIoConfig::default().api_key(blank)).unwrap_err()),
        ] {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent), "{error}");
            assert!(error.message().contains(&format!("the secret {key:?} is empty")), "{error}");
        }
        let http = HttpConfig { proxy: Some(blank.into()), ..HttpConfig::default() };
        let error = FileIoStore::new(FileIoConfig::default().http(http)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let store = FileIoStore::new(FileIoConfig::default()).unwrap();
        let error = store.with_token(&AnonymousToken::new(blank)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}
