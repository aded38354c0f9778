//! Temporary folders that killed emulators leave behind: the next start removes them.

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use filestore_emulator::{Emulator, Options};
use tempfile::TempDir;

/// Creates a temporary folder as an emulator does, with a large content in it.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("filestore-emulator-").tempdir().unwrap();
    fs::create_dir_all(folder.path().join("fileio/bodies")).unwrap();
    fs::write(folder.path().join("fileio/bodies/a"), [0; 100_000]).unwrap();
    folder
}

/// Makes a folder look two minutes old.
fn age(folder: &TempDir) {
    let past = SystemTime::now() - Duration::from_secs(120);
    File::open(folder.path()).unwrap().set_modified(past).unwrap();
}

fn is_complete(folder: &TempDir) -> bool {
    folder.path().join("fileio/bodies/a").exists()
}

/// Waits until a start has removed a folder, which happens in the background.
fn wait_until_gone(folder: &TempDir) {
    let begin = Instant::now();
    while folder.path().exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?} is still there", folder.path());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_folder_of_a_killed_emulator_is_removed_at_the_next_start_and_no_other() {
    let used = folder();
    let lock = File::create_new(used.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    age(&used);
    let without_lock = folder();
    age(&without_lock);
    let odd_lock = folder();
    std::os::unix::fs::symlink("/dev/null", odd_lock.path().join("lock")).unwrap();
    age(&odd_lock);
    let young = folder();
    File::create_new(young.path().join("lock")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(elsewhere.path().join("fileio/bodies")).unwrap();
    fs::write(elsewhere.path().join("fileio/bodies/a"), b"a").unwrap();
    File::create_new(elsewhere.path().join("lock")).unwrap();
    age(&elsewhere);
    let link = std::env::temp_dir().join(format!("filestore-emulator-link-{}", std::process::id()));
    std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();

    let killed = folder();
    File::create_new(killed.path().join("lock")).unwrap();
    age(&killed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let emulator = runtime.block_on(Emulator::start(Options::default())).unwrap();
    wait_until_gone(&killed);
    runtime.block_on(emulator.shutdown());
    // Waits until the start has checked all other folders, too.
    drop(runtime);
    fs::remove_file(&link).unwrap();
    assert!(is_complete(&used), "its emulator is running");
    assert!(is_complete(&without_lock), "a folder without a lock file is not an emulator's");
    assert!(is_complete(&odd_lock), "an emulator's lock is a regular file");
    assert!(is_complete(&young), "its emulator may be starting");
    assert!(is_complete(&elsewhere), "links are not followed");
}
