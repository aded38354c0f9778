//! S3 and WebDAV, in memory.

use filestore::{Config, Delete, FileRef, List, Store, Upload};

use self::stub::Stub;
use self::stub::s3::S3;
use self::stub::webdav::Webdav;
use super::{CONTENT, Case, Operation, Site, play};
use crate::gateway::{Gateway, Seen};

#[path = "../../../crates/filestore-opendal/tests/all/stub/mod.rs"]
mod stub;

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_s3_are_true() {
    let (_server, gateway) = s3().await;
    println!("{} cases", play(&gateway, operations(&Site::new(&gateway, s3_store), |seen| seen.method == "PUT")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_webdav_are_true() {
    let (_server, gateway) = webdav().await;
    let site = Site::new(&gateway, webdav_store);
    println!("{} cases", play(&gateway, operations(&site, |seen| seen.method == "MOVE")).await);
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

pub(crate) fn operations(site: &Site<Store>, stores: fn(&Seen) -> bool) -> Vec<Operation> {
    vec![
        Operation::new("upload", site, Some(stores), |site, number| async move {
            let (sender, upload) = (site.client(), Upload::new(name(number), CONTENT));
            Case::new(async move { sender.upload(upload).await.map(drop) })
                .happened(async move { is_there(&site, number).await })
        }),
        // A server of WebDAV says that there is nothing with a status alone.
        Operation::new("delete", site, Some(|seen| seen.method == "DELETE"), |site, number| async move {
            let (store, file) = stored(&site, number).await;
            Case::new(async move { store.delete(Delete::from(&file)).await })
                .happened(async move { !is_there(&site, number).await })
        })
        .believing_any_404(),
        Operation::new("list", site, None, |site, number| async move {
            let (store, _) = stored(&site, number).await;
            Case::new(async move { store.list(List::new()).await.map(drop) })
        }),
        Operation::new("stat", site, None, |site, number| async move {
            let (store, file) = stored(&site, number).await;
            Case::new(async move { store.stat(&file).await.map(drop) })
        }),
        Operation::new("download", site, None, |site, number| async move {
            let (store, file) = stored(&site, number).await;
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

async fn is_there(site: &Site<Store>, number: usize) -> bool {
    let scheme = site.helper().capabilities().scheme.to_string();
    let file: FileRef = format!("a:{scheme}:{}", name(number)).parse().unwrap();
    site.helper().stat(&file).await.is_ok()
}

/// A file, and a client that knows nothing of it.
async fn stored(site: &Site<Store>, number: usize) -> (Store, FileRef) {
    (site.client(), site.helper().upload(Upload::new(name(number), CONTENT)).await.unwrap().reference)
}
