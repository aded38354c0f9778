//! Output: data to standard output, everything else to standard error.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use filestore::{Effect, Error, ErrorKind, Expiry, Result, StoredFile, is_hidden};
use serde_json::{Map, Value, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::standard_streams;

/// The widest cell of a table, in columns of the terminal.
const WIDEST: usize = 120;

/// The widest cell of the last column, whose references and messages people copy.
const WIDEST_LAST: usize = 4096;

/// Writes one line of data.
pub(crate) fn line(text: impl AsRef<[u8]>) -> Result<()> {
    write_all(&[text.as_ref(), b"\n"].concat())
}

/// Writes data.
pub(crate) fn write_all(bytes: &[u8]) -> Result<()> {
    standard_streams::check_output()?;
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(write_error)
}

/// Writes one line, the result of an operation that took effect. If standard output does not accept the line,
/// `summary` goes to standard error, because the result, such as a new reference, may be recorded nowhere else.
///
/// A signal may end the program while it waits for a full standard output; [`report_unprinted`] then reports the
/// summary.
pub(crate) fn result(text: impl AsRef<[u8]>, summary: &str) -> Result<()> {
    if standard_streams::may_be_closed() {
        report(summary);
    }
    set_unprinted(Some(summary.to_owned()));
    let printed = line(text);
    set_unprinted(None);
    printed.map_err(|error| {
        report(summary);
        if is_closed_by_reader(&error) {
            return error;
        }
        let message = format!("the operation took effect, but its result was not printed: {}", error.message());
        Error::new(ErrorKind::Incomplete, Effect::Applied, message)
    })
}

/// The summaries of the results that are not printed yet: that of the result that is being printed, and those that wait.
#[derive(Default)]
struct Unprinted {
    current: Option<String>,
    waiting: BTreeMap<usize, String>,
}

static UNPRINTED: Mutex<Unprinted> = Mutex::new(Unprinted { current: None, waiting: BTreeMap::new() });

/// Sets the summary that [`report_unprinted`] reports. `None`: the result is printed, or its loss is reported.
pub(crate) fn set_unprinted(summary: Option<String>) {
    unprinted().current = summary;
}

/// Adds the summary of the result with this number, which waits to be printed.
pub(crate) fn wait_for_print(number: usize, summary: String) {
    unprinted().waiting.insert(number, summary);
}

/// Removes the summary of the result with this number: it is printed, or its loss is reported.
pub(crate) fn printed(number: usize) {
    unprinted().waiting.remove(&number);
}

fn unprinted() -> MutexGuard<'static, Unprinted> {
    UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports the results that standard output has not accepted yet, when a signal ends the program.
pub(crate) fn report_unprinted() {
    let Unprinted { current, waiting } = std::mem::take(&mut *unprinted());
    let waiting = waiting.into_values().filter(|summary| Some(summary) != current.as_ref());
    for summary in current.iter().cloned().chain(waiting) {
        report(&format!("interrupted before the result was printed: {summary}"));
    }
}

/// Returns the error for a failed write to standard output.
pub(crate) fn write_error(error: io::Error) -> Error {
    let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
    let error = lost_bytes(error);
    if is_closed { error.with_source(ClosedByReader) } else { error }
}

/// Returns the error for a failed write of bytes that must not be lost, even if the reader does not want them.
pub(crate) fn lost_bytes(error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::Quota } else { ErrorKind::Io };
    Error::new(kind, Effect::Rejected, format!("cannot write to standard output: {error}")).with_source(error)
}

/// The cause of a failed write to a standard output that its reader has closed, as `head` does.
#[derive(Debug)]
struct ClosedByReader;

impl std::error::Error for ClosedByReader {}

impl fmt::Display for ClosedByReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of standard output has closed it")
    }
}

/// Returns `true` if the program ends because the reader of standard output has closed it. Like other programs in a
/// pipeline, it then ends without a message.
pub(crate) fn is_closed_by_reader(error: &Error) -> bool {
    error.source().is_some_and(|source| source.is::<ClosedByReader>())
}

/// Writes lines to standard error, with hidden characters escaped, which may come from a server or a file name. A
/// failed write is ignored, because it cannot be reported.
pub(crate) fn report(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(err, "{}", visible(line));
    }
}

/// Writes an error, and each cause that its message does not contain already. Writes nothing if the reader of standard
/// output has closed it.
pub(crate) fn report_error(error: &Error) {
    if is_closed_by_reader(error) {
        return;
    }
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            let _ = write!(text, "\n  because: {message}");
        }
        cause = inner.source();
    }
    let mut details = Vec::new();
    details.extend(error.http_status().map(|status| format!("HTTP status {status}")));
    details.extend(error.provider_code().map(|code| format!("code {code}")));
    details.extend(error.request_id().map(|id| format!("request {id}")));
    details.extend((error.attempts() > 1).then(|| format!("{} attempts", error.attempts())));
    if !details.is_empty() {
        let _ = write!(text, "\n  ({})", details.join(", "));
    }
    report(&text);
}

