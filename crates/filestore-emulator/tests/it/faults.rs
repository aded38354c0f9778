//! The faults, and their effects on a client.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{RequestExt, Service, ValueExt, service, service_with_faults};

/// Sends a raw `GET`, and returns the bytes until the connection ends and the way it ends.
async fn read_raw(service: &Service, path: &str) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut stream = service.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) => return (response, Ok(())),
            Ok(read) => response.extend_from_slice(&buffer[..read]),
            Err(error) => return (response, Err(error.kind())),
        }
    }
}

fn body_of(response: &[u8]) -> &[u8] {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    &response[end + 4..]
}

/// Returns `true` if a file still exists. The landing page that this requests counts no download.
async fn exists(service: &Service, path: &str) -> bool {
    service.status_of(&format!("/download{path}")).await == StatusCode::OK
}

#[tokio::test]
async fn latency_delays_a_response() {
    let service = service_with_faults("[[fault]]\noperation = \"me\"\ndo = { latency = { delay = \"150ms\" } }").await;
    let begin = Instant::now();
    service.get("/me").paid().json_with(StatusCode::OK).await;
    assert!(begin.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_status_can_contain_the_number_of_the_request() {
    let service = service_with_faults(
        r#"
        [[fault]]
        operation = "me"
        do = { status = { code = 200, text = "page {nth}", headers = { "X-Cursor" = "c{nth}" } } }
        "#,
    )
    .await;
    for number in 1..=3 {
        let response = service.get("/me").send().await.unwrap();
        assert_eq!(response.headers()["x-cursor"], format!("c{number}"));
        assert_eq!(response.text().await.unwrap(), format!("page {number}"));
    }
}

#[tokio::test]
async fn a_status_takes_the_place_of_the_service() {
    let service = service_with_faults(
        r#"
        [[fault]]
        operation = "download"
        times = 1
        do = { status = { code = 503, headers = { "Retry-After" = "2" } } }
        [[fault]]
        operation = "me"
        do = { status = { code = 418, text = "short and stout", headers = { "X-Pot" = "tea" } } }
        "#,
    )
    .await;
    let path = service.share(b"a").await;
    let response = service.get(&path).response().await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "2");
    assert!(response.text().await.unwrap().contains("\"code\":\"SERVICE_UNAVAILABLE\""));
    assert_eq!(service.content_of(&path).await, b"a", "nothing was consumed, and the rule fires only once");
    let response = service.get("/me").response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-pot"]), (418, &"tea".parse().unwrap()));
    assert_eq!(response.text().await.unwrap(), "short and stout");
}

#[tokio::test]
async fn html_responds_with_a_page() {
    let service = service_with_faults("[[fault]]\noperation = \"upload\"\ndo = { html = {} }").await;
    let response = service.post("/").form_file("a.txt", b"a", &[]).response().await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_redirect_leads_to_a_page_with_status_200() {
    let service = service_with_faults("[[fault]]\ndo = { redirect = {} }").await;
    let response = service.post("/?a=b").form_file("a.txt", b"a", &[]).response().await;
    assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
    let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
    assert_eq!(location, service.url("/_emulator/gone/?a=b"));
    let page = service.get("/_emulator/gone/?a=b").response().await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));

    service.set_faults("[[fault]]\ndo = { redirect = { code = 302, location = \"https://www.example.org{path}\" } }");
    let response = service.get("/Ab12Cd34Ef56").response().await;
    assert_eq!(response.headers()[LOCATION], "https://www.example.org/Ab12Cd34Ef56");
}

