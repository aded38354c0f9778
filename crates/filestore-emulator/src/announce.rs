//! The files by which other programs find a running emulator.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use crate::credentials::Credentials;

/// One line, `http://ADDR`. Whoever sees the file can connect.
pub(crate) fn write_ready_file(path: &Path, address: SocketAddr) -> io::Result<()> {
    replace(path, &format!("http://{address}\n"))
}

/// A store for each service. The shape is relied on by scripts: three tables, each at the
/// beginning of a line, one blank line between them, nothing nested.
pub(crate) fn write_config(path: &Path, base: &str, credentials: &Credentials) -> io::Result<()> {
    let base = toml_string(base);
    // Without anybody who could use it, a table has no credentials: any would be refused.
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
{keyset}user_id = "emulator-user"
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
    )
}

/// A reader sees the file of before or the whole new one. Only this user can read it: there are
/// keys in one of them.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn toml_string(text: &str) -> String {
    // URLs and keys are printable ASCII: quotes and backslashes are all that can need an escape.
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
