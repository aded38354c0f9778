//! Listings: pages, cursors, and recursive listings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use filestore_core::{Delete, Effect, ErrorKind, FileRef, FileStore, List, PageToken, Stat, Store, Upload};
use futures::TryStreamExt;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{
    API_KEY, file, folder, kind_and_effect, no_content, not_found, open, received, reference, rejection, response,
    server_with, store,
};
use crate::{Destination, FilesComConfig, Search};

fn page(entries: &[Value], cursor: Option<(&str, &str)>) -> ResponseTemplate {
    let response = response(200, &json!(entries));
    match cursor {
        Some((name, value)) => response.insert_header(name, value),
        None => response,
    }
}

#[tokio::test]
async fn a_page_has_the_files_the_folders_and_the_token_of_the_next_page() {
    let first = page(&[folder("in/b"), file("in/a.txt")], Some(("x-files-cursor", "c2:next:aW4+/==")));
    let server = server_with([first, page(&[file("in/z.txt")], None)]).await;
    let store = store(&server);
    let request = List::new().scope("in").limit(2);
    let one = store.list(request.clone()).await.unwrap();
    assert_eq!((one.files[0].reference.to_string(), one.folders), (":filescom:in/a.txt".into(), vec!["in/b".into()]));
    let stored = &one.files[0];
    assert_eq!((stored.digests[0].hex.as_str(), stored.digests.len()), ("001f2e3d", 2));
    assert_eq!(stored.content_type.as_deref(), Some("text/plain"));
    // The token is enough for another process; the page size belongs to it.
    let two = store.list(List::new().scope("in").page(one.next.unwrap())).await.unwrap();
    assert_eq!((two.files[0].name.as_str(), two.next), ("z.txt", None));
    assert_eq!(
        received(&server).await,
        ["GET folders/in?per_page=2", "GET folders/in?per_page=2&cursor=c2%3Anext%3AaW4%2B%2F%3D%3D"]
    );
}

#[tokio::test]
async fn a_page_has_the_date_of_the_last_response() {
    let first = page(&[file("in/a.txt")], Some(("x-files-cursor", "c2")));
    let last = page(&[file("in/b.txt")], None);
    let dated = |page: ResponseTemplate, date| page.insert_header("date", date);
    let responses = [dated(first, "Sun, 01 Mar 2026 10:00:00 GMT"), dated(last, "Sun, 01 Mar 2026 10:00:07 GMT")];
    let server = server_with(responses).await;
    let listed = store(&server).list(List::new().scope("in").limit(2)).await.unwrap();
    assert_eq!((listed.files.len(), listed.date), (2, Some("2026-03-01T10:00:07Z".parse().unwrap())));
}

#[tokio::test]
async fn the_documented_cursor_header_is_read_too_and_a_blank_cursor_is_ignored() {
    let server =
        server_with([page(&[], Some(("x-files-cursor-next", "n"))), page(&[file("a")], Some(("x-files-cursor", " ")))])
            .await;
    let store = Store::new("team", Arc::new(store(&server))).unwrap();
    let all: Vec<_> = store.list_all(List::new()).try_collect().await.unwrap();
    assert_eq!((all.len(), received(&server).await.len()), (1, 2));
    assert_eq!(received(&server).await[0], "GET folders?per_page=1000");
}

