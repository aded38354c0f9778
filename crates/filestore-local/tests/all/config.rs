//! Backends that are opened from settings.

use filestore_core::{ErrorKind, Origin, Registry, Result, Setting, Store, StoreSettings, Upload, Value};
use filestore_local::{Fs, Memory};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn open(backend: &str, keys: &[(&str, Value)]) -> Result<Store> {
    let mut settings = StoreSettings::new("s", backend);
    for (key, value) in keys {
        settings.settings.insert(*key, Setting::new(value.clone(), Origin::BuiltIn));
    }
    Registry::new().with(Fs).with(Memory).open(&settings)
}

fn problem(backend: &str, keys: &[(&str, Value)]) -> String {
    let error = open(backend, keys).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

#[tokio::test]
async fn every_backend_stores_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = text(folder.path().to_str().unwrap());
    for (store, expected) in [(open("fs", &[("root", root)]), "s:fs:d/a"), (open("memory", &[]), "s:memory:d/a")] {
        let file = store.unwrap().upload(Upload::new("a", "x").scope("d")).await.unwrap();
        assert_eq!(file.reference().to_string(), expected);
    }
    assert_eq!(std::fs::read(folder.path().join("d/a")).unwrap(), b"x");
}

#[test]
fn the_error_of_a_misspelled_key_suggests_the_nearest() {
    assert!(problem("fs", &[("rot", text("x"))]).contains("did you mean \"root\"?"));
    assert!(problem("memory", &[("root", text("x"))]).contains("unknown key \"root\""));
}

#[test]
fn a_missing_key_is_named() {
    assert!(problem("fs", &[]).contains("\"root\" is missing"));
}
