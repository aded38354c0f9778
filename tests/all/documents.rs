//! The documents are valid: this build accepts every configuration in them, and every link leads to a file.

use std::fs;
use std::path::{Path, PathBuf};

use filestore::Config;

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
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
            if block.contains("[dependencies]") || block.contains("[[fault") {
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
