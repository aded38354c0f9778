//! `kill -9` at any moment: a partial file never has its final name, is never listed, and is removed by the next transfer
//! to the same place. A kill counts as a hit if it interrupts a transfer: some bytes were written, but not all.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::program::Home;

const SIZE: usize = 24 << 20;
const RUNS: u64 = 12;
/// The fewest kills that must interrupt a transfer.
const HITS: usize = 3;

fn content() -> Vec<u8> {
    (0..SIZE).map(|i| (i / 4096 % 251) as u8).collect()
}

/// Returns the sizes at which a transfer is killed, spread over its length.
fn sizes() -> impl Iterator<Item = u64> {
    (0..RUNS).map(|run| SIZE as u64 / (RUNS + 2) * run + 1)
}

/// Returns the size of the largest unfinished file in `folder`.
fn unfinished(folder: &Path) -> Option<u64> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = files.filter(|file| file.path().extension().is_some_and(|end| end == "part"));
    sizes.filter_map(|file| Some(file.metadata().ok()?.len())).max()
}

/// Kills `child` once `size` bytes are in `folder`, unless it ends earlier. Returns `true` if the kill interrupted a
/// transfer.
fn kill_at(child: &mut Child, folder: &Path, size: u64) -> bool {
    while unfinished(folder).is_none_or(|written| written < size) && child.try_wait().unwrap().is_none() {}
    child.kill().unwrap();
    child.wait().unwrap();
    unfinished(folder).is_some_and(|written| (1..SIZE as u64).contains(&written))
}

#[test]
fn a_killed_download_leaves_nothing_under_the_final_name() {
    let home = Home::new();
    home.file("big", content());
    let reference = home.run(&["upload", "big"]).line();
    let mut hits = 0;
    for size in sizes() {
        let mut child = home.command(&["--quiet", "download", &reference, "-o", "copy"]).spawn().unwrap();
        hits += usize::from(kill_at(&mut child, home.path(), size));
        if let Ok(metadata) = fs::metadata(home.path().join("copy")) {
            assert_eq!(metadata.len(), SIZE as u64, "killed at {size}");
            fs::remove_file(home.path().join("copy")).unwrap();
        }
        home.run(&["download", &reference, "-o", "copy"]).line();
        assert_eq!(unfinished(home.path()), None, "killed at {size}");
        fs::remove_file(home.path().join("copy")).unwrap();
    }
    assert!(hits >= HITS, "only {hits} of {RUNS} kills interrupted a transfer");
}

/// Checks that an upload of another file removes what killed uploads left.
fn remove_leftovers(home: &Home) {
    home.file("other", "x");
    let other = home.run(&["upload", "other"]).line();
    assert_eq!(unfinished(&home.path().join("data/filestore/files/.filestore-tmp")), None);
    home.run(&["delete", &other]);
}

#[test]
fn a_killed_upload_is_never_listed() {
    let home = Home::new();
    let content = content();
    let mut hits = 0;
    for size in sizes() {
        let mut child = home
            .command(&["--quiet", "upload", "-", "--name", "big"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Only half of the body is sent, so it is incomplete at every kill.
        stdin.write_all(&content[..SIZE / 2]).unwrap();
        let folder = home.path().join("data/filestore/files/.filestore-tmp");
        hits += usize::from(kill_at(&mut child, &folder, size / 4));
        let listed = home.run(&["list", "--all", "--recursive", "--json"]);
        assert_eq!((listed.code, listed.out.as_str()), (0, ""), "killed at {size}: {}", listed.err);
        assert!(!home.path().join("data/filestore/files/big").exists());
        remove_leftovers(&home);
    }
    assert!(hits >= HITS, "only {hits} of {RUNS} kills interrupted a transfer");
}

#[test]
fn a_killed_upload_of_a_file_is_whole_or_absent() {
    let home = Home::new();
    home.file("big", content());
    let mut hits = 0;
    for size in sizes() {
        let mut child = home.command(&["--quiet", "upload", "big"]).stdout(Stdio::null()).spawn().unwrap();
        let folder = home.path().join("data/filestore/files/.filestore-tmp");
        hits += usize::from(kill_at(&mut child, &folder, size));
        if let Ok(metadata) = fs::metadata(home.path().join("data/filestore/files/big")) {
            assert_eq!(metadata.len(), SIZE as u64, "killed at {size}");
            fs::remove_file(home.path().join("data/filestore/files/big")).unwrap();
        }
        remove_leftovers(&home);
    }
    assert!(hits >= HITS, "only {hits} of {RUNS} kills interrupted a transfer");
}
