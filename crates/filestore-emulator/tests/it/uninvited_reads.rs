//! Link previews, prefetches, health checks, `HEAD`, ranges and aborted requests. Each test is a line of the table in
//! `docs/emulator.md`.

use filestore_emulator::FILESCOM_API_KEY;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, HeaderName, RANGE, USER_AGENT};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::filescom::EmulatedSite;
use crate::support::{RequestExt, service};

const CONTENT: &[u8] = b"0123456789";

/// The state of a link after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Works,
    UsedUp,
}
use Link::{UsedUp, Works};

/// The links of one file at each service, in the order of the table's columns.
struct Links {
    site: EmulatedSite,
    paths: [String; 4],
}

/// Stores the file: at file.io for one download, at PubNub, at Files.com, and behind a share link for one use.
async fn links() -> Links {
    let site = EmulatedSite { service: service().await, key: FILESCOM_API_KEY.to_owned() };
    let service = &site.service;
    let single_use = service.share(CONTENT).await;
    let form = service.stored("room", "cat.txt", CONTENT).await;
    let pubnub = service.presigned_url("room", &form.id, "cat.txt").await;
    site.upload("a.txt", CONTENT).await;
    let filescom = service.path_of(&site.download_uri("a.txt").await).to_owned();
    let share = json!({"paths": ["a.txt"], "max_uses": 1});
    let share = site.post("/bundles", &share).json_with(StatusCode::CREATED).await;
    let share = service.path_of(share["url"].as_str().unwrap()).to_owned();
    Links { paths: [single_use, pubnub, filescom, share], site }
}

impl Links {
    async fn state_of(&self, path: &str) -> Link {
        match self.site.service.status_of(path).await {
            StatusCode::OK => Works,
            StatusCode::NOT_FOUND => UsedUp,
            other => panic!("{path}: {other}"),
        }
    }
}

/// Sends a request to each link. Checks the status, the number of bytes of a successful response, and the state of the
/// link afterwards.
async fn check(method: Method, headers: &[(HeaderName, &str)], expected: [(u16, usize, Link); 4]) {
    let links = links().await;
    for (path, (status, bytes, link)) in links.paths.iter().zip(expected) {
        let mut request = links.site.service.request(method.clone(), path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = request.response().await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        if response.status().is_success() {
            assert_eq!(response.bytes().await.unwrap().len(), bytes, "{method} {path}");
        }
        assert_eq!(links.state_of(path).await, link, "{method} {path}");
    }
}

#[tokio::test]
async fn a_get() {
    check(Method::GET, &[], [(200, 10, UsedUp), (200, 10, Works), (200, 10, Works), (200, 10, UsedUp)]).await;
}

#[tokio::test]
async fn a_link_preview_with_a_range() {
    let headers = [(USER_AGENT, "Slackbot-LinkExpanding 1.0"), (RANGE, "bytes=0-32768")];
    check(Method::GET, &headers, [(200, 10, UsedUp), (206, 10, Works), (206, 10, Works), (200, 10, UsedUp)]).await;
}

#[tokio::test]
async fn a_link_preview_without_a_range() {
    for agent in ["facebookexternalhit/1.1", "WhatsApp/2.23.20.0", "TelegramBot (like TwitterBot)"] {
        let headers = [(USER_AGENT, agent), (ACCEPT, "*/*")];
        check(Method::GET, &headers, [(200, 10, UsedUp), (200, 10, Works), (200, 10, Works), (200, 10, UsedUp)]).await;
    }
}

#[tokio::test]
async fn a_prefetch_of_a_browser() {
    for (name, value) in [("sec-purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch")] {
        let headers = [(HeaderName::from_static(name), value)];
        check(Method::GET, &headers, [(200, 10, UsedUp), (200, 10, Works), (200, 10, Works), (200, 10, UsedUp)]).await;
    }
}

#[tokio::test]
async fn a_head() {
    check(Method::HEAD, &[], [(200, 0, Works), (403, 0, Works), (403, 0, Works), (200, 0, Works)]).await;
    let links = links().await;
    let response = links.site.service.request(Method::HEAD, &links.paths[0]).response().await;
    assert_eq!(response.headers()[CONTENT_LENGTH], "10");
}

#[tokio::test]
async fn a_range_of_one_byte() {
    let range = [(RANGE, "bytes=0-0")];
    check(Method::GET, &range, [(200, 10, UsedUp), (206, 1, Works), (206, 1, Works), (200, 10, UsedUp)]).await;
}

#[tokio::test]
async fn a_range_beyond_the_end() {
    let range = [(RANGE, "bytes=100-")];
    check(Method::GET, &range, [(200, 10, UsedUp), (416, 0, Works), (416, 0, Works), (200, 10, UsedUp)]).await;
}

#[tokio::test]
async fn an_options() {
    check(Method::OPTIONS, &[], [(204, 0, Works), (200, 0, Works), (403, 0, Works), (405, 0, Works)]).await;
}

/// Sends a `GET` to each link on a connection that the client ends: after the head of the response, or at once.
async fn check_aborted(after_head: bool) {
    let links = links().await;
    for (path, link) in links.paths.iter().zip([UsedUp, Works, Works, UsedUp]) {
        let service = &links.site.service;
        let mut stream = service.connect().await;
        // Storage URLs are signed for the host.
        let host = service.emulator.addr();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        if after_head {
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
        }
        drop(stream);
        let requested = path.split('?').next();
        while !service
            .emulator
            .journal()
            .iter()
            .any(|entry| entry.method == "GET" && Some(entry.path.as_str()) == requested && entry.status.is_some())
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(links.state_of(path).await, link, "{path}");
    }
}

#[tokio::test]
async fn a_get_that_is_aborted_after_the_headers() {
    check_aborted(true).await;
}

#[tokio::test]
async fn a_get_whose_client_leaves_at_once() {
    check_aborted(false).await;
}

#[tokio::test]
async fn health_checks() {
    let links = links().await;
    let service = &links.site.service;
    for method in [Method::GET, Method::HEAD] {
        for (path, accept, status) in [
            ("/", "*/*", 401),
            ("/", "text/html", 200),
            ("/health", "*/*", 404),
            ("/robots.txt", "*/*", 404),
            ("/favicon.ico", "*/*", 404),
            ("/time/0", "*/*", 200),
        ] {
            let response = service.request(method.clone(), path).header(ACCEPT, accept).response().await;
            assert_eq!(response.status().as_u16(), status, "{method} {path} {accept}");
        }
    }
    for path in &links.paths {
        assert_eq!(links.state_of(path).await, Works, "{path}");
    }
}
