//! PubNub on the emulator.

use filestore::pubnub::{PubNubConfig, PubNubSend, PubNubStore};
use filestore::{Delete, FileRef, FileStore, List, Upload};

use super::{CONTENT, Case, Operation, Site, emulator, http, play};

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_pubnub_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", play(&gateway, operations(&Site::new(&gateway, store))).await);
}

pub(crate) fn operations(site: &Site<PubNubStore>) -> Vec<Operation> {
    let mut operations = vec![
        Operation::new(
            "upload",
            site,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/_storage")),
            |site, number| async move {
                let (sender, channel) = (site.client(), channel(number));
                let upload = Upload::new("a.txt", CONTENT).scope(&channel);
                Case::new(async move { sender.upload(upload).await.map(drop) })
                    .happened(async move { count(&site, &channel).await > 0 })
            },
        ),
        Operation::new("delete", site, Some(|seen| seen.method == "DELETE"), |site, number| async move {
            let (store, file) = stored(site.clone(), number).await;
            Case::new(async move { store.delete(Delete::from(file)).await })
                .happened(async move { count(&site, &channel(number)).await == 0 })
        }),
        Operation::new(
            "publish",
            site,
            Some(|seen| seen.target.contains("/publish-file/")),
            |site, number| async move {
                let (store, file) = stored(site.clone(), number).await;
                Case::new(async move { store.publish_file_message(&file, &PubNubSend::new()).await.map(drop) })
            },
        ),
        Operation::new("list", site, None, |site, number| async move {
            let (store, _) = stored(site.clone(), number).await;
            Case::new(async move { store.list(List::new().scope(channel(number))).await.map(drop) })
        }),
    ];
    operations.extend(Operation::reads(site, stored));
    operations
}

pub(crate) fn store(url: &str) -> PubNubStore {
    let config = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "effects").base_url(url).http(http());
    PubNubStore::new(config).unwrap()
}

fn channel(number: usize) -> String {
    format!("effects-{number}")
}

async fn count(site: &Site<PubNubStore>, channel: &str) -> usize {
    site.helper().list(List::new().scope(channel)).await.unwrap().files.len()
}

/// A file in a channel of its own, and a client that knows nothing of it.
async fn stored(site: Site<PubNubStore>, number: usize) -> (PubNubStore, FileRef) {
    let upload = Upload::new("a.txt", CONTENT).scope(channel(number));
    (site.client(), site.helper().upload(upload).await.unwrap().reference)
}
