//! The list of an account's files.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{RequestExt, Service, service};

/// Starts an emulator and uploads four files, in this order, one second apart.
async fn four_files() -> Service {
    let service = service().await;
    for (name, size) in [("b.txt", 3), ("Report.pdf", 1), ("a.txt", 2), ("report-2.pdf", 4)] {
        service.upload(name, &vec![0; size], &[("title", "quarterly")]).await;
        service.emulator.clock().advance(Duration::from_secs(1)).unwrap();
    }
    service
}

async fn list(service: &Service, query: &str) -> Value {
    service.get(&format!("/{query}")).paid().json_with(StatusCode::OK).await
}

fn names(list: &Value) -> Vec<&str> {
    list["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn files_are_listed_newest_first_under_both_names() {
    let service = four_files().await;
    let list = list(&service, "").await;
    assert_eq!(names(&list), ["report-2.pdf", "a.txt", "Report.pdf", "b.txt"]);
    assert_eq!(list["files"], list["nodes"]);
    assert_eq!((&list["count"], &list["size"]), (&json!(4), &json!(10)));
    assert_eq!(list["screeningStatus"], "passed");
    assert_eq!(list["nodes"][0]["screeningStatus"], "passed");
    assert!(list["nodes"][0].get("success").is_none());
}

#[tokio::test]
async fn a_search_looks_at_file_names_only() {
    let service = four_files().await;
    assert_eq!(names(&list(&service, "?search=report").await), ["report-2.pdf", "Report.pdf"]);
    assert_eq!(names(&list(&service, "?search=quarterly").await), [""; 0]);
}

#[tokio::test]
async fn files_are_sorted_by_a_field_up_or_down() {
    let service = four_files().await;
    for (sort, expected) in [
        ("name", ["Report.pdf", "a.txt", "b.txt", "report-2.pdf"]),
        ("name:desc", ["report-2.pdf", "b.txt", "a.txt", "Report.pdf"]),
        ("size", ["Report.pdf", "a.txt", "b.txt", "report-2.pdf"]),
        ("created:asc", ["b.txt", "Report.pdf", "a.txt", "report-2.pdf"]),
        ("expires:asc", ["b.txt", "Report.pdf", "a.txt", "report-2.pdf"]),
    ] {
        assert_eq!(names(&list(&service, &format!("?sort={sort}")).await), expected, "{sort}");
    }
}

#[tokio::test]
async fn the_pages_together_are_the_whole_list() {
    let service = four_files().await;
    let first = list(&service, "?offset=0&limit=3").await;
    let second = list(&service, "?offset=3&limit=3").await;
    assert_eq!(names(&first), ["report-2.pdf", "a.txt", "Report.pdf"]);
    assert_eq!(names(&second), ["b.txt"]);
    assert_eq!((&first["count"], &first["size"]), (&json!(4), &json!(10)), "count and size are of the whole list");
    assert_eq!(names(&list(&service, "?offset=9").await), [""; 0]);
}

#[tokio::test]
async fn empty_values_are_absent_and_the_first_of_two_values_counts() {
    let service = four_files().await;
    assert_eq!(list(&service, "?search=&sort=&offset=&limit=").await["nodes"].as_array().unwrap().len(), 4);
    assert_eq!(list(&service, "?limit=1&limit=2").await["nodes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_query_is_rejected() {
    let service = service().await;
    for query in ["limit=0", "limit=-1", "limit=x", "offset=-1", "sort=color", "sort=name:up"] {
        service.get(&format!("/?{query}")).paid().json_with(StatusCode::BAD_REQUEST).await;
    }
}

#[tokio::test]
async fn files_that_are_gone_are_not_listed() {
    let service = four_files().await;
    service.emulator.clock().advance(Duration::from_secs(14 * 24 * 3600 - 3)).unwrap();
    assert_eq!(names(&list(&service, "").await), ["report-2.pdf", "a.txt"]);
}

#[tokio::test]
async fn a_browser_without_key_sees_a_page_and_a_client_an_error() {
    let service = service().await;
    let page = service.get("/").header("Accept", "text/html").response().await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    service.get("/").json_with(StatusCode::UNAUTHORIZED).await;
}
