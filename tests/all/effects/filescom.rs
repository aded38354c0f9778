//! Files.com on the emulator.

use filestore::filescom::{Destination, FilesComConfig, FilesComStore, FilesComUpdate, Share};
use filestore::{Delete, FileRef, FileStore, IfExists, List, Stat, Upload};
use filestore_emulator::FILESCOM_API_KEY;

use super::{CONTENT, Case, Operation, Site, emulator, http, play};

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_uploads_to_files_com_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", play(&gateway, uploads(&Site::new(&gateway, store))).await);
}

pub(crate) fn uploads(site: &Site<FilesComStore>) -> Vec<Operation> {
    vec![
        Operation::new(
            "upload",
            site,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/api/rest/v1/files/")),
            |site, number| async move {
                let (sender, upload) = (site.client(), Upload::new(name(number), CONTENT));
                Case::new(async move { sender.upload(upload).await.map(drop) })
                    .happened(async move { is_there(&site, &name(number)).await })
            },
        ),
        Operation::new(
            "upload to a free name",
            site,
            Some(|seen| seen.target.starts_with("/api/rest/v1/file_actions/move/")),
            |site, number| async move {
                let (sender, upload) = (site.client(), Upload::new(name(number), CONTENT).if_exists(IfExists::Fail));
                Case::new(async move { sender.upload(upload).await.map(drop) })
                    .happened(async move { is_there(&site, &name(number)).await })
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_changes_at_files_com_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", play(&gateway, changes(&Site::new(&gateway, store))).await);
}

pub(crate) fn changes(site: &Site<FilesComStore>) -> Vec<Operation> {
    vec![
        Operation::new("delete", site, Some(|seen| seen.method == "DELETE"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            Case::new(async move { store.delete(Delete::from(file)).await })
                .happened(async move { !is_there(&site, &name(number)).await })
        }),
        Operation::new(
            "mkdir",
            site,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/api/rest/v1/folders/")),
            |site, number| async move {
                let sender = site.client();
                Case::new(async move { sender.create_folder(&name(number), false).await.map(drop) })
                    .happened(async move { site.helper().list(List::new().scope(name(number))).await.is_ok() })
            },
        ),
        Operation::new(
            "copy",
            site,
            Some(|seen| seen.target.starts_with("/api/rest/v1/file_actions/copy/")),
            |site, number| async move {
                let (store, file) = stored(site.clone(), number).await;
                let to = Destination::to(format!("copy-{number}"));
                Case::new(async move { store.copy(&file, to).await.map(drop) })
                    .happened(async move { is_there(&site, &format!("copy-{number}")).await })
            },
        ),
        Operation::new(
            "move",
            site,
            Some(|seen| seen.target.starts_with("/api/rest/v1/file_actions/move/")),
            |site, number| async move {
                let (store, file) = stored(site.clone(), number).await;
                let to = Destination::to(format!("moved-{number}"));
                Case::new(async move { store.move_to(&file, to).await.map(drop) })
                    .happened(async move { is_there(&site, &format!("moved-{number}")).await })
            },
        ),
        Operation::new("update", site, Some(|seen| seen.method == "PATCH"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            let update = FilesComUpdate::new().metadata([("project", "apollo")]);
            Case::new(async move { store.update(&file, update).await.map(drop) })
        }),
        Operation::new(
            "share",
            site,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/api/rest/v1/bundles")),
            |site, number| async move {
                let (store, file) = stored(site.clone(), number).await;
                Case::new(async move { store.share([&file], Share::new()).await.map(drop) })
            },
        ),
        Operation::new("unshare", site, Some(|seen| seen.method == "DELETE"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            let id = site.helper().share([&file], Share::new()).await.unwrap().id;
            Case::new(async move { store.unshare(id).await })
                .happened(async move { site.helper().share_link(id).await.is_err() })
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_reads_at_files_com_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", play(&gateway, reads(&Site::new(&gateway, store))).await);
}

pub(crate) fn reads(site: &Site<FilesComStore>) -> Vec<Operation> {
    let mut operations = vec![Operation::new("list", site, None, |site, number| async move {
        let (store, _) = stored(site.clone(), number).await;
        Case::new(async move { store.list(List::new()).await.map(drop) })
    })];
    operations.extend(Operation::reads(site, stored));
    operations
}

pub(crate) fn store(url: &str) -> FilesComStore {
    FilesComStore::new(FilesComConfig::new(url).api_key(FILESCOM_API_KEY).http(http())).unwrap()
}

fn name(number: usize) -> String {
    format!("file-{number}.txt")
}

async fn is_there(site: &Site<FilesComStore>, path: &str) -> bool {
    let store = site.helper();
    store.stat(Stat::from(store.reference(path).unwrap())).await.is_ok()
}

/// A file, and a client that knows nothing of it.
async fn stored(site: Site<FilesComStore>, number: usize) -> (FilesComStore, FileRef) {
    (site.client(), site.helper().upload(Upload::new(name(number), CONTENT)).await.unwrap().reference)
}
