//! S3 and WebDAV through OpenDAL, on servers in memory.

use filestore::{Config, Delete, FileRef, List, Store, Upload};

use self::stub::Stub;
use self::stub::s3::S3;
use self::stub::webdav::Webdav;
use super::{CONTENT, Case, Operation, Service, run_cases};
use crate::gateway::{Gateway, Seen};

#[path = "../../../crates/filestore-opendal/tests/all/stub/mod.rs"]
pub(crate) mod stub;

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_s3_are_true() {
    let (_server, gateway) = s3().await;
    println!(
        "{} cases",
        run_cases(&gateway, operations(&Service::new(&gateway, s3_store), |seen| seen.method == "PUT")).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_webdav_are_true() {
    let (_server, gateway) = webdav().await;
    let service = Service::new(&gateway, webdav_store);
    println!("{} cases", run_cases(&gateway, operations(&service, |seen| seen.method == "MOVE")).await);
}

pub(crate) async fn s3() -> (Stub<S3>, Gateway) {
    let server = Stub::start(S3::with(&[])).await;
    let gateway = Gateway::new(Gateway::reserve(), server.url.trim_start_matches("http://").parse().unwrap());
    (server, gateway)
}

pub(crate) async fn webdav() -> (Stub<Webdav>, Gateway) {
    let server = Stub::start(Webdav::with(&[])).await;
    let gateway = Gateway::new(Gateway::reserve(), server.url.trim_start_matches("http://").parse().unwrap());
    (server, gateway)
}

pub(crate) fn operations(service: &Service<Store>, commits: fn(&Seen) -> bool) -> Vec<Operation> {
    vec![
        Operation::new("upload", service, Some(commits), |service, number| async move {
            let (sender, upload) = (service.client(), Upload::new(name(number), CONTENT));
            Case::new(async move { sender.upload(upload).await.map(drop) })
                .happened(async move { exists(&service, number).await })
        }),
        // A WebDAV server reports a missing file with the status 404 alone.
        Operation::new("delete", service, Some(|seen| seen.method == "DELETE"), |service, number| async move {
            let (store, file) = stored(&service, number).await;
            Case::new(async move { store.delete(Delete::from(&file)).await })
                .happened(async move { !exists(&service, number).await })
        })
        .accepting_any_404(),
        Operation::new("list", service, None, |service, number| async move {
            let (store, _) = stored(&service, number).await;
            Case::new(async move { store.list(List::new()).await.map(drop) })
        }),
        Operation::new("stat", service, None, |service, number| async move {
            let (store, file) = stored(&service, number).await;
            Case::new(async move { store.stat(&file).await.map(drop) })
        }),
        Operation::new("download", service, None, |service, number| async move {
            let (store, file) = stored(&service, number).await;
            Case::new(async move { store.read(&file, 99).await.map(drop) })
        }),
    ]
}

pub(crate) fn s3_store(url: &str) -> Store {
    store(&format!(
        "service = \"s3\"\noptions = {{ endpoint = \"{url}\", bucket = \"bucket\", region = \"us-east-1\", \
         access_key_id = \"key\", secret_access_key = \"secret\", disable_config_load = \"true\" }}"
    ))
}

pub(crate) fn webdav_store(url: &str) -> Store {
    store(&format!("service = \"webdav\"\noptions = {{ endpoint = \"{url}\" }}"))
}

fn store(settings: &str) -> Store {
    let text = format!(
        "[stores.a]\nbackend = \"opendal\"\n{settings}\nmax_retries = 5\ninitial_retry_delay = \"1ms\"\nmax_retry_delay = \"16ms\"\n"
    );
    let stores = Config::parse(&text, "effects.toml").unwrap().open(&filestore::registry()).unwrap();
    stores.default_store().unwrap().clone()
}

fn name(number: usize) -> String {
    format!("file-{number}.txt")
}

async fn exists(service: &Service<Store>, number: usize) -> bool {
    let scheme = service.helper().capabilities().scheme.to_string();
    let file: FileRef = format!("a:{scheme}:{}", name(number)).parse().unwrap();
    service.helper().stat(&file).await.is_ok()
}

/// Uploads a file, and returns its reference and a client that has no state of the file.
async fn stored(service: &Service<Store>, number: usize) -> (Store, FileRef) {
    (service.client(), service.helper().upload(Upload::new(name(number), CONTENT)).await.unwrap().reference)
}
