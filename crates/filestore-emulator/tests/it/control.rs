//! The control API and its authorization.

use std::time::Duration;

use filestore_emulator::{Emulator, Options};
use reqwest::header::{DATE, HOST, ORIGIN};
use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::support::{RequestExt, ValueExt, service, service_with};

#[tokio::test]
async fn the_clock_is_read_and_moved() {
    let service = service().await;
    let path = service.share(b"a").await;
    let before = service.get("/_emulator/clock").json_with(StatusCode::OK).await;
    assert_eq!(before["offset_seconds"], 0.0);
    let moved = service.post("/_emulator/clock").body(r#"{"advance":"15d"}"#).json_with(StatusCode::OK).await;
    assert!((moved["offset_seconds"].as_f64().unwrap() - 15.0 * 86400.0).abs() < 1.0);
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
    let set =
        service.post("/_emulator/clock").body(r#"{"set":"2040-01-01T00:00:00Z"}"#).json_with(StatusCode::OK).await;
    assert!(set["now"].as_str().unwrap().starts_with("2040-01-01T00:00:0"));
    for wrong in [r#"{"advance":"soon"}"#, r#"{"forward":"1d"}"#, "", r#"{"advance":"99999y"}"#] {
        let rejected = service.post("/_emulator/clock").body(wrong).json_with(StatusCode::BAD_REQUEST).await;
        assert!(rejected["error"].is_string(), "{wrong}");
    }
}

#[tokio::test]
async fn every_response_has_the_date_of_the_clock() {
    let service = service().await;
    service.post("/_emulator/clock").body(r#"{"set":"2040-01-01T00:00:00Z"}"#).json_with(StatusCode::OK).await;
    for path in ["/me", "/no/such/path", "/_emulator/journal"] {
        let response = service.get(path).response().await;
        let dates: Vec<_> = response.headers().get_all(DATE).iter().map(|date| date.to_str().unwrap()).collect();
        assert!(matches!(dates[..], [date] if date.starts_with("Sun, 01 Jan 2040 00:")), "{path}: {dates:?}");
    }
}

#[tokio::test]
async fn the_clock_only_shows_times_that_responses_can_have() {
    let service = service().await;
    let path = service.share(b"a").await;
    for outside in [
        r#"{"set":"0001-01-01T00:00:00Z"}"#,
        r#"{"set":"1969-12-31T23:59:59Z"}"#,
        r#"{"set":"1970-01-01T23:59:59Z"}"#,
        r#"{"set":"9999-01-01T00:00:00Z"}"#,
        r#"{"set":"9999-12-30T22:00:00Z"}"#,
        r#"{"advance":"-1000y"}"#,
        r#"{"advance":"7990y"}"#,
    ] {
        let rejected = service.post("/_emulator/clock").body(outside).json_with(StatusCode::BAD_REQUEST).await;
        assert!(rejected["error"].is_string(), "{outside}: {rejected}");
        assert!(service.emulator.clock().offset().is_zero(), "{outside}");
    }
    assert!(service.emulator.clock().advance(Duration::MAX).is_err());
    assert_eq!(service.status_of(&path).await, StatusCode::OK);

    for time in ["1970-01-02T00:00:00Z", "9998-12-31T23:59:59Z"] {
        let set = json!({ "set": time }).to_string();
        service.post("/_emulator/clock").body(set).json_with(StatusCode::OK).await;
        let file = service.stored("room", "cat.txt", b"hello").await;
        let url = service.presigned_url("room", &file.id, "cat.txt").await;
        assert_eq!(service.content_of(&url).await, b"hello", "{time}");
        assert_eq!(service.share(b"a").await.len(), path.len(), "{time}");
    }
}

#[tokio::test]
async fn faults_are_put_counted_and_deleted() {
    let service = service().await;
    let toml = "[[fault]]\nname = \"down\"\noperation = \"me\"\ndo = { status = { code = 503 } }";
    let put = service.request(reqwest::Method::PUT, "/_emulator/faults").body(toml);
    assert_eq!(put.json_with(StatusCode::OK).await, json!({"faults": [{"name": "down", "fired": 0}]}));
    service.get("/me").json_with(StatusCode::SERVICE_UNAVAILABLE).await;
    let fired = service.get("/_emulator/faults").json_with(StatusCode::OK).await;
    assert_eq!(fired, json!({"faults": [{"name": "down", "fired": 1}]}));
    service.delete("/_emulator/faults").json_with(StatusCode::OK).await;
    service.get("/me").paid().json_with(StatusCode::OK).await;

    let json = r#"{"fault":[{"operation":"me","do":"lost-answer"}]}"#;
    let put = service.put("/_emulator/faults").typed_body("application/json", json);
    assert_eq!(put.json_with(StatusCode::OK).await["faults"][0]["name"], "lost-answer");
    let wrong = service.put("/_emulator/faults").body("[[fault]]\ndo = \"nothing\"");
    assert!(wrong.json_with(StatusCode::BAD_REQUEST).await["error"].as_str().unwrap().contains("line 2"));
}

#[tokio::test]
async fn the_journal_shows_requests_without_secrets() {
    let service = service().await;
    let file = service.upload("a.txt", b"hello", &[]).await;
    service.content_of(&file.path()).await;
    service.status_of(&file.path()).await;
    service.status_of("/_storage/nothing").await;
    let journal = service.get("/_emulator/journal").response().await.text().await.unwrap();
    assert!(!journal.contains("EMULATO-RKEY000"), "{journal}");
    let journal: serde_json::Value = serde_json::from_str(&journal).unwrap();
    let entries = journal["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 4, "requests to the control API are not recorded");
    let upload = &entries[0];
    assert_eq!((&upload["service"], &upload["operation"]), (&json!("fileio"), &json!("upload")));
    assert_eq!((&upload["status"], &upload["finished"]), (&json!(200), &json!(true)));
    assert_eq!(upload["headers"]["authorization"], "Bearer ***");
    assert!(upload["bytes_in"].as_u64().unwrap() > 5);
    let download = &entries[1];
    assert_eq!((&download["key"], &download["bytes_out"]), (&file["key"], &json!(5)));
    assert_eq!((&entries[2]["status"], &entries[3]["service"]), (&json!(404), &json!(null)));

    assert_eq!(service.delete("/_emulator/journal").response().await.status(), StatusCode::NO_CONTENT);
    assert!(service.emulator.journal().is_empty());
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let service = service_with(Options::default()).await;
    let path = service.share(b"a").await;
    service.set_faults("[[fault]]\noperation = \"me\"\ndo = \"lost-answer\"");
    service.emulator.clock().advance(crate::support::DAY).unwrap();
    assert_eq!(service.post("/_emulator/reset").response().await.status(), StatusCode::NO_CONTENT);
    assert!(service.emulator.journal().is_empty());
    assert!(service.emulator.clock().offset().is_zero());
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
    service.get("/me").paid().json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn the_status_page_escapes_requests() {
    let service = service().await;
    service.status_of("/%3Cscript%3E").await;
    service.raw("GET /<script> HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let response = service.get("/_emulator/").response().await;
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let page = response.text().await.unwrap();
    assert!(page.contains("Last requests") && !page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn another_site_cannot_use_the_control_api() {
    let service = service().await;
    for host in ["evil.example", "evil.example:80", "127.0.0.1:1", "localhost"] {
        let request = service.get("/_emulator/clock").header(HOST, host);
        assert_eq!(request.response().await.status(), StatusCode::FORBIDDEN, "{host}");
    }
    let port = service.emulator.addr().port();
    let host = format!("localhost:{port}");
    assert_eq!(service.get("/_emulator/clock").header(HOST, host).response().await.status(), StatusCode::OK);
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        let request = service.post("/_emulator/reset").header(ORIGIN, origin);
        assert_eq!(request.response().await.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let same = service.post("/_emulator/reset").header(ORIGIN, format!("http://127.0.0.1:{port}"));
    assert_eq!(same.response().await.status(), StatusCode::NO_CONTENT);
    let absolute = format!(
        "GET http://evil.example/_emulator/clock HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    );
    assert!(service.raw(&absolute).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_configured_token_is_required() {
    let service = service_with(Options { control_token: Some("secret".into()), ..Options::default() }).await;
    let rejected = service.get("/_emulator/").response().await;
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    assert!(rejected.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let wrong = service.get("/_emulator/").bearer_auth("secreT").response().await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    for request in
        [service.get("/_emulator/").bearer_auth("secret"), service.get("/_emulator/").basic_auth("me", Some("secret"))]
    {
        assert_eq!(request.response().await.status(), StatusCode::OK);
    }
    let file = service.upload("a.txt", b"a", &[]).await;
    assert_eq!(service.status_of(&file.path()).await, StatusCode::OK, "the services do not require the control token");
}

#[tokio::test]
async fn a_public_url_off_loopback_closes_the_control_api_without_a_token() {
    for (public_url, open) in [
        ("https://share.example.org", false),
        ("http://192.0.2.1:7070", false),
        ("http://[2001:db8::1]", false),
        ("http://localhost.example.org", false),
        ("http://localhost:8080", true),
        ("http://127.8.0.1", true),
        ("http://[::1]:8080", true),
    ] {
        let options = Options { public_url: Some(public_url.into()), ..Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        let here = format!("http://{}", emulator.addr());
        let client = Client::builder().no_proxy().build().unwrap();
        // By the listen address, which a proxy may put into `Host`.
        for path in ["/_emulator/", "/_emulator/clock", "/_emulator/journal"] {
            let response = client.get(format!("{here}{path}")).response().await;
            let (status, text) = (response.status(), response.text().await.unwrap());
            let expected = if open { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(status, expected, "{public_url}{path}");
            assert!(open || text.contains("--control-token"), "{text}");
        }
        let reset = client.post(format!("{here}/_emulator/reset")).response().await;
        assert_eq!(reset.status() == StatusCode::NO_CONTENT, open, "{public_url}");
        client.get(format!("{here}/me")).paid().json_with(StatusCode::OK).await;
    }
}

#[tokio::test]
async fn a_public_url_off_loopback_opens_the_control_api_only_with_the_token() {
    let options = Options {
        public_url: Some("https://share.example.org".into()),
        control_token: Some("secret".into()),
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    let clock = format!("http://{}/_emulator/clock", emulator.addr());
    let client = Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(&clock).response().await.status(), StatusCode::UNAUTHORIZED);
    client.get(&clock).bearer_auth("secret").json_with(StatusCode::OK).await;
    let proxied = client.get(&clock).header(HOST, "share.example.org").bearer_auth("secret");
    proxied.json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn an_unknown_control_route_is_not_found() {
    let service = service().await;
    service.get("/_emulator/other").json_with(StatusCode::NOT_FOUND).await;
    service.put("/_emulator/journal").json_with(StatusCode::NOT_FOUND).await;
}
