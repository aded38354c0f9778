//! The ready file and the configuration file, by which other programs find a running emulator.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use crate::credentials_file::Credentials;

/// The line that marks a configuration file as written by an emulator.
const USER_ID: &str = "user_id = \"emulator-user\"";

/// Writes the ready file: one line, `http://ADDR`. The emulator accepts connections before the file exists.
pub(crate) fn write_ready_file(path: &Path, address: SocketAddr) -> io::Result<()> {
    replace(path, &format!("http://{address}\n"), |earlier| {
        earlier.starts_with("http://") && earlier.lines().count() == 1
    })
}

/// Writes the configuration file: a store for each service. Scripts rely on the format: three tables, each at the
/// beginning of a line, one blank line between them, no nested tables.
pub(crate) fn write_config(path: &Path, base: &str, credentials: &Credentials) -> io::Result<()> {
    let base = toml_string(base);
    // The table of a service without users has no credentials, because the service would reject any.
    let keyset = credentials.pubnub.first().map_or_else(String::new, |keyset| {
        let (publish, subscribe) = (toml_string(&keyset.publish_key), toml_string(&keyset.subscribe_key));
        format!("publish_key = {publish}\nsubscribe_key = {subscribe}\n")
    });
    let api_key = |key: Option<&str>| key.map(|key| format!("api_key = {}\n", toml_string(key))).unwrap_or_default();
    let filescom = api_key(credentials.filescom.first_api_key());
    let fileio = api_key(credentials.fileio.first_api_key());
    replace(
        path,
        &format!(
            r#"[stores.pubnub]
backend = "pubnub"
base_url = {base}
{keyset}{USER_ID}
channel = "emulator"

[stores.filescom]
backend = "filescom"
base_url = {base}
{filescom}
[stores.fileio]
backend = "fileio"
base_url = {base}
{fileio}"#
        ),
        |earlier| earlier.starts_with("[stores.pubnub]\n") && earlier.contains(USER_ID),
    )
}

/// Replaces a file atomically. Only this user can read it, because the configuration file contains keys.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the file exists and was not written by an emulator.
fn replace(path: &Path, content: &str, is_ours: impl FnOnce(&str) -> bool) -> io::Result<()> {
    match fs::read_to_string(path) {
        Ok(earlier) if !earlier.is_empty() && !is_ours(&earlier) => return Err(foreign()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(foreign()),
        _ => {}
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn foreign() -> io::Error {
    let message = "the file already exists, and no emulator wrote it; remove it, or give another path";
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

/// Returns `text` as a TOML string.
fn toml_string(text: &str) -> String {
    // URLs and keys are printable ASCII, in which only quotes and backslashes need an escape.
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
