//! The rules on servers that others wrote. `tests/interop/servers` starts the servers, and runs these tests with the
//! endpoint and the name of each server in environment variables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore::{
    Body, Cleanup, Delete, Download, Effect, Error, ErrorKind, FileUrl, IfExists, List, Result, Store, Upload,
};
use filestore_conformance::{Harness, Outcome, Report, run};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::conformance::ConfiguredStore;
use crate::generated;

/// The account that Azurite has, as its documentation states.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The servers, in the order of the table.
const SERVERS: [&str; 6] = ["moto", "s3rver", "azurite", "apache", "nginx", "openssh"];

/// Deviations of servers that no capability expresses: the server, the rule, and the evidence.
const EXCEPTIONS: [(&str, &str, &str); 7] = [
    (
        "nginx",
        "N2",
        "a PROPFIND of the folder does not show `.hidden`, although a PROPFIND of the file itself does: the module \
         leaves out names that begin with a dot",
    ),
    (
        "s3rver",
        "N2",
        "it keeps each object in a file NAME._S3rver_object; a PUT of a name of 255 bytes ends the whole server",
    ),
    (
        "s3rver",
        "N4",
        "it keeps each object in a file NAME._S3rver_object; a PUT of a name of 255 bytes ends the whole server",
    ),
    ("s3rver", "R4", "a GET of a key whose last component has more than 241 bytes gets 500 InternalError"),
    ("s3rver", "D3", S3RVER_RANGE),
    ("s3rver", "C2", S3RVER_RANGE),
    ("s3rver", "W5", "it ignores If-None-Match: concurrent conditional PUTs of one name all get 200"),
];

const S3RVER_RANGE: &str = "a GET with Range: bytes=0-0 gets the whole file, as 206 with Content-Range: bytes 0-6/7";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}, as tests/interop/servers does"))
}

/// Returns the name of the server under test.
fn server() -> String {
    variable("SERVER")
}

/// Returns the configuration of the store `tested` on the server under test.
fn settings(more: &str) -> String {
    let endpoint = variable("ENDPOINT");
    let (service, options) = match server().as_str() {
        name @ ("moto" | "s3rver") => {
            let bucket = "bucket = \"conformance\"\nregion = \"us-east-1\"\naccess_key_id = \"S3RVER\"\n\
                          secret_access_key = \"S3RVER\"\n";
            // A listing of version 2 with a next page gets 500 on Node 17 and later.
            let first_version = if name == "s3rver" { "disable_list_objects_v2 = \"true\"\n" } else { "" };
            ("s3", format!("{bucket}{first_version}"))
        }
        "azurite" => (
            "azblob",
            format!("container = \"conformance\"\naccount_name = {AZURITE_ACCOUNT:?}\naccount_key = {AZURITE_KEY:?}\n"),
        ),
        "apache" => ("webdav", String::new()),
        "nginx" => ("webdav", "enable_user_metadata = \"false\"\n".to_owned()),
        "openssh" => ("sftp", format!("key = {:?}\nknown_hosts_strategy = \"accept\"\n", variable("SFTP_KEY"))),
        other => panic!("there is no server {other:?}"),
    };
    format!(
        "[stores.tested]\nbackend = \"opendal\"\nservice = {service:?}\n[stores.tested.options]\n\
         endpoint = {endpoint:?}\n{options}{more}"
    )
}

/// Returns the setting of a root folder of the server.
fn root(name: &str) -> String {
    let below = std::env::var("SFTP_ROOT").unwrap_or_default();
    format!("root = \"{below}/{name}\"\n")
}

/// The harness of the server under test.
struct RealServer(ConfiguredStore);

#[async_trait]
impl Harness for RealServer {
    async fn open(&self) -> Result<Store> {
        self.0.open().await
    }

    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        self.0.fetch(url).await
    }

    fn exception(&self, id: &str) -> Option<String> {
        let server = server();
        let is_it = |(of, rule, _): &&(&str, &str, &str)| *of == server && *rule == id;
        EXCEPTIONS.iter().find(is_it).map(|(.., reason)| (*reason).to_owned())
    }
}

fn report_path(server: &str) -> PathBuf {
    PathBuf::from(variable("REPORTS")).join(format!("{server}.json"))
}

async fn checked() -> Report {
    run(&RealServer(ConfiguredStore::new(&settings(&root("conformance-root"))))).await
}

