//! Values from the service are checked before they affect a request, memory or a terminal.

use filestore_core::{Effect, ErrorKind, FileStore, Upload, UrlRequest};
use serde_json::json;

use super::site::{FaultAction, Site};
use super::{kind_and_effect, reference, response, server_with, store};
use crate::Login;

#[tokio::test]
async fn a_part_is_not_sent_with_a_header_that_a_service_may_not_set() {
    for name in ["Host", "content-length", "Transfer-Encoding", "proxy-authorization", "X-FilesAPI-Key"] {
        let site = Site::with_parts_of(20).await;
        site.state().target = json!({"headers": {name: "1"}});
        let error = site.store().upload(Upload::new("a.txt", "abc")).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
        assert!(error.to_string().contains(&name.to_ascii_lowercase()), "{error}");
        assert_eq!(site.count("PUT "), 0, "{name}");
    }
}

#[tokio::test]
async fn a_presigned_url_is_returned_as_parsed_and_must_be_http() {
    let site = Site::with_parts_of(20).await;
    let url_of = |uri: &str| {
        site.fault(
            "GET files/",
            FaultAction::Respond(response(200, &json!({"path": "a", "type": "file", "download_uri": uri}))),
        );
        let store = site.store();
        async move { store.url(UrlRequest::from(reference("a"))).await }
    };
    let url = url_of("https://s3.example/a\u{1b}]0;t\u{7}\u{9b}2J?q=\u{1b}[2J\u{202e}\n").await.unwrap();
    assert_eq!(url.as_str(), "https://s3.example/a%1B]0;t%07%C2%9B2J?q=%1B[2J%E2%80%AE");
    for bad in ["ftp://s3.example/a", "javascript:alert(1)", "file:///etc/passwd", "/a", "https://a b/"] {
        assert_eq!(url_of(bad).await.unwrap_err().kind(), ErrorKind::Protocol, "{bad}");
    }
}

#[tokio::test]
async fn a_share_link_is_returned_as_parsed_and_must_be_http() {
    let link = |url: &str| response(200, &json!({"id": 42, "url": url}));
    let server = server_with([link("HTTPS://x.files.com/f/\u{1b}[2Jab\n")]).await;
    assert_eq!(store(&server).share_link(42).await.unwrap().url.as_str(), "https://x.files.com/f/%1B[2Jab");
    for bad in ["javascript:alert(1)", "x.files.com/f/ab", "", "file:///f/ab"] {
        let server = server_with([link(bad)]).await;
        let error = store(&server).share_link(42).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_session_id_that_is_not_printable_ascii_is_a_protocol_error() {
    for bad in ["", "a b", "a\tb", "a\u{1b}[2J", "a\nX-Evil: 1", "\u{fc}", "a\u{7f}"] {
        let server = server_with([response(201, &json!({"id": bad}))]).await;
        let error = store(&server).login(&Login::new("ann", "pw")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad:?}: {error}");
    }
}
