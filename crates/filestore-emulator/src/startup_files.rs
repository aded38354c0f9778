//! The files by which other programs find a running emulator.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use crate::credentials_file::Credentials;

/// Tells a configuration that an emulator wrote from one of another origin.
const USER_ID: &str = "user_id = \"emulator-user\"";

/// One line, `http://ADDR`. Whoever sees the file can connect.
pub(crate) fn write_ready_file(path: &Path, address: SocketAddr) -> io::Result<()> {
    replace(path, &format!("http://{address}\n"), |earlier| {
        earlier.starts_with("http://") && earlier.lines().count() == 1
    })
}

/// A store for each service. The shape is relied on by scripts: three tables, each at the
/// beginning of a line, one blank line between them, nothing nested.
pub(crate) fn write_config(path: &Path, base: &str, credentials: &Credentials) -> io::Result<()> {
    let base = toml_string(base);
    // Without anybody who could use it, a table has no credentials: any would be rejected.
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

/// Writes a file of which readers see the earlier content or all of the new one. Only this user can read it: one of the
/// files holds keys. *Already exists* if the earlier file is not one that an emulator wrote.
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
    let message = "it exists, and an emulator did not write it; remove it, or give another path";
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

fn toml_string(text: &str) -> String {
    // URLs and keys are printable ASCII: quotes and backslashes are all that can need an escape.
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