#[tokio::test]
async fn a_blank_cursor_does_not_hide_the_one_of_the_other_header() {
    let both = page(&[file("a")], Some(("x-files-cursor", " "))).insert_header("x-files-cursor-next", "n");
    let server = server_with([both, page(&[file("b")], None)]).await;
    let store = Store::new("team", Arc::new(store(&server))).unwrap();
    let all: Vec<_> = store.list_all(List::new()).try_collect().await.unwrap();
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn a_repeated_cursor_is_a_protocol_error() {
    let repeated = || page(&[], Some(("x-files-cursor", "c")));
    let server = server_with([repeated(), repeated()]).await;
    let store = Store::new("team", Arc::new(store(&server))).unwrap();
    let error = store.list_all(List::new()).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_loop_of_cursors_is_a_protocol_error_in_a_recursive_listing_without_files() {
    let server = MockServer::start().await;
    let to = |cursor| page(&[], Some(("x-files-cursor", cursor)));
    for (cursor, next) in [("a", "b"), ("b", "c"), ("c", "a")] {
        Mock::given(query_param("cursor", cursor)).respond_with(to(next)).mount(&server).await;
    }
    Mock::given(query_param_is_missing("cursor")).respond_with(to("a")).mount(&server).await;
    let error = store(&server).list(List::new().recursive(true)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    assert!(error.to_string().contains("does not end"), "{error}");
}

/// Responds to every request with these entries and a new cursor.
fn new_cursors(entries: &'static [&'static str]) -> impl Fn(&Request) -> ResponseTemplate {
    let number = AtomicU32::new(0);
    move |_: &Request| {
        let cursor = number.fetch_add(1, Ordering::Relaxed).to_string();
        let entries: Vec<_> = entries.iter().map(|path| file(path)).collect();
        page(&entries, Some(("x-files-cursor", cursor.as_str())))
    }
}

#[tokio::test]
async fn a_listing_of_endless_empty_pages_is_a_protocol_error() {
    for recursive in [false, true] {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(new_cursors(&[])).mount(&server).await;
        let store = Store::new("team", Arc::new(store(&server))).unwrap();
        let error = store.list_all(List::new().recursive(recursive)).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
        assert_eq!(received(&server).await.len(), 1001, "recursive: {recursive}");
    }
}

#[tokio::test]
async fn a_page_that_repeats_with_new_cursors_is_a_protocol_error() {
    for recursive in [false, true] {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(new_cursors(&["a", "b", "c", "d"])).mount(&server).await;
        let store = Store::new("team", Arc::new(store(&server))).unwrap();
        let list = List::new().recursive(recursive).limit(4);
        let error = store.list_all(list).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
        assert_eq!(received(&server).await.len(), 252, "recursive: {recursive}");
    }
}

#[tokio::test]
async fn a_page_with_more_entries_than_requested_is_a_protocol_error() {
    let three = || page(&[folder("a"), file("b"), file("c")], None);
    for recursive in [false, true] {
        let server = server_with([three(), three()]).await;
        let store = store(&server);
        let error = store.list(List::new().recursive(recursive).limit(2)).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
        assert!(error.message().contains("3 entries, but the request allows 2"), "{error}");
        let error = store.search(&Search::folder("").limit(2)).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    }
}

#[tokio::test]
async fn a_tree_whose_folders_never_end_is_a_protocol_error_before_it_fills_the_memory() {
    let server = MockServer::start().await;
    // Each folder has the folder `a`, which is listed first, and 999 others with long names.
    let tree = |request: &Request| {
        let parent = request.url.path().trim_start_matches("/api/rest/v1/folders").trim_start_matches('/');
        let name = |number| if number == 0 { "a".to_owned() } else { format!("{number}{}", "x".repeat(500)) };
        let paths = (0..1000).map(|number| format!("{parent}/{}", name(number)));
        page(&paths.map(|path| folder(path.trim_start_matches('/'))).collect::<Vec<_>>(), None)
    };
    Mock::given(method("GET")).respond_with(tree).mount(&server).await;
    let error = store(&server).list(List::new().recursive(true)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    assert!(error.message().contains("more than 16 MiB"), "{error}");
    assert_eq!(received(&server).await.len(), 32);
}

#[tokio::test]
async fn one_page_of_a_recursive_listing_reads_at_most_1000_folders() {
    let server = MockServer::start().await;
    let folders = |numbers: Range<u32>| numbers.map(|number| folder(&number.to_string())).collect::<Vec<_>>();
    let second = page(&folders(1000..1500), None);
    Mock::given(query_param("cursor", "c")).respond_with(second).mount(&server).await;
    let first = page(&folders(0..1000), Some(("x-files-cursor", "c")));
    Mock::given(path("/api/rest/v1/folders")).respond_with(first).mount(&server).await;
    Mock::given(method("GET")).respond_with(page(&[], None)).mount(&server).await;
    let store = store(&server);
    let list = List::new().recursive(true).limit(1000);
    let one = store.list(list.clone()).await.unwrap();
    assert_eq!((one.files.len(), received(&server).await.len()), (0, 1000));
    let two = store.list(list.page(one.next.unwrap())).await.unwrap();
    assert_eq!((two.next, received(&server).await.len()), (None, 1502));
}

#[tokio::test]
async fn a_response_that_is_not_a_list_of_entries_is_an_error_and_not_a_shorter_page() {
    let file = file("a").to_string();
    for body in [
        "null".to_owned(),
        "{}".to_owned(),
        file.clone(),
        format!("[{file},null]"),
        format!("[{file},"),
        format!("[{file}"),
        format!("[{file}] {file}"),
        format!("[{file},{{\"path\":7}}]"),
        String::new(),
    ] {
        let odd = ResponseTemplate::new(200).set_body_raw(body.clone(), "application/json");
        let server = server_with([odd.clone(), odd.clone(), page(&[folder("in")], None), odd]).await;
        let store = store(&server);
        let listed = [
            store.list(List::new()).await.map(|page| page.files.len()),
            store.search(&Search::default()).await.map(|page| page.entries.len()),
            store.list(List::new().recursive(true)).await.map(|page| page.files.len()),
        ];
        for listed in listed {
            assert_eq!(kind_and_effect(&listed.unwrap_err()), (ErrorKind::Protocol, Effect::Rejected), "{body}");
        }
    }
}

#[tokio::test]
async fn entries_that_no_reference_can_address_are_counted_and_those_of_another_folder_are_not() {
    let lost = (0..777).map(|number| file(&format!("in/lost\\{number}")));
    let entries: Vec<_> =
        [file("in/a"), folder("in/lost\\folder"), file("elsewhere/a")].into_iter().chain(lost).collect();
    let server = server_with([page(&entries, None), page(&[file("lost/../hit"), file("a")], None)]).await;
    let listed = store(&server).list(List::new().scope("in")).await.unwrap();
    assert_eq!((listed.files.len(), listed.folders.len(), listed.left_out), (1, 0, 778));
    let found = store(&server).search(&Search::default()).await.unwrap();
    assert_eq!((found.entries.len(), found.left_out), (1, 1));
}

#[tokio::test]
async fn files_with_names_that_the_service_rejects_for_new_ones_are_listed_read_moved_and_deleted() {
    let names = ["in/b ", "in/c\u{a0}", "in/d\u{200B}d", "in/a℀"];
    for name in names {
        let completed = response(201, &json!({"status": "completed"}));
        let found = || response(200, &file(name));
        let server = server_with([page(&[file(name)], None), found(), no_content(), found(), completed]).await;
        let store = store(&server);
        let listed = store.list(List::new().scope("in")).await.unwrap();
        assert_eq!((listed.files[0].name.as_str(), listed.left_out), (&name[3..], 0));
        let reference: FileRef = format!("team{}", listed.files[0].reference).parse().unwrap();
        assert_eq!(store.stat(Stat::from(reference.clone())).await.unwrap().name, name[3..]);
        store.delete(reference.clone().into()).await.unwrap();
        store.move_to(&reference, Destination::to("in/b")).await.unwrap();
        let rejected = [
            store.upload(Upload::new(&name[3..], "x").scope("in")).await.unwrap_err(),
            store.create_folder(name, true).await.unwrap_err(),
            store.copy(&reference, Destination::to(format!("{name}/x"))).await.unwrap_err(),
        ];
        for error in rejected {
            assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{name:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_folder_whose_name_the_service_rejects_does_not_end_a_recursive_listing() {
    let rejected = rejection(422, "bad-request/path-cannot-have-trailing-whitespace");
    let server = server_with([page(&[folder("a "), file("b")], None), rejected]).await;
    let listed = store(&server).list(List::new().recursive(true)).await.unwrap();
    assert_eq!((listed.files.len(), listed.left_out, listed.next), (1, 1, None));
    let server = server_with([rejection(422, "bad-request/invalid-path")]).await;
    let error = store(&server).list(List::new().scope("a ").recursive(true)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
}

/// Starts a service with a tree of folders, each listed in two pages of at most two entries.
async fn tree() -> MockServer {
    let server = MockServer::start().await;
    let tree: BTreeMap<&str, [Vec<Value>; 2]> = BTreeMap::from([
        ("", [vec![folder("a"), folder("B")], vec![file("x"), file("y")]]),
        ("a", [vec![folder("a/deep"), file("a/1")], vec![file("a/2")]]),
        ("a/deep", [vec![file("a/deep/3")], vec![]]),
        ("B", [vec![], vec![]]),
    ]);
    for (name, [first, second]) in tree {
        let url_path = format!("/api/rest/v1/folders{}{name}", if name.is_empty() { "" } else { "/" });
        let first = page(&first, Some(("x-files-cursor", "2")));
        Mock::given(method("GET"))
            .and(path(url_path.as_str()))
            .and(query_param_is_missing("cursor"))
            .respond_with(first)
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .and(path(url_path.as_str()))
            .and(query_param("cursor", "2"))
            .respond_with(page(&second, None))
            .mount(&server)
            .await;
    }
    server
}

#[tokio::test]
async fn a_recursive_listing_reads_every_folder_and_any_token_works_in_another_process() {
    let server = tree().await;
    let mut names = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut request = List::new().recursive(true).limit(2);
        request.page = token.map(PageToken::new);
        let page = store(&server).list(request).await.unwrap();
        assert!(page.files.len() <= 2 && page.folders.is_empty());
        names.extend(page.files.into_iter().map(|file| file.reference.components().join("/")));
        let Some(next) = page.next else { break };
        token = Some(next.to_string());
    }
    names.sort();
    assert_eq!(names, ["a/1", "a/2", "a/deep/3", "x", "y"]);
    // One page is read twice: the first page of the listing with `x` ends in the middle of it.
    assert_eq!(received(&server).await.len(), 9);
}

/// Starts a service with `count` files in the folder `in`, and their names as cursors.
async fn many_files(count: usize) -> MockServer {
    let server = MockServer::start().await;
    let respond = move |request: &Request| {
        let query: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
        let start = query.get("cursor").map_or(0, |cursor| cursor.split('-').next().unwrap().parse().unwrap());
        if let Some(cursor) = query.get("cursor") {
            assert_eq!(cursor.split('-').nth(1), Some(query["per_page"].as_str()), "the page size of a cursor");
        }
        let end = count.min(start + query["per_page"].parse::<usize>().unwrap());
        let files: Vec<_> = (start..end).map(|number| file(&format!("in/{number:04}"))).collect();
        let cursor = format!("{end}-{}", query["per_page"]);
        page(&files, (end < count).then_some(("x-files-cursor", cursor.as_str())))
    };
    Mock::given(path("/api/rest/v1/folders/in")).respond_with(respond).mount(&server).await;
    let root = page(&[folder("in"), file("first")], None);
    Mock::given(path("/api/rest/v1/folders")).respond_with(root).mount(&server).await;
    server
}

/// Lists everything page by page, with these limits in turn, and returns the sizes of the pages and the names.
async fn pages(server: &MockServer, list: List, limits: &[u32]) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut names) = (Vec::new(), Vec::new());
    let mut token: Option<String> = None;
    for limit in limits.iter().cycle() {
        let mut request = list.clone().limit(*limit);
        request.page = token.map(PageToken::new);
        let page = store(server).list(request).await.unwrap();
        sizes.push(page.files.len());
        names.extend(page.files.into_iter().map(|file| file.name));
        let Some(next) = page.next else { break };
        token = Some(next.to_string());
    }
    (sizes, names)
}

#[tokio::test]
async fn a_page_is_filled_up_to_its_limit_and_never_beyond() {
    let server = many_files(1500).await;
    let all: Vec<_> = (0..1500).map(|number| format!("{number:04}")).collect();
    for (limits, sizes) in [
        (&[1200][..], &[1200, 300][..]),
        (&[1500], &[1500]),
        (&[1499], &[1499, 1]),
        (&[10_000], &[1500]),
        (&[700, 1], &[700, 1, 700, 1, 98]),
        (&[10, 1490], &[10, 1490]),
    ] {
        let (found, names) = pages(&server, List::new().scope("in"), limits).await;
        assert_eq!(found, sizes, "{limits:?}");
        assert!(names == all, "{limits:?}");
        let (found, mut names) = pages(&server, List::new().recursive(true), limits).await;
        let full = found
            .iter()
            .zip(limits.iter().cycle())
            .take(found.len() - 1)
            .all(|(size, limit)| size == &(*limit as usize));
        assert!(full, "{limits:?}: {found:?}");
        assert_eq!(names.remove(0), "first");
        assert!(names == all, "{limits:?}");
    }
}

#[tokio::test]
async fn a_page_that_fills_its_limit_reads_no_page_of_the_service_twice() {
    let server = many_files(2400).await;
    pages(&server, List::new().scope("in"), &[1200]).await;
    assert_eq!(received(&server).await.len(), 4);
}

#[tokio::test]
async fn a_recursive_listing_without_a_limit_fills_its_page() {
    let server = tree().await;
    let page = store(&server).list(List::new().recursive(true)).await.unwrap();
    assert_eq!((page.files.len(), page.next), (5, None));
}

#[tokio::test]
async fn a_folder_that_is_deleted_during_a_listing_is_empty_but_a_missing_scope_is_not_found() {
    let server = server_with([page(&[folder("a"), file("x")], None), not_found()]).await;
    let page = store(&server).list(List::new().recursive(true)).await.unwrap();
    assert_eq!(page.files.len(), 1);
    let server = server_with([not_found()]).await;
    let error = store(&server).list(List::new().scope("none")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
}

#[tokio::test]
async fn scopes_are_below_the_root_of_the_store_in_any_case() {
    let server =
        server_with([page(&[folder("Invoices/2026"), file("Invoices/a"), file("Invoices/2026/deep")], None)]).await;
    let (store, _) = open(FilesComConfig::new(server.uri()).api_key(API_KEY).root("/invoices/"));
    let page = store.list(List::new()).await.unwrap();
    assert_eq!((page.folders, page.files.len()), (vec!["2026".to_owned()], 1));
    assert_eq!(page.files[0].reference.to_string(), ":filescom:Invoices/a");
    for outside in ["other/a", "invoices", "invoices-old/a"] {
        let error = store.stat(Stat::from(reference(outside))).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{outside}");
    }
    assert_eq!(received(&server).await, ["GET folders/invoices?per_page=1000"]);
}

#[tokio::test]
async fn a_token_that_is_not_from_this_store_or_not_known_to_the_service_is_invalid_input() {
    let server = server_with([rejection(422, "bad-request/invalid-cursor")]).await;
    let store = store(&server);
    for bad in ["", "x", "e30", "eyJuIjowLCJsIjpbXX0"] {
        let error = store.list(List::new().page(PageToken::new(bad))).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{bad}");
    }
    let stale = PageToken::new("eyJuIjoxMCwibCI6W3siZiI6IiIsImMiOnsiYyI6InN0YWxlIn19XX0");
    let error = store.list(List::new().page(stale)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
    assert!(error.to_string().contains("list from the beginning"), "{error}");
}

#[tokio::test]
async fn a_stat_returns_the_metadata_of_a_file_and_rejects_a_folder() {
    let server = server_with([response(200, &file("a b/ü.txt")), response(200, &folder("in")), not_found()]).await;
    let store = store(&server);
    let stored = store.stat(Stat::from(reference("a%20b/%C3%BC.txt"))).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.size), ("ü.txt", Some(9)));
    assert_eq!(received(&server).await, ["GET file_actions/metadata/a%20b/%C3%BC.txt"]);
    let error = store.stat(Stat::from(reference("in"))).await.unwrap_err();
    assert!(error.to_string().contains("in is a folder"), "{error}");
    let error = store.stat(Stat::from(reference("none"))).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.provider_code(), error.request_id()),
        (ErrorKind::NotFound, Some("not-found"), Some("0123456789abcdef"))
    );
}

#[tokio::test]
async fn a_file_has_the_spelling_of_the_service_whatever_spelling_was_requested() {
    let stored = file("Invoices/Résumé.txt");
    let server = server_with([response(200, &stored), response(200, &stored), response(200, &stored)]).await;
    let (store, _) = open(FilesComConfig::new(server.uri()).api_key(API_KEY).root("invoices"));
    let asked = reference("invoices/RESUME.TXT");
    let files = [
        store.stat(Stat::from(asked.clone())).await.unwrap(),
        store.update(&asked, crate::FilesComUpdate::new().priority_color("red")).await.unwrap(),
    ];
    for file in files {
        assert_eq!(file.reference.to_string(), ":filescom:Invoices/R%C3%A9sum%C3%A9.txt");
        assert_eq!(file.name, "Résumé.txt");
    }
    let spelled = store.stored_reference(&asked).await.unwrap();
    assert_eq!(spelled.to_string(), ":filescom:Invoices/R%C3%A9sum%C3%A9.txt");
}

#[tokio::test]
async fn a_delete_is_recursive_only_on_request_and_a_missing_file_is_no_error() {
    let server =
        server_with([no_content(), no_content(), not_found(), rejection(422, "processing-failure/folder-not-empty")])
            .await;
    let store = store(&server);
    store.delete(reference("a").into()).await.unwrap();
    store.delete(Delete::from(reference("in")).recursive(true)).await.unwrap();
    store.delete(reference("none").into()).await.unwrap();
    let error = store.delete(reference("in").into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
    let requests = received(&server).await;
    assert_eq!(requests[..2], ["DELETE files/a", "DELETE files/in?recursive=true"]);
}

#[tokio::test]
async fn a_field_of_an_unexpected_type_does_not_hide_the_other_files() {
    let mut odd = file("a");
    for field in
        ["type", "size", "mtime", "crc32", "md5", "mime_type", "custom_metadata", "permissions", "priority_color"]
    {
        odd[field] = json!([{"": 0}]);
    }
    let server = server_with([page(&[odd, file("b")], None)]).await;
    let listed = store(&server).list(List::new()).await.unwrap().files;
    assert_eq!(listed.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((listed[0].size, listed[0].modified, listed[0].digests.len()), (None, None, 0));
}

#[tokio::test]
async fn a_page_of_more_than_50000_entries_is_a_protocol_error() {
    let entries = vec![json!({"path": "a"}); 50_001];
    let server = server_with([page(&entries, None)]).await;
    assert_eq!(store(&server).list(List::new()).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_404_that_is_not_from_the_service_does_not_hide_a_folder() {
    let other = ResponseTemplate::new(404).set_body_string("gone");
    let server = server_with([page(&[folder("in")], None), other]).await;
    let error = store(&server).list(List::new().recursive(true)).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Rejected, "{error}");
}

#[tokio::test]
async fn a_201_without_a_path_in_response_to_a_get_is_a_protocol_error() {
    let server = server_with([response(201, &json!({}))]).await;
    let error = store(&server).stat(reference("a").into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
}
