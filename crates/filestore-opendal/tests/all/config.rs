//! Backends that are opened from settings.

use filestore_core::{ErrorKind, Origin, Registry, Result, Setting, Store, StoreSettings, Upload, Value};
use filestore_opendal::Opendal;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn table(entries: &[(&str, Value)]) -> Value {
    let setting = |value: &Value| Setting::new(value.clone(), Origin::File { path: "f.toml".into(), line: 7 });
    Value::Table(entries.iter().map(|(key, value)| ((*key).to_owned(), setting(value))).collect())
}

fn open(backend: &str, keys: &[(&str, Value)]) -> Result<Store> {
    let mut settings = StoreSettings::new("s", backend);
    for (key, value) in keys {
        settings.settings.insert(*key, Setting::new(value.clone(), Origin::BuiltIn));
    }
    Registry::new().with(Opendal).open(&settings)
}

fn problem(backend: &str, keys: &[(&str, Value)]) -> String {
    let error = open(backend, keys).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_service_without_options_stores_a_file() {
    let store = open("opendal", &[("service", text("memory"))]).unwrap();
    let file = store.upload(Upload::new("a", "x").scope("d")).await.unwrap();
    assert_eq!(file.reference().to_string(), "s:memory:d/a");
}

#[test]
fn the_error_for_local_files_names_their_backend() {
    let message = problem("opendal", &[("service", text("fs")), ("root", text("x"))]);
    assert!(message.contains("backend = \"fs\""), "{message}");
}

#[test]
fn the_error_of_a_misspelled_key_suggests_the_nearest() {
    assert!(problem("opendal", &[("servic", text("fs"))]).contains("did you mean \"service\"?"));
}

#[test]
fn the_error_of_a_misspelled_option_suggests_the_nearest() {
    let message = problem("opendal", &[("service", text("memory")), ("options", table(&[("rooot", text("x"))]))]);
    assert_eq!(message, "s: open: f.toml:7: unknown key \"rooot\"; did you mean \"root\"?");
}

#[test]
fn a_missing_key_is_named() {
    assert!(problem("opendal", &[]).contains("\"service\" is missing"));
}

#[test]
fn the_error_of_an_unknown_service_suggests_the_nearest() {
    assert!(problem("opendal", &[("service", text("sftpp"))]).contains("did you mean \"sftp\"?"));
    assert!(problem("opendal", &[("service", text("carrier-pigeon"))]).contains("use one of memory, s3"));
}

#[test]
#[cfg(not(feature = "s3"))]
fn the_error_of_a_service_that_is_not_compiled_in_names_its_cargo_feature() {
    let message = problem("opendal", &[("service", text("s3"))]);
    assert!(message.contains("cargo feature \"s3\""), "{message}");
}

#[test]
fn options_that_are_not_a_table_are_rejected() {
    assert!(problem("opendal", &[("service", text("memory")), ("options", text("x"))]).contains("is not a table"));
}

#[test]
fn a_root_given_twice_is_rejected() {
    let options = table(&[("root", text("x"))]);
    let message = problem("opendal", &[("service", text("memory")), ("root", text("y")), ("options", options)]);
    assert!(message.contains("given twice"), "{message}");
}

#[test]
fn a_service_without_http_has_no_settings_of_http() {
    let problem = problem("opendal", &[("service", text("memory")), ("idle_timeout", text("5s"))]);
    assert!(problem.contains("\"idle_timeout\""), "{problem}");
}
