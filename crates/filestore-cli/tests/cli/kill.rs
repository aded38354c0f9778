//! kill -9 at any moment: never a partial file under its final name, never one that is listed.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::program::Home;

const SIZE: usize = 24 << 20;

fn content() -> Vec<u8> {
    (0..SIZE).map(|i| (i / 4096 % 251) as u8).collect()
}

/// Moments spread over the length of a transfer; which step each hits is up to the machine.
fn moments() -> impl Iterator<Item = Duration> {
    (0..12).map(|n| Duration::from_millis(5 + 9 * n))
}

#[test]
fn a_killed_download_leaves_nothing_under_the_final_name() {
    let home = Home::new();
    home.file("big", content());
    let reference = home.run(&["upload", "big"]).line();
    for moment in moments() {
        let mut child = home.command(&["--quiet", "download", &reference, "-o", "copy"]).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        if let Ok(metadata) = std::fs::metadata(home.path().join("copy")) {
            assert_eq!(metadata.len(), SIZE as u64, "killed after {moment:?}");
            std::fs::remove_file(home.path().join("copy")).unwrap();
        }
    }
}

#[test]
fn a_killed_upload_is_never_listed() {
    let home = Home::new();
    let content = content();
    for moment in moments() {
        let mut child = home
            .command(&["--quiet", "upload", "-", "--name", "big"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Half now: whenever the kill comes, the body is not whole.
        stdin.write_all(&content[..SIZE / 2]).unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = home.run(&["list", "--all", "--recursive", "--json"]);
        assert_eq!((listed.code, listed.out.as_str()), (0, ""), "killed after {moment:?}: {}", listed.err);
        assert!(!home.path().join("data/filestore/files/big").exists());
    }
}

#[test]
fn a_killed_upload_of_a_file_is_whole_or_absent() {
    let home = Home::new();
    home.file("big", content());
    for moment in moments() {
        let mut child = home.command(&["--quiet", "upload", "big"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        if let Ok(metadata) = std::fs::metadata(home.path().join("data/filestore/files/big")) {
            assert_eq!(metadata.len(), SIZE as u64, "killed after {moment:?}");
        }
    }
}
