//! Stores inside of an application's own settings, read by the usual libraries.

#![cfg(all(feature = "fileio", feature = "local", feature = "pubnub"))]
#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use figment::Figment;
use figment::providers::{Format, Json};
use filestore::pubnub::PubNubStore;
use filestore::{Config, ErrorKind, Value, registry};
use serde::Deserialize;

/// The settings of an application: `[stores]` is at their top.
#[derive(Debug, Deserialize)]
struct Settings {
    port: u16,
    #[serde(flatten)]
    files: Config,
}

/// The settings of an application that has the stores in a table of its own.
#[derive(Debug, Deserialize)]
struct Nested {
    #[serde(default)]
    files: Config,
}

const TOML: &str = r#"
port = 80
default = "uploads"

[stores.uploads]
backend = "pubnub"
user_id = "server-1"
publish_key = "pub-c-1"
subscribe_key = "sub-c-1"
max_retries = 5

[stores.local]
backend = "fs"
root = "files"
aliases = ["old"]
"#;

/// Returns the text of `key` of the store `name`, resolved.
fn text(config: &Config, name: &str, key: &str) -> String {
    config.store(name).unwrap().resolve(&registry()).unwrap().settings.text(key).unwrap().to_owned()
}

/// Returns the error of the store `name`.
fn problem(config: &Config, name: &str) -> String {
    config.open(&registry()).unwrap().get(name).unwrap_err().to_string()
}

