//! file.io on the emulator.

use filestore::fileio::{FileIoConfig, FileIoStore, FileIoUpdate};
use filestore::{Delete, Download, FileRef, FileStore, List, Upload};
use filestore_emulator::FILEIO_API_KEY;

use super::{CONTENT, Case, Operation, Site, emulator, http, play};

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_file_io_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", play(&gateway, operations(&Site::new(&gateway, store))).await);
}

pub(crate) fn operations(site: &Site<FileIoStore>) -> Vec<Operation> {
    let mut operations = vec![
        Operation::new("upload", site, Some(|seen| seen.method == "POST"), |site, number| async move {
            let (sender, upload) = (site.client(), Upload::new(name(number), CONTENT));
            Case::new(async move { sender.upload(upload).await.map(drop) })
                .happened(async move { is_listed(&site, &name(number)).await })
        }),
        Operation::new("delete", site, Some(|seen| seen.method == "DELETE"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            Case::new(async move { store.delete(Delete::from(file)).await })
                .happened(async move { !is_listed(&site, &name(number)).await })
        }),
        Operation::new("update", site, Some(|seen| seen.method == "PATCH"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            Case::new(async move { store.update(&file, FileIoUpdate::new().max_downloads(7)).await.map(drop) })
        }),
        Operation::new("replace", site, Some(|seen| seen.method == "PUT"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            let upload = Upload::new(format!("other-{number}.txt"), "other content");
            Case::new(async move { store.replace(&file, upload).await.map(drop) })
                .happened(async move { is_listed(&site, &format!("other-{number}.txt")).await })
        }),
        // A read that consumes is a change.
        Operation::new("download", site, Some(|seen| seen.method == "GET"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            Case::new(async move { store.download(Download::from(file)).await?.bytes(99).await.map(drop) })
                .happened(async move { !is_listed(&site, &name(number)).await })
        }),
        Operation::new("list", site, None, |site, number| async move {
            let (store, _) = stored(site, number).await;
            Case::new(async move { store.list(List::new().limit(10)).await.map(drop) })
        }),
        Operation::new("account", site, None, |site, _| async move {
            let store = site.client();
            Case::new(async move { store.me().await.map(drop) })
        }),
    ];
    // A download is no read that changes nothing here.
    operations.extend(Operation::reads(site, stored).into_iter().filter(|read| read.name != "download"));
    operations
}

pub(crate) fn store(url: &str) -> FileIoStore {
    FileIoStore::new(FileIoConfig::new(url).api_key(FILEIO_API_KEY).http(http())).unwrap()
}

fn name(number: usize) -> String {
    format!("file-{number}.txt")
}

async fn is_listed(site: &Site<FileIoStore>, name: &str) -> bool {
    let search = filestore::fileio::Search::new().text(name);
    let found = site.helper().search(&search).await.unwrap();
    found.files.iter().any(|entry| entry.file.name == name)
}

/// A file, and a client that knows nothing of it.
async fn stored(site: Site<FileIoStore>, number: usize) -> (FileIoStore, FileRef) {
    (site.client(), site.helper().upload(Upload::new(name(number), CONTENT)).await.unwrap().reference)
}
