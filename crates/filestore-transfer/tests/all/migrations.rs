//! Migrations: places, the journal and the map, resumption, and what is never lost or replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use filestore_core::{Error, ErrorKind, FileRef, List, Result, Store, Upload};
use filestore_local::{FsStore, MemoryStore};
use filestore_transfer::{CopiedFile, Filter, Migration, MigrationPlan, Shard, TransferPool};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use tempfile::TempDir;

use crate::altered_store::AlteredStore;

/// Two stores, and the folder of the journal and the map.
struct Move {
    from: Store,
    to: Store,
    folder: TempDir,
}

impl Move {
    fn new(from: Store, to: Store) -> Self {
        Self { from, to, folder: tempfile::tempdir().unwrap() }
    }

    async fn of(files: &[(&str, &str)]) -> Self {
        let this = Self::new(memory("from"), memory("to"));
        for (path, content) in files {
            put(&this.from, path, content).await;
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn migration(&self) -> Migration {
        Migration::new(&self.from, &self.to, self.path("journal"), self.path("map"))
    }

    /// Returns the lines of the map.
    fn map(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.path("map")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["from"].as_str().unwrap().into(), line["to"].as_str().unwrap().into())).collect()
    }

    /// Keeps the first `lines` lines of the journal, and removes the map.
    fn cut_journal(&self, lines: usize) {
        let text = fs::read_to_string(self.path("journal")).unwrap();
        let kept: String = text.split_inclusive('\n').take(lines).collect();
        fs::write(self.path("journal"), kept).unwrap();
        fs::remove_file(self.path("map")).unwrap();
    }
}

fn memory(name: &str) -> Store {
    Store::new(name, Arc::new(MemoryStore::new())).unwrap()
}

async fn put(store: &Store, path: &str, content: &str) -> FileRef {
    let (scope, name) = path.rsplit_once('/').map_or((None, path), |(scope, name)| (Some(scope), name));
    let mut upload = Upload::new(name, content.to_owned());
    upload.scope = scope.map(str::to_owned);
    store.upload(upload).await.unwrap().reference
}

/// Returns the content of every file by its reference.
async fn contents(store: &Store) -> BTreeMap<String, String> {
    let files: Vec<_> = store.list_all(List::new().recursive(true)).try_collect().await.unwrap();
    let mut contents = BTreeMap::new();
    for file in files {
        let content = store.read(&file.reference, 1 << 20).await.unwrap();
        contents.insert(file.reference.to_string(), String::from_utf8(content.to_vec()).unwrap());
    }
    contents
}

async fn run(plan: MigrationPlan) -> Vec<Result<CopiedFile>> {
    let (outcomes, end) = plan.run(&TransferPool::new()).unwrap();
    let results = outcomes.map(|outcome| outcome.result).collect().await;
    end.finish().await.unwrap();
    results
}

async fn migrate(migration: Migration) -> Vec<Result<CopiedFile>> {
    let plan = migration.plan().await.unwrap();
    assert!(plan.left_out.is_empty(), "{:?}", plan.left_out);
    run(plan).await
}

/// Returns the number of files that were sent, and of those that the destination had.
fn counts(results: Vec<Result<CopiedFile>>) -> (usize, usize) {
    let stored: Vec<bool> = results.into_iter().map(|result| result.unwrap().was_stored).collect();
    (stored.iter().filter(|was_stored| !**was_stored).count(), stored.iter().filter(|was_stored| **was_stored).count())
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(one, other)| (one.to_owned(), other.to_owned())).into()
}

#[tokio::test]
async fn every_file_keeps_its_path_and_is_in_the_map() {
    let files = Move::of(&[("a.txt", "1"), ("x/b.txt", "2"), ("x/y/a.txt", "3")]).await;
    assert_eq!(counts(migrate(files.migration().to_scope("in")).await), (3, 0));
    let moved = [("to:memory:in/a.txt", "1"), ("to:memory:in/x/b.txt", "2"), ("to:memory:in/x/y/a.txt", "3")];
    assert_eq!(contents(&files.to).await, pairs(moved));
    let map = [
        ("from:memory:a.txt", "to:memory:in/a.txt"),
        ("from:memory:x/b.txt", "to:memory:in/x/b.txt"),
        ("from:memory:x/y/a.txt", "to:memory:in/x/y/a.txt"),
    ];
    assert_eq!(files.map(), pairs(map));
    assert_eq!(contents(&files.from).await.len(), 3);
}

