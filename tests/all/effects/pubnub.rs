//! PubNub on the emulator.

use filestore::pubnub::{PubNubConfig, PubNubSend, PubNubStore};
use filestore::{Delete, FileRef, FileStore, List, Upload};

use super::{CONTENT, Case, Operation, Service, emulator, http, run_cases};

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_pubnub_are_true() {
    let (_emulator, gateway) = emulator().await;
    println!("{} cases", run_cases(&gateway, operations(&Service::new(&gateway, store))).await);
}

pub(crate) fn operations(service: &Service<PubNubStore>) -> Vec<Operation> {
    let mut operations = vec![
        Operation::new(
            "upload",
            service,
            Some(|seen| seen.method == "POST" && seen.target.starts_with("/_storage")),
            |service, number| async move {
                let (sender, channel) = (service.client(), channel(number));
                let upload = Upload::new("a.txt", CONTENT).scope(&channel);
                Case::new(async move { sender.upload(upload).await.map(drop) })
                    .happened(async move { count(&service, &channel).await > 0 })
            },
        ),
        Operation::new("delete", service, Some(|seen| seen.method == "DELETE"), |service, number| async move {
            let (store, file) = stored(service.clone(), number).await;
            Case::new(async move { store.delete(Delete::from(file)).await })
                .happened(async move { count(&service, &channel(number)).await == 0 })
        }),
        Operation::new(
            "publish",
            service,
            Some(|seen| seen.target.contains("/publish-file/")),
            |service, number| async move {
                let (store, file) = stored(service.clone(), number).await;
                Case::new(async move { store.publish_file_message(&file, &PubNubSend::new()).await.map(drop) })
            },
        ),
        Operation::new("list", service, None, |service, number| async move {
            let (store, _) = stored(service.clone(), number).await;
            Case::new(async move { store.list(List::new().scope(channel(number))).await.map(drop) })
        }),
    ];
    operations.extend(Operation::reads(service, stored));
    operations
}

pub(crate) fn store(url: &str) -> PubNubStore {
    let config = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "effects").base_url(url).http(http());
    PubNubStore::new(config).unwrap()
}

fn channel(number: usize) -> String {
    format!("effects-{number}")
}

async fn count(service: &Service<PubNubStore>, channel: &str) -> usize {
    service.helper().list(List::new().scope(channel)).await.unwrap().files.len()
}

/// Uploads a file into a new channel, and returns its reference and a client that has no state of the file.
async fn stored(service: Service<PubNubStore>, number: usize) -> (PubNubStore, FileRef) {
    let upload = Upload::new("a.txt", CONTENT).scope(channel(number));
    (service.client(), service.helper().upload(upload).await.unwrap().reference)
}
