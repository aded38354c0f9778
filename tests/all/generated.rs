//! The generated parts of the documents, the keys and the capabilities, are up to date.
//! `FILESTORE_BLESS=1 cargo test -p filestore-tests generated` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use filestore::{Config, Feature, Key, NameRules, Store};

pub(crate) fn compare(document: &str, marker: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin {marker} -->\n"), format!("<!-- end {marker} -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{document} has no {begin}"));
    let (current, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{document} has no {end}"));
    if std::env::var_os("FILESTORE_BLESS").is_some() {
        fs::write(&path, format!("{before}{begin}{generated}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        current, generated,
        "{document} is out of date; run FILESTORE_BLESS=1 cargo test -p filestore-tests generated"
    );
}

fn table(keys: &[Key]) -> String {
    let mut text = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => String::new(),
        };
        let _ =
            writeln!(text, "| `{}` | {} | {default} | {} |", key.name, key.kind.as_str(), key.help.replace('|', "\\|"));
    }
    text
}

#[test]
fn configuration_has_every_key_of_every_backend() {
    let mut text = String::new();
    for backend in filestore::registry().backends() {
        let _ = writeln!(
            text,
            "\n### `backend = \"{}\"`\n\n{}.\n\n{}",
            backend.name(),
            backend.about(),
            table(backend.keys())
        );
        if !backend.option_keys().is_empty() {
            let _ = writeln!(
                text,
                "Options of an upload (`-O key=value`, or the table `upload` of the store):\n\n{}",
                table(backend.option_keys())
            );
        }
    }
    compare("configuration.md", "keys", &text);
}

fn section(title: &str, store: &Store) -> String {
    let capabilities = store.capabilities();
    let mut text = format!("\n## {title}\n\n| | |\n|---|---|\n");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    };
    row("references", &format!("`{}:{}:...`", store.name(), capabilities.scheme));
    row("addressing", &capabilities.addressing.to_string());
    row("a scope is", &capabilities.scope.to_string());
    row("names compare", &capabilities.names.equality.to_string());
    row("a read", &capabilities.read_effect.to_string());
    row("a listing is", &capabilities.list_order.to_string());
    row("largest file", &capabilities.max_size.map_or("no limit known".into(), |size| format!("{size} bytes")));
    if let Some(kind) = capabilities.url_kind {
        row("a URL is", kind.as_str());
    }
    let NameRules { max_bytes, max_chars, .. } = capabilities.names;
    let longest = [max_bytes.map(|max| format!("{max} bytes")), max_chars.map(|max| format!("{max} characters"))];
    longest.iter().flatten().for_each(|longest| row("longest name", longest));
    for feature in Feature::ALL {
        row(&format!("`{feature}`"), &capabilities.support(*feature).to_string());
    }
    text
}

#[test]
fn the_document_has_the_capabilities_of_every_store() {
    let stores = Config::parse(
        r#"
[stores.local]
backend = "fs"
root = "files"

[stores.scratch]
backend = "memory"

[stores.drop]
backend = "fileio"

[stores.account]
backend = "fileio"
api_key = "key"

[stores.team]
backend = "filescom"
api_key = "key"

[stores.uploads]
backend = "pubnub"
user_id = "server-1"
publish_key = "key"
subscribe_key = "key"

[stores.sealed]
backend = "pubnub"
user_id = "server-1"
publish_key = "key"
subscribe_key = "key"
cipher_key = "key"
"#,
        "generated.toml",
    )
    .unwrap()
    .open(&filestore::registry())
    .unwrap();
    let mut text = String::new();
    for (title, name) in [
        ("`fs`: a local directory", "local"),
        ("`memory`", "scratch"),
        ("`fileio`, without an API key", "drop"),
        ("`fileio`, with an API key", "account"),
        ("`filescom`", "team"),
        ("`pubnub`", "uploads"),
        ("`pubnub`, with a cipher key", "sealed"),
    ] {
        text.push_str(&section(title, stores.get(name).unwrap()));
    }
    text.push('\n');
    compare("capabilities.md", "capabilities", &text);
}
