//! [`resolve`]: values that refer to another value, `env:NAME` and `file:PATH`.

use std::path::Path;
use std::{env, fs};

use filestore_core::{Error, Key, KeyKind, Origin, Result, Setting, Settings, Value};

use crate::syntax::parse_list;

/// Replaces `env:NAME` by the value of the variable and `file:PATH` by the content of the file, also in lists and
/// tables. Makes relative paths start at the folder of their configuration file; `keys` tells which values are paths.
/// Reads a list that is a text, such as `["a", "b"]`, if `keys` has a list.
///
/// Without a file (in environment variables, on a command line, in an application's own settings), paths start at the
/// working directory. Fails with *config* for a missing variable or file.
///
/// ```
/// use filestore::{Origin, Setting, Settings, Value, resolve};
///
/// let mut settings = Settings::new();
/// settings.insert("home", Setting::new(Value::Text("env:CARGO_MANIFEST_DIR".into()), Origin::CommandLine));
/// let settings = resolve(&settings, &[])?;
/// assert!(settings.get("home").is_some_and(|setting| setting.as_str() == Some(env!("CARGO_MANIFEST_DIR"))));
/// # Ok::<(), filestore::Error>(())
/// ```
pub fn resolve(settings: &Settings, keys: &[Key]) -> Result<Settings> {
    let mut resolved = Settings::new();
    for (name, setting) in settings.iter() {
        let key = keys.iter().find(|key| key.name == name);
        let setting = match key.map(|key| key.kind) {
            Some(KeyKind::List) => &parse_list(name, setting.clone())?,
            _ => setting,
        };
        resolved.insert(name, resolve_one(name, setting, key)?);
    }
    Ok(resolved)
}

fn resolve_one(name: &str, setting: &Setting, key: Option<&Key>) -> Result<Setting> {
    let origin = &setting.origin;
    let path = key.is_some_and(|key| key.kind == KeyKind::Path);
    let value = match &setting.value {
        Value::Text(text) => return resolve_text(name, text, origin, path),
        // A path such as 2026 may arrive as a number.
        Value::Integer(number) if path => return resolve_text(name, &number.to_string(), origin, path),
        Value::List(list) => {
            Value::List(list.iter().map(|entry| resolve_one(name, entry, key)).collect::<Result<_>>()?)
        }
        Value::Table(table) => {
            let entry = |(name, entry): (&String, _)| {
                Ok((name.clone(), resolve_one(name, entry, key.and_then(|key| key.inside(name)))?))
            };
            Value::Table(table.iter().map(entry).collect::<Result<_>>()?)
        }
        other => other.clone(),
    };
    Ok(Setting::new(value, origin.clone()))
}

fn resolve_text(key: &str, text: &str, origin: &Origin, path: bool) -> Result<Setting> {
    let (text, origin) = if let Some(variable) = text.strip_prefix("env:") {
        let value = env::var(variable).map_err(|error| {
            let problem = match error {
                env::VarError::NotPresent => "is not set",
                env::VarError::NotUnicode(_) => "is not UTF-8",
            };
            Error::config(format!("{origin}: {key:?} needs the environment variable {variable}, which {problem}"))
        })?;
        (value, Origin::Environment { variable: variable.to_owned() })
    } else if let Some(file) = text.strip_prefix("file:") {
        let file = Path::new(folder_of(origin)).join(file);
        let content = fs::read_to_string(&file)
            .map_err(|error| Error::config(format!("{origin}: {key:?} needs the file {}: {error}", file.display())))?;
        (content.trim_end_matches(['\r', '\n']).to_owned(), Origin::SecretFile { path: file })
    } else if path {
        let joined = folder_of(origin).join(text);
        (joined.to_string_lossy().into_owned(), origin.clone())
    } else {
        (text.to_owned(), origin.clone())
    };
    Ok(Setting::new(Value::Text(text), origin))
}

fn folder_of(origin: &Origin) -> &Path {
    match origin {
        Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")),
        _ => Path::new(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, folder: &Path, path: bool) -> Result<Setting> {
        let origin = Origin::File { path: folder.join("f.toml"), line: 7 };
        let key = Key::new("key", if path { KeyKind::Path } else { KeyKind::Text }, "");
        resolve_one("key", &Setting::new(Value::Text(text.to_owned()), origin), Some(&key))
    }

    #[test]
    fn a_file_is_read_without_its_final_line_break_from_the_folder_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "a\nb\n").unwrap();
        let setting = text("file:token", folder.path(), false).unwrap();
        assert_eq!(setting.as_str(), Some("a\nb"));
        assert!(matches!(setting.origin, Origin::SecretFile { .. }));
    }

    #[test]
    fn a_missing_file_is_named_with_the_line_that_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let message = text("file:none", folder.path(), false).unwrap_err().to_string();
        assert!(message.contains("f.toml:7") && message.contains("none"), "{message}");
    }

    #[test]
    fn a_relative_path_starts_at_the_folder_of_the_configuration() {
        assert_eq!(text("files", Path::new("/etc/x"), true).unwrap().as_str(), Some("/etc/x/files"));
        assert_eq!(text("/srv", Path::new("/etc/x"), true).unwrap().as_str(), Some("/srv"));
        assert_eq!(text("files", Path::new("/etc/x"), false).unwrap().as_str(), Some("files"));
    }

    #[test]
    fn a_list_may_be_a_text() {
        let keys = [Key::new("list", KeyKind::List, ""), Key::new("text", KeyKind::Text, "")];
        let list = |text: &str| {
            let mut settings = Settings::new();
            for key in keys {
                settings.insert(key.name, Setting::new(Value::Text(text.to_owned()), Origin::CommandLine));
            }
            resolve(&settings, &keys)
        };
        let resolved = list(r#"["a", "[b"]"#).unwrap();
        let Value::List(entries) = &resolved.get("list").unwrap().value else { panic!("not a list") };
        assert_eq!(entries.iter().map(|entry| entry.as_str().unwrap()).collect::<Vec<_>>(), ["a", "[b"]);
        assert_eq!(resolved.text("text"), Some(r#"["a", "[b"]"#));
        let error = list("[hunter2").unwrap_err().to_string();
        assert_eq!(error, r#"command line: "list" is not a list; write it like ["a", "b"]"#);
    }
}
