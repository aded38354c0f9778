//! Fault rules that change the behavior of file.io to what it was, or may have been, at other times.

use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{RequestExt, ValueExt, service_with_faults};

#[tokio::test]
async fn the_first_generation_has_its_own_responses() {
    let service = service_with_faults("[[fault]]\ndo = \"gen1\"").await;
    for (expires, expiry) in
        [("", "14 days"), ("?expires=1w", "7 days"), ("?expires=1m", "1 month"), ("?expires=3", "3 days")]
    {
        let file = service.post(&format!("/{expires}")).form_file("a.txt", b"a", &[]).json_with(StatusCode::OK).await;
        let key = file["key"].as_str().unwrap();
        assert_eq!(key.len(), 6);
        assert_eq!(file, json!({"success": true, "key": key, "link": service.url(&file.path()), "expiry": expiry}));
        service.content_of(&file.path()).await;
        let error = service.get(&file.path()).json_with(StatusCode::NOT_FOUND).await;
        assert_eq!(error, json!({"success": false, "error": 404, "message": "Not Found"}));
    }
}

#[tokio::test]
async fn the_landing_mode_redirects_browsers_to_a_page() {
    let service = service_with_faults("[[fault]]\ndo = \"landing\"").await;
    let path = service.share(b"hello").await;
    let browser = || service.get(&path).header(ACCEPT, "text/html,application/xhtml+xml");
    let response = browser().response().await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()[LOCATION], service.url(&format!("/download{path}")));
    let page = service.get(&format!("/download{path}")).response().await.text().await.unwrap();
    assert!(page.contains(&format!("href=\"{path}/dwnld\"")), "{page}");
    let direct = service.get(&format!("{path}/dwnld")).header(ACCEPT, "text/html").response().await;
    assert_eq!(direct.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn head_can_consume_or_be_rejected() {
    let service = service_with_faults("[[fault]]\ndo = { head = \"consume\" }").await;
    let path = service.share(b"hello").await;
    assert_eq!(service.request(Method::HEAD, &path).response().await.status(), StatusCode::OK);
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);

    service.set_faults("[[fault]]\ndo = { head = \"reject\" }");
    let path = service.share(b"hello").await;
    assert_eq!(service.request(Method::HEAD, &path).response().await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(service.content_of(&path).await, b"hello");
}

#[tokio::test]
async fn a_download_can_count_only_when_it_is_complete() {
    let service = service_with_faults("[[fault]]\ndo = \"count-at-completion\"").await;
    let content = vec![9; 20_000_000];
    let path = service.share(&content).await;
    let mut aborted = service.get(&path).response().await;
    aborted.chunk().await.unwrap();
    drop(aborted);
    assert!(service.content_of(&path).await == content, "the first download was not complete");
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);

    let empty = service.share(b"").await;
    assert_eq!(service.content_of(&empty).await, b"");
    assert_eq!(service.status_of(&empty).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rule_can_give_all_callers_a_plan() {
    let service = service_with_faults("[[fault]]\ndo = { plan = \"paid\" }").await;
    let file = service.post("/").form_file("a.txt", b"a", &[("maxDownloads", "2")]).json_with(StatusCode::OK).await;
    assert_eq!((&file["maxDownloads"], &file["planId"]), (&json!(2), &json!(1)));
    service.set_faults("[[fault]]\ndo = { plan = \"free\" }");
    let rejected = service.post("/").paid().form_file("a.txt", b"a", &[("maxDownloads", "2")]);
    rejected.json_with(StatusCode::PAYMENT_REQUIRED).await;
    assert_eq!(service.get("/me").paid().json_with(StatusCode::OK).await["planId"], 0);
}

#[tokio::test]
async fn values_beyond_the_plan_can_be_reduced_instead_of_rejected() {
    let service = service_with_faults("[[fault]]\ndo = \"clamp\"").await;
    let fields = [("maxDownloads", "5"), ("autoDelete", "false"), ("expires", "3y")];
    let file = service.post("/").form_file("a.txt", b"a", &fields).json_with(StatusCode::OK).await;
    assert_eq!((&file["maxDownloads"], &file["autoDelete"]), (&json!(1), &json!(true)));
    let days = file.time("expires").duration_since(file.time("created")).as_hours() / 24;
    assert!((365..=366).contains(&days), "{days}");
}

#[tokio::test]
async fn a_dead_service_responds_to_all_requests_with_its_status() {
    for code in [405, 410] {
        let service =
            service_with_faults(&format!("[[fault]]\ndo = {{ html = {{ code = {code}, text = \"Gone\" }} }}")).await;
        for response in
            [service.get("/me").response().await, service.post("/").form_file("a", b"a", &[]).response().await]
        {
            assert_eq!(response.status(), code);
        }
    }
}
