//! file.io on the emulator.

use filestore::fileio::{FileIoConfig, FileIoStore, FileIoUpdate};
use filestore::{Delete, Download, FileRef, FileStore, List, Upload};
use filestore_emulator::FILEIO_API_KEY;

use super::{CONTENT, Case, Operation, Service, emulator, http, run_cases};

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_file_io_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", run_cases(&gateway, operations(&Service::new(&gateway, store))).await);
}

pub(crate) fn operations(service: &Service<FileIoStore>) -> Vec<Operation> {
    let mut operations = vec![
        Operation::new("upload", service, Some(|seen| seen.method == "POST"), |service, number| async move {
            let (sender, upload) = (service.client(), Upload::new(name(number), CONTENT));
            Case::new(async move { sender.upload(upload).await.map(drop) })
                .happened(async move { is_listed(&service, &name(number)).await })
        }),
        Operation::new("delete", service, Some(|seen| seen.method == "DELETE"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            Case::new(async move { store.delete(Delete::from(file)).await })
                .happened(async move { !is_listed(&service, &name(number)).await })
        }),
        Operation::new("update", service, Some(|seen| seen.method == "PATCH"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            Case::new(async move { store.update(&file, FileIoUpdate::new().max_downloads(7)).await.map(drop) })
        }),
        Operation::new("replace", service, Some(|seen| seen.method == "PUT"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            let upload = Upload::new(format!("other-{number}.txt"), "other content");
            Case::new(async move { store.replace(&file, upload).await.map(drop) })
                .happened(async move { is_listed(&service, &format!("other-{number}.txt")).await })
        }),
        // A download consumes the file, so it is a change.
        Operation::new("download", service, Some(|seen| seen.method == "GET"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            Case::new(async move { store.download(Download::from(file)).await?.bytes(99).await.map(drop) })
                .happened(async move { !is_listed(&service, &name(number)).await })
        }),
        Operation::new("list", service, None, |service, number| async move {
            let (store, _) = stored(service, number).await;
            Case::new(async move { store.list(List::new().limit(10)).await.map(drop) })
        }),
        Operation::new("account", service, None, |service, _| async move {
            let store = service.client();
            Case::new(async move { store.me().await.map(drop) })
        }),
    ];
    // The download above replaces the one of the reads, which changes nothing.
    operations.extend(Operation::reads(service, stored).into_iter().filter(|read| read.name != "download"));
    operations
}

pub(crate) fn store(url: &str) -> FileIoStore {
    FileIoStore::new(FileIoConfig::new(url).api_key(FILEIO_API_KEY).http(http())).unwrap()
}

fn name(number: usize) -> String {
    format!("file-{number}.txt")
}

async fn is_listed(service: &Service<FileIoStore>, name: &str) -> bool {
    let search = filestore::fileio::Search::new().text(name);
    let found = service.helper().search(&search).await.unwrap();
    found.files.iter().any(|entry| entry.file.name == name)
}

/// Uploads a file, and returns its reference and a client that has no state of the file.
async fn stored(service: Service<FileIoStore>, number: usize) -> (FileIoStore, FileRef) {
    (service.client(), service.helper().upload(Upload::new(name(number), CONTENT)).await.unwrap().reference)
}
