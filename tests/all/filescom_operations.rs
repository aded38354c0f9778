//! Operations specific to Files.com on the emulator: sessions, copies and moves, search, share links, files that are
//! read and written in pieces.

use filestore::filescom::{
    Destination, EntryType, FilesComConfig, FilesComStore, FilesComUpdate, Login, Search, SecondFactor, Share,
};
use filestore::{ErrorKind, FileStore, Upload};
use filestore_emulator::{Emulator, FILESCOM_API_KEY, Options};

async fn site() -> (Emulator, FilesComStore) {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let store = FilesComStore::new(FilesComConfig::new(emulator.url()).api_key(FILESCOM_API_KEY)).unwrap();
    (emulator, store)
}

async fn content(store: &FilesComStore, path: &str) -> Vec<u8> {
    let reference = store.reference(path).unwrap();
    store.download(reference.into()).await.unwrap().bytes(1 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_one_time_password_opens_a_session_that_a_logout_ends() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials.toml");
    let user = "[[filescom.users]]\nname = \"ann\"\npassword = \"pw\"\notp = \"123456\"\n";
    std::fs::write(&credentials, user).unwrap();
    let emulator = Emulator::start(Options { credentials: Some(credentials), ..Options::default() }).await.unwrap();
    let site = FilesComStore::new(FilesComConfig::new(emulator.url())).unwrap();

    let login = Login::new("ann", "pw");
    let error = site.login(&login).await.unwrap_err();
    let challenge = SecondFactor::of(&error).unwrap();
    let wrong = site.login(&login.clone().answer(&challenge, "000000")).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Unauthenticated);
    let session = site.login(&login.answer(&challenge, "123456")).await.unwrap();
    let store = site.with_session(&session).unwrap();
    store.upload(Upload::new("a.txt", "hello")).await.unwrap();
    assert_eq!(content(&store, "a.txt").await, b"hello");
    store.logout().await.unwrap();
    let error = store.upload(Upload::new("a.txt", "hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("log in again"), "{error}");
}

#[tokio::test]
async fn files_and_folders_are_copied_moved_and_created() {
    let (_emulator, store) = site().await;
    store.upload(Upload::new("a.txt", "one").scope("docs/deep").metadata("k", "v")).await.unwrap();
    let folder = store.reference("docs").unwrap();
    store.copy(&folder, Destination::to("copies/docs")).await.unwrap();
    assert_eq!(content(&store, "copies/docs/deep/a.txt").await, b"one");
    let moved =
        store.move_to(&store.reference("docs/deep/a.txt").unwrap(), Destination::to("new/b.txt")).await.unwrap();
    assert_eq!(store.stat(moved.clone().into()).await.unwrap().metadata["k"], "v");
    let error = store.move_to(&moved, Destination::to("copies/docs/deep/A.TXT")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    store.move_to(&moved, Destination::to("copies/docs/deep/A.TXT").overwrite(true)).await.unwrap();
    let gone = store.copy(&moved, Destination::to("x")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);

    assert!(store.create_folder("made/by/us", true).await.unwrap());
    assert!(!store.create_folder("MADE/by/us", false).await.unwrap());
    assert_eq!(store.create_folder("no/parent", false).await.unwrap_err().kind(), ErrorKind::NotFound);
    let taken = store.create_folder("copies/docs/deep/a.txt", true).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn a_move_waits_for_the_job_of_the_service() {
    let (emulator, store) = site().await;
    let settings = format!("{}/_emulator/filescom/settings", emulator.url());
    let once = reqwest::Client::new().put(settings).body(r#"{"migrations":{"polls":1}}"#);
    assert!(once.send().await.unwrap().status().is_success());
    store.upload(Upload::new("a.txt", "one").scope("docs")).await.unwrap();
    store.move_to(&store.reference("docs").unwrap(), Destination::to("moved/docs")).await.unwrap();
    assert_eq!(content(&store, "moved/docs/a.txt").await, b"one");
    let polls = emulator.journal().iter().filter(|entry| format!("{entry:?}").contains("file_migrations")).count();
    assert_eq!(polls, 2);
}

#[tokio::test]
async fn metadata_is_changed_and_files_are_searched() {
    let (_emulator, store) = site().await;
    for (name, size) in [("small.txt", 1), ("large.txt", 3), ("middle.txt", 2)] {
        store.upload(Upload::new(name, vec![b'x'; size]).scope("docs")).await.unwrap();
    }
    let small = store.reference("docs/small.txt").unwrap();
    let time = "2020-02-02T02:02:02Z".parse().unwrap();
    let file = store.update(&small, FilesComUpdate::new().modified(time).metadata([("project", "x")])).await.unwrap();
    assert_eq!((file.modified, file.metadata["project"].as_str()), (Some(time), "x"));
    let search = Search::folder("docs").only(EntryType::File).descending(filestore::filescom::SortBy::Size);
    let names = async |search: &Search| {
        let page = store.search(search).await.unwrap();
        (page.entries.into_iter().map(|entry| entry.file.name).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(names(&search).await.0, ["large.txt", "middle.txt", "small.txt"]);
    let (first, next) = names(&search.clone().limit(2)).await;
    assert_eq!(first, ["large.txt", "middle.txt"]);
    assert_eq!(names(&search.limit(2).page(next.unwrap())).await.0, ["small.txt"]);
    assert_eq!(names(&Search::folder("docs").text("MIDDLE")).await.0, ["middle.txt"]);
}

#[tokio::test]
async fn a_share_link_is_created_listed_and_ended() {
    let (_emulator, store) = site().await;
    let file = store.upload(Upload::new("a.txt", "shared")).await.unwrap();
    let link = store.share([file.reference()], Share::new().max_uses(3)).await.unwrap();
    assert_eq!(store.share_link(link.id).await.unwrap().paths, ["a.txt"]);
    assert_eq!(store.shares(None).await.unwrap().links.len(), 1);
    assert!(reqwest::get(link.url.as_str()).await.unwrap().status().is_success());
    store.unshare(link.id).await.unwrap();
    store.unshare(link.id).await.unwrap();
    assert_eq!(reqwest::get(link.url.as_str()).await.unwrap().status(), 404);
    let missing = store.reference("nothing").unwrap();
    assert_eq!(store.share([&missing], Share::new()).await.unwrap_err().kind(), ErrorKind::NotFound);
}