/// Returns the error of `[files]` with the content `text`.
fn rejected(text: &str) -> String {
    serde_json::from_str::<Nested>(&format!(r#"{{"files":{text}}}"#)).unwrap_err().to_string()
}

#[test]
fn the_settings_of_an_application_have_the_stores_at_their_top() {
    let settings: Settings = toml::from_str(TOML).unwrap();
    assert_eq!(settings.port, 80);
    let stores = settings.files.open(&registry()).unwrap();
    assert_eq!((stores.failed().count(), stores.default_store().unwrap().name()), (0, "uploads"));
    assert!(stores.backend::<PubNubStore>("uploads").is_ok());
    assert_eq!(stores.get("old").unwrap().name(), "local");
}

#[test]
fn a_table_of_its_own_may_be_missing() {
    assert_eq!(toml::from_str::<Nested>("").unwrap().files.stores().len(), 0);
    let nested: Nested = toml::from_str("[files.stores.a]\nbackend = \"memory\"\n").unwrap();
    assert_eq!(nested.files.default_name(), Some("a"));
}

#[test]
fn variables_override_the_settings_if_the_application_asks_for_it() {
    let settings: Settings = toml::from_str(TOML).unwrap();
    let variables = [("FILESTORE_STORES__LOCAL__ROOT", "/srv"), ("FILESTORE_DEFAULT", "local")];
    let config = settings.files.with_environment(variables).unwrap();
    assert_eq!((text(&config, "local", "root").as_str(), config.default_name()), ("/srv", Some("local")));
}

#[test]
fn figment_guesses_the_types_of_variables_and_they_fit() {
    // The types that `figment::providers::Env` guesses.
    let guessed = |text: &str| text.parse::<figment::value::Value>().unwrap();
    let settings: Settings = Figment::from(Json::string(r#"{"port":1,"stores":{"uploads":{"user_id":"server-1"}}}"#))
        .merge(("port", guessed("80")))
        .merge(("stores.uploads.backend", guessed("pubnub")))
        .merge(("stores.uploads.publish_key", guessed("12345678901234567890123")))
        .merge(("stores.uploads.subscribe_key", guessed("42")))
        .merge(("stores.uploads.user_agent", guessed("true")))
        .merge(("stores.uploads.max_retries", guessed("\"5\"")))
        .merge(("stores.uploads.upload.should_store", guessed("\"false\"")))
        .merge(("stores.scratch.backend", guessed("memory")))
        .merge(("stores.scratch.aliases", guessed("[old, older]")))
        .merge(("stores.broken.backend", guessed("fs")))
        .merge(("stores.broken.rooot", guessed("1")))
        .extract()
        .unwrap();
    let stores = settings.files.open(&registry()).unwrap();
    assert_eq!(settings.port, 80);
    assert!(stores.backend::<PubNubStore>("uploads").is_ok());
    assert_eq!(stores.get("older").unwrap().name(), "scratch");
    assert_eq!(
        problem(&settings.files, "broken"),
        "broken: stores.broken.rooot: the backend \"fs\" has no key \"rooot\"; did you mean \"root\"?"
    );
}

#[test]
fn config_rs_guesses_the_types_of_variables_and_they_fit() {
    let variables = [
        ("APP__PORT", "81"),
        ("APP__STORES__UPLOADS__PUBLISH_KEY", "1234567890"),
        ("APP__STORES__UPLOADS__USER_AGENT", "true"),
        ("APP__STORES__SCRATCH__BACKEND", "memory"),
        ("APP__STORES__BROKEN__BACKEND", "fs"),
        ("APP__STORES__BROKEN__ROOOT", "x"),
        ("HOME", "/root"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = |guess| {
        let source = config::Environment::with_prefix("APP").prefix_separator("__").separator("__");
        source.try_parsing(guess).source(Some(variables.clone().into_iter().collect()))
    };
    for guess in [true, false] {
        let read = config::Config::builder()
            .add_source(config::File::from_str(TOML, config::FileFormat::Toml))
            .add_source(environment(guess))
            .build();
        let settings: Settings = read.unwrap().try_deserialize().unwrap();
        let stores = settings.files.open(&registry()).unwrap();
        assert_eq!((settings.port, stores.default_store().unwrap().name()), (81, "uploads"));
        assert!(stores.get("scratch").is_ok());
        assert_eq!(
            problem(&settings.files, "broken"),
            "broken: stores.broken.rooot: the backend \"fs\" has no key \"rooot\"; did you mean \"root\"?"
        );
    }
}

#[test]
fn every_reader_of_toml_has_the_same_values() {
    let text = "[stores.a]\nbackend = \"x\"\ntext = \"t\"\nnumber = -5\nfraction = 1.5\nflag = true\n\
        time = 2026-03-01T10:00:00Z\nlist = [1, [\"a\"]]\n[stores.a.options]\nbucket = { name = \"b\" }\n";
    let parsed = Config::parse(text, "f.toml").unwrap();
    let embedded: Config = toml::from_str(text).unwrap();
    let by_figment: Config = Figment::from(Json::string(
        r#"{"stores":{"a":{"backend":"x","text":"t","number":-5,"fraction":1.5,"flag":true,
           "time":"2026-03-01T10:00:00Z","list":[1,["a"]],"options":{"bucket":{"name":"b"}}}}}"#,
    ))
    .extract()
    .unwrap();
    let values = |config: &Config| {
        let settings = &config.store("a").unwrap().settings;
        settings.iter().map(|(key, setting)| (key.to_owned(), setting.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&embedded).len(), 7);
    assert!(values(&embedded) == values(&parsed) && values(&by_figment) == values(&parsed));
}

#[test]
fn an_absent_value_is_not_set_and_a_large_number_keeps_its_digits() {
    let config: Config = serde_json::from_str(
        r#"{"default":null,"stores":{"none":null,"a":{"backend":"fileio","api_key":18446744073709551615}}}"#,
    )
    .unwrap();
    assert_eq!(config.default_name(), Some("a"));
    assert_eq!(text(&config, "a", "api_key"), "18446744073709551615");
    assert!(config.open(&registry()).unwrap().get("a").is_ok());
    let origin = config.store("a").unwrap().settings.get("api_key").unwrap().origin.to_string();
    assert_eq!(origin, "stores.a.api_key");
}

#[test]
fn a_key_of_a_store_without_its_value_is_an_error() {
    for (key, table) in
        [("stores.a.cipher_key", r#"{"cipher_key":null}"#), ("stores.a.upload.x", r#"{"upload":{"x":null}}"#)]
    {
        let error =
            serde_json::from_str::<Config>(&format!(r#"{{"stores":{{"a":{table}}}}}"#)).unwrap_err().to_string();
        assert!(error.contains(&format!("{key}: the value is missing")), "{error}");
    }
}

#[test]
fn values_resolve_as_in_a_file_and_paths_start_at_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "secret\n").unwrap();
    let text_of_file = format!(
        r#"{{"stores":{{"a":{{"backend":"fileio","api_key":"file:{}","user_agent":"env:CARGO_PKG_NAME","ca_file":2026}},
            "b":{{"backend":"fs","root":"files"}}}}}}"#,
        file.display()
    );
    let config: Config = serde_json::from_str(&text_of_file).unwrap();
    assert_eq!(text(&config, "a", "api_key"), "secret");
    assert_eq!(text(&config, "a", "user_agent"), "filestore");
    assert_eq!((text(&config, "a", "ca_file"), text(&config, "b", "root")), ("2026".to_owned(), "files".to_owned()));
}

#[test]
fn a_file_and_an_embedded_configuration_reject_the_same() {
    for (text, problem) in [
        (r#"{"defalt":"a"}"#, "defalt: unknown key \"defalt\"; did you mean \"default\"?"),
        (r#"{"default":5}"#, "default: \"default\" is not a text; set it to the name of a store"),
        (
            r#"{"default":"b","stores":{"a":{"backend":"memory"}}}"#,
            "default: there is no store \"b\"; did you mean \"a\"?",
        ),
        (r#"{"stores":[]}"#, "stores: \"stores\" is not a table; write [stores.NAME]"),
        (
            r#"{"stores":{"a":{"backend":"memory","aliases":["b"]},"b":{"backend":"memory"}}}"#,
            "stores.b.backend: two stores are called \"b\"; names and aliases must differ",
        ),
        (r#"{"stores":{"a":1,"a":2}}"#, "stores.a: the key is set twice"),
        (r#"{"stores":{"a":{"aliases":[null]}}}"#, "stores.a.aliases[0]: the value is missing"),
        ("[]", "the configuration of stores is not a table"),
    ] {
        let error = rejected(text);
        assert!(error.starts_with(problem), "{error}");
    }
}

#[test]
fn a_store_whose_table_is_wrong_fails_alone_and_names_the_key() {
    let text = r#"{"stores":{
        "good":{"backend":"memory"},
        "bad":{"backend":"fs","aliases":5},
        "missing":{"bakend":"fs"},
        "scalar":"hunter2",
        "unset":{"backend":"fileio","api_key":"env:FILESTORE_TEST_NO_SUCH_VARIABLE"},
        "typed":{"backend":"pubnub","user_id":"u","subscribe_key":"s","publish_key":["hunter2"]},
        "fraction":{"backend":"fileio","api_key":1.5}}}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    for (store, expected) in [
        ("bad", "bad: stores.bad.aliases: \"aliases\" is not a list of texts"),
        (
            "missing",
            "missing: stores.missing: the store \"missing\" has no key \"backend\" (is \"bakend\" a misspelling of it?); \
             add backend = \"NAME\"",
        ),
        ("scalar", "scalar: stores.scalar: the store \"scalar\" is not a table; write [stores.scalar]"),
        (
            "unset",
            "unset: stores.unset.api_key: \"api_key\" needs the environment variable FILESTORE_TEST_NO_SUCH_VARIABLE, \
             which is not set",
        ),
        ("typed", "typed: open: stores.typed.publish_key: \"publish_key\" is a list: expected a string"),
        (
            "fraction",
            "fraction: open: stores.fraction.api_key: \"api_key\" is a number: expected a text; write it in quotes",
        ),
    ] {
        assert_eq!(problem(&config, store), expected);
    }
    let stores = config.open(&registry()).unwrap();
    assert_eq!(stores.iter().map(|store| store.name()).collect::<Vec<_>>(), ["good"]);
    assert!(stores.failed().all(|failed| failed.error.kind() == ErrorKind::Config));
    assert_eq!(stores.failed().count(), 6);
}

#[cfg(feature = "webdav")]
#[test]
fn a_flag_among_the_options_of_opendal_is_read_like_its_text() {
    for flag in ["false", "\"false\""] {
        let options = format!(r#"{{"endpoint":"http://127.0.0.1:9","enable_user_metadata":{flag}}}"#);
        let text = format!(r#"{{"stores":{{"a":{{"backend":"opendal","service":"webdav","options":{options}}}}}}}"#);
        let stores = serde_json::from_str::<Config>(&text).unwrap().open(&registry()).unwrap();
        assert!(!stores.get("a").unwrap().capabilities().supports(filestore::Feature::Metadata), "{flag}");
    }
}

#[test]
fn debug_shows_no_value_of_an_embedded_configuration() {
    let config: Config = serde_json::from_str(r#"{"stores":{"a":{"backend":"fileio","api_key":"hunter2"}}}"#).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(matches!(config.store("a").unwrap().settings.get("api_key").unwrap().value, Value::Text(_)));
}