/// Formats rows under headings. Columns have the width that a terminal shows. Hidden characters are escaped, and
/// cells of more than 120 columns (4,096 in the last column) are cut and end with `...`.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let last = headings.len().saturating_sub(1);
    let widest = |column| if column == last { WIDEST_LAST } else { WIDEST };
    let format_cell = |(column, cell): (usize, &String)| shorten(visible(cell), widest(column));
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().enumerate().map(format_cell).collect()).collect();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut widths = vec![0; headings.len()];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in [&headings].into_iter().chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the text if it is at most `widest` columns wide, or else its beginning and `...`.
fn shorten(text: String, widest: usize) -> String {
    const DOTS: &str = "...";
    if text.width() <= widest {
        return text;
    }
    let mut width = DOTS.len();
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width <= widest
    };
    text.chars().take_while(fits).chain(DOTS.chars()).collect()
}

/// Returns the text with [hidden characters](is_hidden) escaped: a name must neither move a terminal's cursor nor
/// look like another name.
pub(crate) fn visible(text: &str) -> String {
    let escape = |c: char| if is_hidden(c) { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(escape).collect()
}

/// Writes each text that it receives as one line, with hidden characters escaped. For the writer of a log, which
/// receives one event at a time.
pub(crate) struct VisibleLines<W>(pub(crate) W);

impl<W: Write> Write for VisibleLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        self.0.write_all(format!("{}{end}", visible(line)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns a value as one line of JSON, with [hidden characters](is_hidden) as `\uXXXX`. Every line of JSON that
/// the program prints comes from here.
pub(crate) fn json(value: &Value) -> String {
    let mut line = String::new();
    // Hidden characters occur only in strings. A character above U+FFFF needs two `\u` escapes.
    for c in value.to_string().chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    line
}

/// Returns a file as one JSON object: `ref`, `name`, `size`, `store`, and every other property that is known.
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
    known("version", file.version.clone().map(Value::from));
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

/// Returns the effective expiry, if the service reports it.
pub(crate) fn expiry_of(file: &StoredFile) -> Option<String> {
    (file.expiry != Expiry::Default).then(|| file.expiry.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_escaped() {
        let rows = vec![vec!["a\u{1b}[2J".to_owned(), "1".to_owned()], vec!["b".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["NAME", "SIZE"], &rows), "NAME        SIZE\na\\u{1b}[2J  1\nb           22\n");
    }

    const HIDDEN: &str =
        "\u{7f}\u{85}\u{9b}\u{61c}\u{200b}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2069}\u{feff}\u{e0041}";

    #[test]
    fn hidden_characters_are_escaped() {
        assert_eq!(visible("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
        assert!(!visible(HIDDEN).contains(is_hidden));
        assert_eq!(visible("Grüße 日本 👍"), "Grüße 日本 👍");
    }

    #[test]
    fn hidden_characters_in_a_log_are_escaped() {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Captured(Arc<Mutex<Vec<u8>>>);
        impl Write for Captured {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || VisibleLines(writer.clone())).without_time();
        tracing::subscriber::with_default(subscriber.finish(), || {
            tracing::warn!(name = "a\u{2800}\u{3164}b", "left out\u{115f}: {}", "c\u{202e}\nd");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("left out\\u{115f}: c\\u{202e}"), "{text}");
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(is_hidden), "{text}");
    }

    #[test]
    fn json_escapes_hidden_characters_and_keeps_their_values() {
        let value = json!({ "name": HIDDEN, "ü\u{9b}": ["日本 👍\u{1b}\"\\"] });
        let line = json(&value);
        assert!(!line.contains(is_hidden), "{line}");
        assert!(line.contains("\\u009b\\u061c") && line.contains("\\ufeff\\udb40\\udc41"), "{line}");
        assert!(line.contains("日本 👍"), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    #[test]
    fn columns_have_the_width_that_a_terminal_shows() {
        let rows = ["日本", "e\u{301}", "👍", "abcd"].map(|cell| vec![cell.to_owned(), "x".to_owned()]);
        let table = table(&["A", "B"], &rows);
        assert_eq!(table, "A     B\n日本  x\ne\u{301}     x\n👍    x\nabcd  x\n");
    }

    #[test]
    fn long_cells_are_cut_to_the_stated_width() {
        for long in ["x".repeat(65_536), "日".repeat(65_536)] {
            let table =
                table(&["NAME", "REFERENCE"], &[vec![long.clone(), long.clone()], vec!["a".into(), "b".into()]]);
            let cells: Vec<&str> = table.lines().nth(1).unwrap().split("  ").collect();
            assert!(cells.iter().all(|cell| cell.ends_with("...")), "{cells:?}");
            assert!((WIDEST - 1..=WIDEST).contains(&cells[0].width()), "{}", cells[0].width());
            assert!((WIDEST_LAST - 1..=WIDEST_LAST).contains(&cells[cells.len() - 1].width()));
            assert!(table.lines().all(|line| line.width() <= WIDEST + 2 + WIDEST_LAST));
        }
    }
}