#[tokio::test]
async fn a_scope_and_a_filter_choose_the_files() {
    let files = Move::of(&[("a.txt", "1"), ("x/b.txt", "2"), ("x/c.pdf", "3"), ("x/y/d.txt", "4")]).await;
    migrate(files.migration().from_scope("x").filter(Filter::new().include("*.txt"))).await;
    assert_eq!(contents(&files.to).await, pairs([("to:memory:b.txt", "2"), ("to:memory:y/d.txt", "4")]));
}

#[tokio::test]
async fn metadata_that_the_listing_lacks_is_carried_too() {
    let files = Move::new(AlteredStore::storing(|content| content).named("from"), memory("to"));
    files.from.upload(Upload::new("a.txt", "1").content_type("text/x-a")).await.unwrap();
    migrate(files.migration()).await;
    let moved = files.to.stat(&"to:memory:a.txt".parse::<FileRef>().unwrap()).await.unwrap();
    assert_eq!(moved.content_type.as_deref(), Some("text/x-a"));
}

#[tokio::test]
async fn a_second_run_sends_what_is_new_and_nothing_twice() {
    let files = Move::of(&[("a.txt", "1")]).await;
    migrate(files.migration()).await;
    put(&files.from, "b.txt", "2").await;
    let plan = files.migration().plan().await.unwrap();
    assert_eq!((plan.done, plan.files.len()), (1, 1));
    assert_eq!(counts(run(plan).await), (1, 0));
    assert_eq!(files.map().len(), 2);
}

#[tokio::test]
async fn a_plan_writes_nothing() {
    let files = Move::of(&[("a.txt", "1")]).await;
    let plan = files.migration().plan().await.unwrap();
    assert_eq!(plan.files, [("from:memory:a.txt".parse().unwrap(), Some(1))]);
    drop(plan);
    assert_eq!(fs::read_dir(files.folder.path()).unwrap().count(), 0);
    assert!(contents(&files.to).await.is_empty());
}

#[tokio::test]
async fn an_interrupted_upload_is_looked_up_before_it_is_repeated() {
    let files = Move::of(&[("a.txt", "1"), ("b.txt", "2")]).await;
    migrate(files.migration()).await;
    // Everything after the begin of the first file is lost.
    files.cut_journal(2);
    assert_eq!(counts(migrate(files.migration()).await), (0, 2));
    assert_eq!(files.map().len(), 2);
    files.to.delete(&"to:memory:a.txt".parse::<FileRef>().unwrap()).await.unwrap();
    files.cut_journal(1);
    assert_eq!(counts(migrate(files.migration()).await), (1, 1));
    assert_eq!(contents(&files.to).await.len(), 2);
}