#[tokio::test]
async fn a_reset_at_the_request_consumes_nothing() {
    let service =
        service_with_faults("[[fault]]\ntimes = 1\noperation = \"download\"\ndo = { reset = { at = \"request\" } }")
            .await;
    let path = service.share(b"a").await;
    assert_eq!(read_raw(&service, &path).await, (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(service.content_of(&path).await, b"a");
}

#[tokio::test]
async fn a_reset_after_the_request_was_read_stores_nothing() {
    let service =
        service_with_faults("[[fault]]\noperation = \"upload\"\ndo = { reset = { at = \"request-body\" } }").await;
    assert!(service.post("/").paid().form_file("a.txt", &[0; 100_000], &[]).send().await.is_err());
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 0);
    let entry = &service.journaled("upload")[0];
    assert!(entry.bytes_in > 100_000 && entry.status.is_none(), "{entry:?}");
}

#[tokio::test]
async fn a_reset_after_the_headers_has_consumed_the_file() {
    let service =
        service_with_faults("[[fault]]\noperation = \"download\"\ndo = { reset = { at = \"headers\" } }").await;
    let path = service.share(b"hello").await;
    let (response, end) = read_raw(&service, &path).await;
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n") && body_of(&response).is_empty());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(!exists(&service, &path).await);
}

#[tokio::test]
async fn a_reset_in_the_body_comes_after_the_amount_in_the_rule() {
    let service =
        service_with_faults("[[fault]]\noperation = \"download\"\ndo = { reset = { at = \"body\", after = \"40%\" } }")
            .await;
    let path = service.share(b"0123456789").await;
    let (response, end) = read_raw(&service, &path).await;
    assert_eq!((body_of(&response), end), (&b"0123"[..], Err(ErrorKind::ConnectionReset)));
    assert!(!exists(&service, &path).await);
}

#[tokio::test]
async fn a_lost_answer_is_lost_after_the_request_is_processed() {
    let service = service_with_faults("[[fault]]\nnth = 1\ndo = \"lost-answer\"").await;
    assert!(service.post("/").paid().form_file("a.txt", b"a", &[]).send().await.is_err());
    service.set_faults("");
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 1);

    let path = service.share(b"b").await;
    service.set_faults("[[fault]]\noperation = \"download\"\ndo = \"lost-answer\"");
    assert_eq!(read_raw(&service, &path).await, (vec![], Err(ErrorKind::ConnectionReset)));
    assert!(!exists(&service, &path).await);
}

#[tokio::test]
async fn a_stalled_upload_is_not_read_further() {
    let service =
        service_with_faults("[[fault]]\noperation = \"upload\"\ndo = { stall-upload = { after = \"10%\" } }").await;
    let upload = service.post("/").paid().form_file("a.bin", &[0; 20_000_000], &[]);
    let upload = upload.timeout(Duration::from_millis(300)).send().await;
    assert!(upload.unwrap_err().is_timeout());
    assert!(service.journaled("upload")[0].bytes_in < 4_000_000);
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 0);
}

#[tokio::test]
async fn a_cut_upload_is_reset_and_stores_nothing() {
    let service =
        service_with_faults("[[fault]]\noperation = \"upload\"\ndo = { cut-upload = { after = 1000 } }").await;
    assert!(service.post("/").paid().form_file("a.bin", &[0; 8_000_000], &[]).send().await.is_err());
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 0);
}

#[tokio::test]
async fn a_stalled_download_stays_open_and_has_consumed_the_file() {
    let service =
        service_with_faults("[[fault]]\noperation = \"download\"\ndo = { stall-download = { after = 4 } }").await;
    let path = service.share(b"0123456789").await;
    let mut response = service.get(&path).response().await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "0123");
    let rest = tokio::time::timeout(Duration::from_millis(100), response.chunk()).await;
    assert!(rest.is_err(), "no bytes arrive, and the connection stays open");
    assert!(!exists(&service, &path).await);
}

#[tokio::test]
async fn a_cut_download_ends_early_and_counts() {
    let service =
        service_with_faults("[[fault]]\noperation = \"download\"\ndo = { cut-download = { after = 4 } }").await;
    let path = service.share(b"0123456789").await;
    let (response, end) = read_raw(&service, &path).await;
    let head = String::from_utf8_lossy(&response).into_owned();
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    assert_eq!((body_of(&response), end), (&b"0123"[..], Ok(())));
    assert!(!exists(&service, &path).await);
}

#[tokio::test]
async fn a_truncated_body_looks_complete() {
    let service =
        service_with_faults("[[fault]]\noperation = \"download\"\ndo = { truncate = { keep = \"30%\" } }").await;
    let path = service.share(b"0123456789").await;
    let response = service.get(&path).response().await;
    assert_eq!(response.headers()["content-length"], "3");
    assert_eq!(response.bytes().await.unwrap(), "012");
}

