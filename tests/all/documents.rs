//! The documents are valid: this build accepts every configuration in them, the emulator accepts the files of its
//! page, and every link leads to a file.

use std::fs;
use std::path::{Path, PathBuf};

use filestore::{Config, ErrorKind, Store, Upload};
use filestore_emulator::{Emulator, FaultPlan, Options};

/// The root of the repository, `docs` with its subfolders, and the README of each crate.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entries =
        |folder: &Path| -> Vec<_> { fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let mut found = entries(&root);
    found.extend(entries(&root.join("docs")));
    found.extend(entries(&root.join("docs/backends")));
    found.extend(entries(&root.join("crates")).iter().map(|folder| folder.join("README.md")));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found
}

/// Returns the fenced blocks of `language`, each with the number of its first line.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block: Option<(usize, String)> = None;
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if let Some(info) = line.strip_prefix("```") {
            if fenced {
                found.extend(block.take());
            } else if info == language {
                block = Some((number + 1, String::new()));
            }
            fenced = !fenced;
        } else if let Some((_, content)) = &mut block {
            content.push_str(line);
            content.push('\n');
        }
    }
    found
}

#[test]
fn every_configuration_in_the_documents_is_accepted() {
    let mut checked = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (line, block) in blocks(&text, "toml") {
            if block.contains("dependencies]") || block.contains("[[fault") {
                continue;
            }
            // The variables and secret files of the documents do not exist here.
            let block = block.replace("env:", "value-of-").replace("file:", "value-of-");
            let config =
                Config::parse(&block, &path).unwrap_or_else(|error| panic!("{}:{line}: {error}", path.display()));
            for store in config.stores() {
                store
                    .resolve(&filestore::registry())
                    .unwrap_or_else(|error| panic!("{}:{line}: {error}", path.display()));
            }
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn every_link_between_documents_leads_to_a_file() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = &text[at + 2..];
            let target = &target[..target.find(')').unwrap_or(0)];
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let full = path.parent().unwrap().join(file);
            assert!(full.exists(), "{}: {target}", path.display());
        }
    }
}

/// Returns the blocks of docs/emulator.md whose fence begins with `info`.
fn blocks_of_the_emulator(info: &str) -> Vec<&'static str> {
    let page = include_str!("../../docs/emulator.md");
    page.split(&format!("```{info}")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_fault_file_in_the_documents_is_accepted() {
    let examples = blocks_of_the_emulator("toml fault");
    assert!(!examples.is_empty());
    for example in examples {
        FaultPlan::from_toml(example).unwrap();
    }
}

#[tokio::test]
async fn the_credentials_file_in_the_documents_grants_what_it_states() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.toml");
    fs::write(&file, blocks_of_the_emulator("toml credentials")[0]).unwrap();
    let emulator = Emulator::start(Options { credentials: Some(file), ..Options::default() }).await.unwrap();
    let store = |key: &str| -> Store {
        let url = emulator.url();
        let text = format!("[stores.team]\nbackend = 'filescom'\nbase_url = '{url}'\napi_key = '{key}'\n");
        Config::parse(&text, "documents.toml")
            .unwrap()
            .open(&filestore::registry())
            .unwrap()
            .get("team")
            .unwrap()
            .clone()
    };
    let upload = || Upload::new("q3.txt", "the figures").scope("clients/acme").create_parents(true);

    let stored = store("lettersAndDigits").upload(upload()).await.unwrap();

    let client = store("anotherKey");
    assert_eq!(client.read(stored.reference(), 100).await.unwrap(), "the figures");
    assert_eq!(client.upload(upload()).await.unwrap_err().kind(), ErrorKind::Permission);
    emulator.shutdown().await;
}
