//! Files.com lists: order, pages and filters.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{EmulatedSite, Rejected, emulated};
use crate::support::RequestExt;

/// Returns the names on a page, and the cursors of the next and the previous page.
async fn page(site: &EmulatedSite, query: &str) -> (Vec<String>, Option<String>, Option<String>) {
    let response: Response = site.get(&format!("/folders/dir?{query}")).response().await;
    assert_eq!(response.status(), StatusCode::OK);
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (next, prev) = (header("x-files-cursor"), header("x-files-cursor-prev"));
    assert_eq!(next, header("x-files-cursor-next"), "under both names");
    let entities: Vec<Value> = response.json().await.unwrap();
    (entities.iter().map(|entity| entity["display_name"].as_str().unwrap().to_owned()).collect(), next, prev)
}

fn escaped(cursor: &str) -> String {
    cursor.replace('+', "%2B").replace('/', "%2F").replace(':', "%3A")
}

async fn create_seven_entries(site: &EmulatedSite) {
    site.mkdir("dir/Sub 2").await;
    site.mkdir("dir/sub 1").await;
    for name in ["b", "A", "sync.go", "sync_test.go", "%C3%84a"] {
        site.upload(&format!("dir/{name}"), name.as_bytes()).await;
    }
}

const SEVEN: [&str; 7] = ["sub 1", "Sub 2", "A", "Äa", "b", "sync_test.go", "sync.go"];

#[tokio::test]
async fn folders_come_first_and_names_are_in_the_order_of_the_service() {
    let site = emulated().await;
    create_seven_entries(&site).await;
    let (names, next, prev) = page(&site, "").await;
    assert_eq!(names, SEVEN);
    assert_eq!((next, prev), (None, None));
    assert_eq!(site.list("").await, ["dir"], "direct children only");
    assert_eq!(site.list("dir/sub%201").await, Vec::<String>::new());
    assert_eq!(site.get("/folders/none").rejected(404).await, "not-found");
    assert_eq!(site.get("/folders/dir/b").rejected(404).await, "not-found");
}

#[tokio::test]
async fn pages_follow_each_other_in_both_directions() {
    let site = emulated().await;
    create_seven_entries(&site).await;
    let (first, next, prev) = page(&site, "per_page=3").await;
    assert_eq!((&first[..], prev), (&["sub 1", "Sub 2", "A"].map(str::to_owned)[..], None));
    let next = next.unwrap();
    assert!(next.starts_with("c2:next:"), "{next}");
    let (second, next, prev) = page(&site, &format!("per_page=3&page=2&cursor={}", escaped(&next))).await;
    assert_eq!(second, ["Äa", "b", "sync_test.go"]);
    let (third, end, before) = page(&site, &format!("per_page=3&cursor={}", escaped(&next.unwrap()))).await;
    assert_eq!((third, end), (vec!["sync.go".to_owned()], None));
    assert_eq!(page(&site, &format!("per_page=3&cursor={}", escaped(&before.unwrap()))).await.0, second);
    assert_eq!(page(&site, &format!("per_page=3&cursor={}", escaped(&prev.unwrap()))).await.0, first);
}

#[tokio::test]
async fn a_full_last_page_has_no_cursor() {
    let site = emulated().await;
    create_seven_entries(&site).await;
    assert_eq!(page(&site, "per_page=7").await.1, None);
    assert!(page(&site, "per_page=6").await.1.is_some());
}

#[tokio::test]
async fn a_page_continues_after_an_entry_that_was_deleted() {
    let site = emulated().await;
    create_seven_entries(&site).await;
    let (_, next, _) = page(&site, "per_page=3").await;
    site.api(reqwest::Method::DELETE, "/files/dir/A").response().await;
    let (names, ..) = page(&site, &format!("per_page=3&cursor={}", escaped(&next.unwrap()))).await;
    assert_eq!(names, ["Äa", "b", "sync_test.go"]);
}

#[tokio::test]
async fn a_cursor_is_valid_only_for_its_own_list() {
    let site = emulated().await;
    create_seven_entries(&site).await;
    site.mkdir("other").await;
    let cursor = escaped(&page(&site, "per_page=3").await.1.unwrap());
    for path in [
        format!("other?per_page=3&cursor={cursor}"),
        format!("dir?per_page=4&cursor={cursor}"),
        format!("dir?per_page=3&type=file&cursor={cursor}"),
        "dir?cursor=c2:next:AAAA".to_owned(),
        "dir?cursor=unknown".to_owned(),
    ] {
        assert_eq!(site.get(&format!("/folders/{path}")).rejected(422).await, "bad-request/invalid-cursor", "{path}");
    }
}

#[tokio::test]
async fn per_page_is_from_1_to_10000() {
    let site = emulated().await;
    for wrong in ["0", "10001", "-1"] {
        let rejected = site.get(&format!("/folders/?per_page={wrong}")).rejected(422).await;
        assert_eq!(rejected, "bad-request/request-params-invalid");
    }
    assert_eq!(site.get("/folders/?per_page=x").rejected(422).await, "bad-request");
    assert_eq!(site.get("/folders/?per_page=10000").response().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn lists_are_filtered_and_sorted() {
    let site = emulated().await;
    create_seven_entries(&site).await;
    let names = async |query: &str| page(&site, query).await.0;
    assert_eq!(names("type=folder").await, SEVEN[..2]);
    assert_eq!(names("type=file").await, SEVEN[2..]);
    let mut downwards = SEVEN;
    downwards[..2].reverse();
    downwards[2..].reverse();
    assert_eq!(names("sort_by[path]=desc").await, downwards);
    assert_eq!(names("sort_by%5Bsize%5D=desc&type=file&per_page=2").await, ["sync_test.go", "Äa"]);
    let cursor = page(&site, "sort_by[size]=desc&per_page=4").await.1.unwrap();
    let rest = names(&format!("sort_by[size]=desc&per_page=4&cursor={}", escaped(&cursor))).await;
    assert_eq!(rest, ["sync.go", "A", "b"]);
    assert_eq!(names("type=file&modified_at_datetime=2001-01-01T00:00:00Z").await.len(), 5);
    assert_eq!(names("type=file&modified_at_datetime=2999-01-01T00:00:00Z").await.len(), 0);
    for (query, kind) in [
        ("sort_by[name]=asc", "bad-request/invalid-sort-field"),
        ("sort_by[path]=up", "bad-request"),
        ("type=link", "bad-request"),
        ("modified_at_datetime=2001-01-01T00:00:00Z", "bad-request/request-params-invalid"),
        ("search=x&search_all=true", "bad-request/search-all-on-child-path"),
    ] {
        assert_eq!(site.get(&format!("/folders/dir?{query}")).rejected(422).await, kind, "{query}");
    }
}

#[tokio::test]
async fn a_search_includes_subfolders() {
    let site = emulated().await;
    site.upload("dir/below/Report 1.txt", b"x").await;
    site.upload("r%C3%A9port", b"x").await;
    site.upload("other", b"x").await;
    let found = site.list("?search=REPORT").await;
    assert_eq!(found.len(), 2);
    assert_eq!(site.list("dir?search=report").await, ["dir/below/Report 1.txt"]);
    site.api(reqwest::Method::PATCH, "/files/other")
        .json(&json!({"custom_metadata": {"k": "Needle"}}))
        .response()
        .await;
    assert_eq!(site.list("?search=needle&search_custom_metadata_key=k").await, ["other"]);
}