#[tokio::test]
async fn a_line_that_a_crash_has_cut_off_is_forgotten_and_the_map_is_completed() {
    let files = Move::of(&[("a.txt", "1"), ("b.txt", "2")]).await;
    migrate(files.migration()).await;
    let journal = fs::read_to_string(files.path("journal")).unwrap();
    fs::write(files.path("journal"), &journal[..journal.len() - 5]).unwrap();
    fs::write(files.path("map"), "{\"from\":\"fr").unwrap();
    migrate(files.migration()).await;
    assert_eq!(files.map().len(), 2);
    assert_eq!(fs::read_to_string(files.path("map")).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn another_file_in_the_same_place_is_not_replaced() {
    let files = Move::of(&[("a.txt", "1"), ("b.txt", "22"), ("c.txt", "3")]).await;
    put(&files.to, "a.txt", "x").await;
    put(&files.to, "b.txt", "x").await;
    put(&files.to, "c.txt", "3").await;
    let results = migrate(files.migration()).await;
    let kinds: Vec<_> = results.into_iter().filter_map(Result::err).map(|error: Error| error.kind()).collect();
    assert_eq!(kinds, [ErrorKind::AlreadyExists, ErrorKind::AlreadyExists]);
    let kept = [("to:memory:a.txt", "x"), ("to:memory:b.txt", "x"), ("to:memory:c.txt", "3")];
    assert_eq!(contents(&files.to).await, pairs(kept));
    assert_eq!(files.map(), pairs([("from:memory:c.txt", "to:memory:c.txt")]));
}

#[tokio::test]
async fn a_store_without_digests_is_compared_by_reading() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Store::new("disk", Arc::new(FsStore::new(folder.path()).unwrap())).unwrap();
    let files = Move::new(disk, AlteredStore::storing(|content| content).without_digests().named("to"));
    put(&files.from, "a.txt", "1").await;
    put(&files.from, "b.txt", "2").await;
    put(&files.to, "a.txt", "1").await;
    put(&files.to, "b.txt", "x").await;
    let mut results = migrate(files.migration()).await;
    results.sort_by_key(Result::is_err);
    assert!(results[0].as_ref().unwrap().was_stored);
    assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn files_that_a_read_consumes_are_moved_only_if_that_is_allowed() {
    let files = Move::new(AlteredStore::single_use().named("from"), memory("to"));
    put(&files.from, "a.txt", "1").await;
    let error = files.migration().plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(counts(migrate(files.migration().consume(true)).await), (1, 0));
    assert_eq!(contents(&files.to).await, pairs([("to:memory:a.txt", "1")]));
    assert!(!files.path("journal.spool").exists());
    // The file is gone, and the journal knows that it is done.
    let plan = files.migration().consume(true).plan().await.unwrap();
    assert_eq!((plan.done, plan.files.len(), plan.left_out.len()), (1, 0, 0));
}

#[tokio::test]
async fn a_consumed_file_goes_on_from_the_spool_or_is_named_as_lost() {
    // The content arrived, and was renamed; it arrived, and was not; it arrived in part; nothing arrived.
    for (extension, content) in [("", Some("1")), ("partial", Some("1")), ("partial", Some("")), ("", None)] {
        let is_spooled = content == Some("1");
        let files = Move::new(AlteredStore::single_use().named("from"), memory("to"));
        let reference = put(&files.from, "a.txt", "1").await;
        migrate(files.migration().consume(true)).await;
        // As after a kill before the upload.
        files.cut_journal(2);
        files.to.delete(&"to:memory:a.txt".parse::<FileRef>().unwrap()).await.unwrap();
        let spool = files.path("journal.spool");
        if let Some(content) = content {
            let path = filestore_transfer::spool_path(&spool, &reference);
            fs::create_dir(&spool).unwrap();
            fs::write(path.with_extension(extension), content).unwrap();
            let known = format!("{{\"reference\":\"{reference}\",\"name\":\"a.txt\",\"size\":1}}");
            fs::write(path.with_extension("json"), known).unwrap();
        }
        let plan = files.migration().consume(true).plan().await.unwrap();
        if is_spooled {
            assert_eq!(counts(run(plan).await), (1, 0));
            assert_eq!(contents(&files.to).await, pairs([("to:memory:a.txt", "1")]));
            assert!(!spool.exists());
        } else {
            let (lost, error) = &plan.left_out[0];
            assert_eq!((lost, error.kind()), (&reference, ErrorKind::NotFound));
            assert!(error.message().contains("counted the read") && error.message().contains("a.txt"), "{error}");
            assert_eq!(error.message().contains("what arrived is in"), content.is_some(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_content_that_a_kill_after_the_confirmation_has_left_is_removed() {
    let files = Move::new(AlteredStore::single_use().named("from"), memory("to"));
    let reference = put(&files.from, "a.txt", "1").await;
    migrate(files.migration().consume(true)).await;
    let content = filestore_transfer::spool_path(files.path("journal.spool"), &reference);
    fs::create_dir(files.path("journal.spool")).unwrap();
    fs::write(&content, "1").unwrap();
    fs::write(content.with_extension("json"), "{}").unwrap();
    migrate(files.migration().consume(true)).await;
    assert!(!files.path("journal.spool").exists());
}

#[tokio::test]
async fn the_shards_together_move_every_file_once() {
    let paths: Vec<String> = (0..40).map(|number| format!("x/{number}")).collect();
    let listed: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "1")).collect();
    let files = Move::of(&listed).await;
    let mut sent = 0;
    for index in 1..=4 {
        let (journal, map) = (files.path(&format!("journal-{index}")), files.path(&format!("map-{index}")));
        let migration = Migration::new(&files.from, &files.to, journal, map).shard(Shard::new(index, 4).unwrap());
        sent += counts(migrate(migration).await).0;
    }
    assert_eq!((sent, contents(&files.to).await.len()), (40, 40));
    // Journals and maps of all shards joined are those of one migration.
    for name in ["journal", "map"] {
        let parts: Vec<_> =
            (1..=4).map(|index| fs::read_to_string(files.path(&format!("{name}-{index}"))).unwrap()).collect();
        fs::write(files.path(name), parts.concat()).unwrap();
    }
    assert_eq!(files.map().len(), 40);
    let plan = files.migration().plan().await.unwrap();
    assert_eq!((plan.done, plan.files.len()), (40, 0));
}

#[tokio::test]
async fn a_journal_of_another_migration_and_a_damaged_line_are_errors_that_change_nothing() {
    let files = Move::of(&[("a.txt", "1")]).await;
    migrate(files.migration()).await;
    let journal = fs::read_to_string(files.path("journal")).unwrap();
    let error = files.migration().to_scope("other").plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("--journal"), "{error}");
    for (damaged, expected) in [
        (journal.replace("done", "dome"), "line 3"),
        (format!("\u{0}{journal}"), "line 1"),
        (journal.lines().skip(1).map(|line| format!("{line}\n")).collect(), "does not begin"),
    ] {
        fs::write(files.path("journal"), &damaged).unwrap();
        let error = files.migration().plan().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(fs::read_to_string(files.path("journal")).unwrap(), damaged);
    }
}

#[tokio::test]
async fn one_process_at_a_time_uses_a_journal() {
    let files = Move::of(&[("a.txt", "1")]).await;
    let (first, second) = (files.migration().plan().await.unwrap(), files.migration().plan().await.unwrap());
    let running = first.run(&TransferPool::new()).unwrap();
    let error = second.run(&TransferPool::new()).unwrap_err();
    assert!(error.message().contains("another process"), "{error}");
    drop(running);
    let error = Migration::new(&files.from, &files.to, files.path("x"), files.path("x")).plan().await.unwrap();
    assert_eq!(error.run(&TransferPool::new()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_plan_of_before_another_run_is_rejected_because_it_would_send_files_again() {
    let files = Move::of(&[("a.txt", "1")]).await;
    let (first, second) = (files.migration().plan().await.unwrap(), files.migration().plan().await.unwrap());
    run(first).await;
    let error = second.run(&TransferPool::new()).unwrap_err();
    assert!(error.message().contains("since this migration was planned"), "{error}");
}

#[tokio::test]
async fn source_and_destination_are_two_stores() {
    let files = Move::of(&[]).await;
    let error = Migration::new(&files.from, &files.from, "j", "m").plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_journal_is_a_regular_file_in_a_folder_that_exists() {
    let files = Move::of(&[("a.txt", "1")]).await;
    fs::create_dir(files.path("folder")).unwrap();
    for name in ["folder", "missing/journal"] {
        let migration = Migration::new(&files.from, &files.to, files.path(name), files.path("map"));
        let error = match migration.plan().await {
            Ok(plan) => plan.run(&TransferPool::new()).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
    }
    assert!(contents(&files.to).await.is_empty());
}
