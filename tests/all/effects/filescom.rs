//! Files.com on the emulator.

use filestore::filescom::{Destination, FilesComConfig, FilesComStore, FilesComUpdate, Share};
use filestore::{Delete, FileRef, FileStore, IfExists, List, Stat, Upload};
use filestore_emulator::FILESCOM_API_KEY;

use super::{CONTENT, Case, Operation, Service, emulator, http, run_cases};

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_uploads_to_files_com_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", run_cases(&gateway, uploads(&Service::new(&gateway, store))).await);
}

pub(crate) fn uploads(service: &Service<FilesComStore>) -> Vec<Operation> {
    vec![
        Operation::new(
            "upload",
            service,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/api/rest/v1/files/")),
            |service, number| async move {
                let (sender, upload) = (service.client(), Upload::new(name(number), CONTENT));
                Case::new(async move { sender.upload(upload).await.map(drop) })
                    .happened(async move { exists(&service, &name(number)).await })
            },
        ),
        Operation::new(
            "upload to a free name",
            service,
            Some(|seen| seen.target.starts_with("/api/rest/v1/file_actions/move/")),
            |service, number| async move {
                let (sender, upload) = (service.client(), Upload::new(name(number), CONTENT).if_exists(IfExists::Fail));
                Case::new(async move { sender.upload(upload).await.map(drop) })
                    .happened(async move { exists(&service, &name(number)).await })
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_changes_at_files_com_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", run_cases(&gateway, changes(&Service::new(&gateway, store))).await);
}

pub(crate) fn changes(service: &Service<FilesComStore>) -> Vec<Operation> {
    vec![
        Operation::new("delete", service, Some(|seen| seen.method == "DELETE"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            Case::new(async move { store.delete(Delete::from(file)).await })
                .happened(async move { !exists(&service, &name(number)).await })
        }),
        Operation::new(
            "mkdir",
            service,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/api/rest/v1/folders/")),
            |service, number| async move {
                let sender = service.client();
                Case::new(async move { sender.create_folder(&name(number), false).await.map(drop) })
                    .happened(async move { service.helper().list(List::new().scope(name(number))).await.is_ok() })
            },
        ),
        Operation::new(
            "copy",
            service,
            Some(|seen| seen.target.starts_with("/api/rest/v1/file_actions/copy/")),
            |service, number| async move {
                let (store, file) = stored(service.clone(), number).await;
                let to = Destination::to(format!("copy-{number}"));
                Case::new(async move { store.copy(&file, to).await.map(drop) })
                    .happened(async move { exists(&service, &format!("copy-{number}")).await })
            },
        ),
        Operation::new(
            "move",
            service,
            Some(|seen| seen.target.starts_with("/api/rest/v1/file_actions/move/")),
            |service, number| async move {
                let (store, file) = stored(service.clone(), number).await;
                let to = Destination::to(format!("moved-{number}"));
                Case::new(async move { store.move_to(&file, to).await.map(drop) })
                    .happened(async move { exists(&service, &format!("moved-{number}")).await })
            },
        ),
        Operation::new("update", service, Some(|seen| seen.method == "PATCH"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            let update = FilesComUpdate::new().metadata([("project", "apollo")]);
            Case::new(async move { store.update(&file, update).await.map(drop) })
        }),
        Operation::new(
            "share",
            service,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/api/rest/v1/bundles")),
            |service, number| async move {
                let (store, file) = stored(service.clone(), number).await;
                Case::new(async move { store.share([&file], Share::new()).await.map(drop) })
            },
        ),
        Operation::new("unshare", service, Some(|seen| seen.method == "DELETE"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            let id = service.helper().share([&file], Share::new()).await.unwrap().id;
            Case::new(async move { store.unshare(id).await })
                .happened(async move { service.helper().share_link(id).await.is_err() })
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_reads_at_files_com_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", run_cases(&gateway, reads(&Service::new(&gateway, store))).await);
}

pub(crate) fn reads(service: &Service<FilesComStore>) -> Vec<Operation> {
    let mut operations = vec![Operation::new("list", service, None, |service, number| async move {
        let (store, _) = stored(service.clone(), number).await;
        Case::new(async move { store.list(List::new()).await.map(drop) })
    })];
    operations.extend(Operation::reads(service, stored));
    operations
}

pub(crate) fn store(url: &str) -> FilesComStore {
    FilesComStore::new(FilesComConfig::new(url).api_key(FILESCOM_API_KEY).http(http())).unwrap()
}

fn name(number: usize) -> String {
    format!("file-{number}.txt")
}

async fn exists(service: &Service<FilesComStore>, path: &str) -> bool {
    let store = service.helper();
    store.stat(Stat::from(store.reference(path).unwrap())).await.is_ok()
}

/// Uploads a file, and returns its reference and a client that has no state of the file.
async fn stored(service: Service<FilesComStore>, number: usize) -> (FilesComStore, FileRef) {
    (service.client(), service.helper().upload(Upload::new(name(number), CONTENT)).await.unwrap().reference)
}