#[tokio::test]
async fn an_empty_body_looks_complete() {
    let service = service_with_faults("[[fault]]\ndo = \"empty-body\"").await;
    let response = service.post("/").form_file("a.txt", b"a", &[]).response().await;
    assert_eq!((response.status(), &response.headers()["content-length"]), (StatusCode::OK, &"0".parse().unwrap()));
    assert!(response.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_corrupt_body_differs_in_one_byte() {
    let service = service_with_faults("[[fault]]\noperation = \"download\"\ndo = { corrupt = { at = 100000 } }").await;
    let content = vec![0; 200_000];
    let path = service.share(&content).await;
    let got = service.content_of(&path).await;
    let different: Vec<_> = (0..content.len()).filter(|at| got[*at] != content[*at]).collect();
    assert_eq!(different, [100_000]);
}

#[tokio::test]
async fn an_upload_can_be_stored_truncated_or_corrupted() {
    let service =
        service_with_faults("[[fault]]\noperation = \"upload\"\ndo = { corrupt = { at = 1, of = \"request\" } }").await;
    let path = service.share(b"abc").await;
    assert_eq!(service.content_of(&path).await, [b'a', b'b' ^ 0xff, b'c']);
    service.set_faults("[[fault]]\noperation = \"upload\"\ndo = { truncate = { keep = 2, of = \"request\" } }");
    let file = service.upload("a.txt", b"abc", &[]).await;
    assert_eq!(file["size"], 2);
    assert_eq!(service.content_of(&file.path()).await, b"ab");
}

#[tokio::test]
async fn a_slow_body_is_slow_in_both_directions() {
    let service = service_with_faults(
        "[[fault]]\noperation = \"upload\"\ndo = { slow = { bytes_per_second = 100000, of = \"request\" } }\n\
         [[fault]]\noperation = \"download\"\ndo = { slow = { bytes_per_second = 100000 } }",
    )
    .await;
    let begin = Instant::now();
    let path = service.share(&[1; 20_000]).await;
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let begin = Instant::now();
    assert_eq!(service.content_of(&path).await, [1; 20_000]);
    assert!(begin.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_download_can_have_no_content_disposition() {
    let service = service_with_faults("[[fault]]\ndo = \"no-disposition\"").await;
    let path = service.share(b"a").await;
    assert!(!service.get(&path).response().await.headers().contains_key(CONTENT_DISPOSITION));
}

#[tokio::test]
async fn a_rate_limit_counts_each_caller_for_a_minute() {
    let service = service_with_faults(
        "[[fault]]\noperation = \"me\"\ndo = { rate-limit = { per_minute = 2, retry_after = \"seconds\" } }",
    )
    .await;
    for _ in 0..2 {
        service.get("/me").paid().json_with(StatusCode::OK).await;
    }
    let rejected = service.get("/me").paid().response().await;
    assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.headers()[RETRY_AFTER], "60");
    let error: serde_json::Value = rejected.json().await.unwrap();
    let expected = serde_json::json!({
        "success": false, "status": 429, "code": "TOO_MANY_REQUESTS", "message": "Too many requests",
        "help": service.url("/help/api/errors/TOO_MANY_REQUESTS"), "key": null,
    });
    assert_eq!(error, expected);
    service.get("/me").json_with(StatusCode::UNAUTHORIZED).await;
    service.emulator.clock().advance(Duration::from_secs(60)).unwrap();
    service.get("/me").paid().json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn a_rate_limit_can_have_retry_after_as_a_date() {
    let service =
        service_with_faults("[[fault]]\ndo = { rate-limit = { per_minute = 1, retry_after = \"date\" } }").await;
    service.get("/me").paid().json_with(StatusCode::OK).await;
    let rejected = service.get("/me").paid().response().await;
    let time = |name| httpdate::parse_http_date(rejected.headers()[name].to_str().unwrap()).unwrap();
    let wait = time(RETRY_AFTER).duration_since(time(DATE)).unwrap();
    // The second may change between the two.
    assert!(wait == Duration::from_secs(60) || wait == Duration::from_secs(59), "{wait:?}");
}

#[tokio::test]
async fn a_rule_fires_for_the_nth_request_that_it_matches() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[("maxDownloads", "9")]).await.path();
    let other = service.upload("b.txt", b"b", &[("maxDownloads", "9")]).await.path();
    service.set_faults(&format!(
        r#"
        [[fault]]
        name = "second and third read of one file"
        service = "fileio"
        operation = "download"
        key = "{}"
        do = {{ status = {{ code = 503 }} }}
        nth = 2
        [[fault]]
        operation = "download"
        nth = 5
        do = {{ status = {{ code = 500 }} }}
        "#,
        &path[1..]
    ));
    let mut statuses = Vec::new();
    for path in [&path, &other, &path, &path, &other, &other] {
        statuses.push(service.status_of(path).await.as_u16());
    }
    assert_eq!(statuses, [200, 200, 503, 200, 500, 200]);
    assert_eq!(service.journaled("download")[2].faults, ["second and third read of one file"]);
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_whatever_other_requests_there_are() {
    let rules = "seed = 7\n[[fault]]\noperation = \"me\"\nprobability = 0.5\ndo = { status = { code = 503 } }";
    let mut runs = Vec::new();
    for others in [0, 3] {
        let service = service_with_faults(rules).await;
        let mut statuses = Vec::new();
        for _ in 0..40 {
            for _ in 0..others {
                service.status_of("/Ab12Cd34Ef56").await;
            }
            statuses.push(service.get("/me").paid().response().await.status().as_u16());
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    let fired = runs[0].iter().filter(|status| **status == 503).count();
    assert!((8..=32).contains(&fired), "{fired} of 40");
}