#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn a_real_server_passes_the_rules() {
    let report = checked().await;
    std::fs::write(report_path(&server()), report.to_json().to_string()).unwrap();
    assert!(report.passed(), "{report}");
    let passed = report.rules.iter().filter(|rule| matches!(rule.outcome, Outcome::Passed)).count();
    println!("{}: {passed} rules passed", server());
}

fn store(more: &str) -> Store {
    ConfiguredStore::new(&settings(more)).store
}

/// In one request, in several chunks or parts, and from a stream of unknown length.
#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn large_and_empty_files_are_stored_on_a_real_server() {
    let store = store(&root("large"));
    let large: Vec<u8> = (0..20_000_000_u32).map(|byte| (byte / 7) as u8).collect();
    let stream = |bytes: Vec<u8>| Body::from_reader(std::io::Cursor::new(bytes), None);
    let bodies = [
        (Body::from("small"), &b"small"[..]),
        (Body::from(large.clone()), &large),
        (stream(large.clone()), &large),
        (Body::from(""), b""),
        (stream(Vec::new()), b""),
    ];
    for (number, (body, expected)) in bodies.into_iter().enumerate() {
        let file = store.upload(Upload::new(format!("file {number} ü+%.txt"), body).scope("main/sub")).await.unwrap();
        assert_eq!(store.stat(file.reference()).await.unwrap().size, Some(expected.len() as u64));
        assert_eq!(store.read(file.reference(), 1 << 30).await.unwrap(), expected, "{number}");
        if expected.len() > 3 {
            let range = Download::from(file.reference()).range(1..3);
            assert_eq!(store.read(range, 9).await.unwrap(), &expected[1..3]);
        }
    }
    let main = "tested:SCHEME:main".replace("SCHEME", &store.capabilities().scheme).parse().unwrap();
    store.delete(Delete::from(filestore::FileRef::clone(&main)).recursive(true)).await.unwrap();
    let left: Vec<_> = store.list_all(List::new().recursive(true)).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn an_existing_file_on_a_real_server_is_not_replaced_if_it_must_not_be() {
    let store = store(&root("kept"));
    let name = format!("{}.txt", std::process::id());
    store.upload(Upload::new(&name, "first")).await.unwrap();
    let second = store.upload(Upload::new(&name, "second").if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::AlreadyExists, "{second}");
    let page = store.list(List::new()).await.unwrap();
    assert_eq!(store.read(page.files[0].reference(), 9).await.unwrap(), "first");
    store.delete(page.files[0].reference()).await.unwrap();
}

/// A root without a leading slash is a folder of the login folder.
#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn a_relative_root_of_sftp_is_below_the_login_folder() {
    let relative = format!("filestore-relative-{}/in", std::process::id());
    let below = store(&format!("root = {relative:?}\n"));
    let file = below.upload(Upload::new("a.txt", "here").scope("sub")).await.unwrap();
    assert_eq!(file.reference().to_string(), "tested:sftp:sub/a.txt");
    let login = store("");
    let seen = format!("tested:sftp:{relative}/sub/a.txt").parse::<filestore::FileRef>().unwrap();
    assert_eq!(login.read(&seen, 9).await.unwrap(), "here");
    let listed: Vec<_> = below.list_all(List::new().recursive(true)).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|file| file.reference().to_string()).collect::<Vec<_>>(), ["tested:sftp:sub/a.txt"]);
    let folder = relative.split_once('/').unwrap().0;
    let folder = format!("tested:sftp:{folder}").parse::<filestore::FileRef>().unwrap();
    login.delete(Delete::from(folder).recursive(true)).await.unwrap();
}

/// The incomplete file of a dropped upload is removed.
#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn a_dropped_upload_over_sftp_leaves_nothing() {
    let store = store(&root("dropped"));
    let endless = stream::iter([Ok::<_, Error>(vec![7; 1 << 20])]).chain(stream::pending());
    let mut upload = Box::pin(store.upload(Upload::new("a", Body::from_stream(endless, None))));
    let folder = PathBuf::from(variable("SFTP_ROOT")).join("dropped/.filestore-tmp");
    let files = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    while files() == 0 {
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut upload).await.is_err());
    }
    drop(upload);
    Cleanup::all_ended().await;
    assert_eq!(files(), 0);
}

