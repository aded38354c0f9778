//! Data to standard output, everything else to standard error.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::{self, Write};

use filestore::{Effect, Error, ErrorKind, Expiry, Result, StoredFile};
use serde_json::{Map, Value, json};

/// Writes one line of data.
pub(crate) fn line(text: &str) -> Result<()> {
    write_all(format!("{text}\n").as_bytes())
}

/// Writes data. A reader that has gone away (`| head`) is a failure like any other: it did not get
/// everything.
pub(crate) fn write_all(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failed)
}

/// Standard output could not be written.
pub(crate) fn failed(error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::Quota } else { ErrorKind::Io };
    Error::new(kind, Effect::Rejected, format!("cannot write to standard output: {error}")).with_source(error)
}

/// Writes lines for the person, who may see what a server or a file name put into them. If even that fails there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(err, "{}", visible(line));
    }
}

/// Writes an error with the causes that its message does not name already.
pub(crate) fn complain_of(error: &Error) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            let _ = write!(text, "\n  because: {message}");
        }
        cause = inner.source();
    }
    let mut facts = Vec::new();
    facts.extend(error.http_status().map(|status| format!("HTTP status {status}")));
    facts.extend(error.provider_code().map(|code| format!("code {code}")));
    facts.extend(error.request_id().map(|id| format!("request {id}")));
    facts.extend((error.attempts() > 1).then(|| format!("{} attempts", error.attempts())));
    if !facts.is_empty() {
        let _ = write!(text, "\n  ({})", facts.join(", "));
    }
    complain(&text);
}

/// Rows under headings, in columns. Control characters are shown, not obeyed.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut widths = vec![0; headings.len()];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in [&headings].into_iter().chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text with control characters escaped, and those that reverse text: a name must neither move a
/// terminal's cursor nor look like another.
pub(crate) fn visible(text: &str) -> String {
    let turns = |c| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if c.is_control() || turns(c) { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(shown).collect()
}

/// A file as one JSON object: `ref`, `name`, `size`, `store`, and what else is known.
pub(crate) fn json_of(file: &StoredFile) -> Value {
    let mut object = Map::new();
    object.insert("ref".into(), file.reference.to_string().into());
    object.insert("name".into(), file.name.clone().into());
    object.insert("size".into(), file.size.into());
    object.insert("store".into(), file.reference.store().into());
    let mut known = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(key.into(), value);
        }
    };
    known("stored_size", file.stored_size.map(Value::from));
    known("created", file.created.map(|time| time.to_string().into()));
    known("modified", file.modified.map(|time| time.to_string().into()));
    known("content_type", file.content_type.clone().map(Value::from));
    known("expires", expiry_of(file).map(Value::from));
    known("remaining_downloads", file.remaining_downloads.map(Value::from));
    for digest in &file.digests {
        known(digest.algorithm.as_str(), Some(digest.hex.clone().into()));
    }
    known("metadata", (!file.metadata.is_empty()).then(|| json!(file.metadata)));
    known("skipped", (!file.skipped.is_empty()).then(|| json!(file.skipped)));
    Value::Object(object)
}

/// The effective expiry, where the service says it.
pub(crate) fn expiry_of(file: &StoredFile) -> Option<String> {
    (file.expiry != Expiry::Default).then(|| file.expiry.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_shown() {
        let rows = vec![vec!["a\u{1b}[2J".to_owned(), "1".to_owned()], vec!["b".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["NAME", "SIZE"], &rows), "NAME        SIZE\na\\u{1b}[2J  1\nb           22\n");
    }

    #[test]
    fn characters_that_reverse_text_are_shown() {
        assert_eq!(visible("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
    }
}
