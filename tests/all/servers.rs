//! The conformance kit on servers that others wrote. `tests/interop/servers` starts them, and runs these tests with the
//! endpoint of each server in an environment variable.

use filestore_conformance::run;

use crate::conformance::ConfiguredStore;

/// The account that Azurite has, as its documentation states.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}; tests/interop/servers does"))
}

fn s3() -> String {
    settings(
        "s3",
        "S3_ENDPOINT",
        "bucket = \"conformance\"\nregion = \"us-east-1\"\naccess_key_id = \"S3RVER\"\nsecret_access_key = \"S3RVER\"\n",
    )
}

fn azblob() -> String {
    settings(
        "azblob",
        "AZBLOB_ENDPOINT",
        &format!("container = \"conformance\"\naccount_name = {AZURITE_ACCOUNT:?}\naccount_key = {AZURITE_KEY:?}\n"),
    )
}

fn webdav() -> String {
    settings("webdav", "WEBDAV_ENDPOINT", &std::env::var("WEBDAV_OPTIONS").unwrap_or_default())
}

fn sftp() -> String {
    let key = variable("SFTP_KEY");
    let root = variable("SFTP_ROOT");
    settings("sftp", "SFTP_ENDPOINT", &format!("root = {root:?}\nkey = {key:?}\nknown_hosts_strategy = \"accept\"\n"))
}

fn settings(service: &str, endpoint: &str, options: &str) -> String {
    let endpoint = variable(endpoint);
    format!(
        "[stores.tested]\nbackend = \"opendal\"\nservice = {service:?}\n[stores.tested.options]\nendpoint = {endpoint:?}\n{options}"
    )
}

async fn check(text: &str) {
    let report = run(&ConfiguredStore::new(text)).await;
    if let Ok(path) = std::env::var("CONFORMANCE_REPORT") {
        std::fs::write(path, report.to_json().to_string()).unwrap();
    }
    assert!(report.passed(), "{report}");
}

#[tokio::test]
#[ignore = "needs an S3 server: S3_ENDPOINT"]
async fn an_s3_server_passes_the_rules() {
    check(&s3()).await;
}

#[tokio::test]
#[ignore = "needs an Azure Blob server: AZBLOB_ENDPOINT"]
async fn an_azblob_server_passes_the_rules() {
    check(&azblob()).await;
}

#[tokio::test]
#[ignore = "needs a WebDAV server: WEBDAV_ENDPOINT"]
async fn a_webdav_server_passes_the_rules() {
    check(&webdav()).await;
}

#[tokio::test]
#[ignore = "needs an SFTP server: SFTP_ENDPOINT, SFTP_KEY, SFTP_ROOT"]
async fn an_sftp_server_passes_the_rules() {
    check(&sftp()).await;
}