/// A wrong key and an unknown host key are permanent: nothing is retried, and the error says what to change.
#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn a_wrong_key_and_an_unknown_host_key_of_sftp_are_permanent() {
    let good = settings("");
    let wrong_key = good.replace(&variable("SFTP_KEY"), &variable("SFTP_WRONG_KEY"));
    // The other tests accept the key of 127.0.0.1, not of this name.
    let unknown_host = good.replace("\"accept\"", "\"strict\"").replace("127.0.0.1", "localhost");
    for (text, kind, words) in
        [(wrong_key, ErrorKind::Unauthenticated, "key"), (unknown_host, ErrorKind::Config, "known_hosts")]
    {
        let store = ConfiguredStore::new(&text).store;
        for error in [
            store.upload(Upload::new("a.txt", "x")).await.unwrap_err(),
            store.list(List::new()).await.unwrap_err(),
            store.delete("tested:sftp:a.txt".parse::<filestore::FileRef>().unwrap()).await.unwrap_err(),
        ] {
            let message = error.to_string();
            assert_eq!((error.kind(), error.attempts()), (kind, 1), "{message}");
            assert!(message.contains(words) && !message.contains("Err"), "{message}");
            assert!(matches!(error.effect(), Effect::NotSent | Effect::Rejected), "{message}");
        }
    }
}

/// A container or bucket that does not exist is named, by every operation.
#[tokio::test]
#[ignore = "needs a server: tests/interop/servers"]
async fn a_missing_container_or_bucket_is_not_found_and_named() {
    let text = settings("").replace("\"conformance\"", "\"no-such-container\"");
    let store = ConfiguredStore::new(&text).store;
    let reference = format!("tested:{}:a.txt", store.capabilities().scheme).parse::<filestore::FileRef>().unwrap();
    for error in [
        store.upload(Upload::new("a.txt", "x")).await.map(drop).unwrap_err(),
        store.stat(&reference).await.map(drop).unwrap_err(),
        store.list(List::new()).await.map(drop).unwrap_err(),
        store.delete(&reference).await.unwrap_err(),
    ] {
        let message = error.to_string();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{message}");
        assert!(message.contains("there is no bucket") || message.contains("there is no container"), "{message}");
    }
}

/// Compares the table of the document with the reports of all servers.
#[test]
#[ignore = "needs the reports of all servers: tests/interop/servers"]
fn the_document_has_the_rules_of_every_server() {
    let reports: Vec<Value> = SERVERS
        .iter()
        .map(|server| serde_json::from_str(&std::fs::read_to_string(report_path(server)).unwrap()).unwrap())
        .collect();
    generated::compare("conformance.md", "servers", &table(&reports));
}

/// Returns the table of the rules of all servers, and the reasons of the skipped ones.
fn table(reports: &[Value]) -> String {
    let mut text = format!("| rule | {} |\n|---|{}\n", SERVERS.join(" | "), "---|".repeat(SERVERS.len()));
    let rules = |report: &Value| report["rules"].as_array().cloned().unwrap_or_default();
    let mut reasons: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (number, rule) in rules(&reports[0]).iter().enumerate() {
        let _ = write!(text, "| {}", rule["id"].as_str().unwrap());
        for (server, report) in SERVERS.iter().zip(reports) {
            let rule = &rules(report)[number];
            let outcome = rule["outcome"].as_str().unwrap();
            let _ = write!(text, " | {outcome}");
            let capability = rule["capability"].as_str().unwrap_or_default();
            if outcome == "skipped" {
                let reason = format!("{capability}: {}", rule["reason"].as_str().unwrap());
                let rules = reasons.entry(reason).or_default();
                rules.entry(rule["id"].as_str().unwrap().to_owned()).or_default().push((*server).to_owned());
            }
        }
        text.push_str(" |\n");
    }
    let count = |report: &Value| report["counts"]["passed"].to_string();
    let counts: Vec<String> = reports.iter().map(count).collect();
    let _ = writeln!(text, "| passed | {} |", counts.join(" | "));
    text.push_str("\nThe reasons of the skipped rules:\n\n");
    for (reason, rules) in reasons {
        let which: Vec<String> = rules
            .iter()
            .map(|(rule, servers)| match servers.len() == SERVERS.len() {
                true => rule.clone(),
                false => format!("{rule} ({})", servers.join(", ")),
            })
            .collect();
        let _ = writeln!(text, "- {reason}: {}", which.join(", "));
    }
    text
}
