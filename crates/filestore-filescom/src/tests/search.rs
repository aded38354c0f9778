use filestore_core::PageToken;

use super::*;
use crate::{EntryType, Search, SortBy};

#[tokio::test]
async fn a_search_sends_only_the_fields_that_are_set() {
    let server = server_with([response(200, &json!([])), response(200, &json!([])), response(200, &json!([]))]).await;
    let store = store(&server);
    store.search(&Search::default()).await.unwrap();
    let all = Search::folder("a b")
        .text("q3")
        .metadata_key("project")
        .only(EntryType::File)
        .modified_after("2026-03-01T10:00:00Z".parse::<Timestamp>().unwrap())
        .descending(SortBy::Size)
        .limit(10)
        .page(PageToken::new("c2:next:x+/"));
    store.search(&all).await.unwrap();
    store.search(&Search::default().text("x").everywhere()).await.unwrap();
    assert_eq!(
        received(&server).await,
        [
            "GET folders?per_page=1000",
            "GET folders/a%20b?per_page=10&cursor=c2%3Anext%3Ax%2B%2F&search=q3&search_custom_metadata_key=project\
             &type=file&modified_at_datetime=2026-03-01T10%3A00%3A00Z&sort_by%5Bsize%5D=desc",
            "GET folders?per_page=1000&search=x&search_all=true",
        ]
    );
}

#[tokio::test]
async fn files_and_folders_have_their_paths_below_the_root() {
    let entries = json!([folder("Invoices/2026"), file("invoices/2026/q3.pdf"), file("elsewhere/x")]);
    let server = server_with([response(200, &entries).insert_header("x-files-cursor", "c2:next:y")]).await;
    let (store, _) = open(FilesComConfig::new(server.uri()).api_key(API_KEY).root("invoices"));
    let page = store.search(&Search::default().text("q")).await.unwrap();
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.entry_type, entry.path.as_str())).collect();
    assert_eq!(found, [(EntryType::Folder, "2026"), (EntryType::File, "2026/q3.pdf")]);
    assert_eq!(page.entries[1].file.size, Some(9));
    assert_eq!(page.entries[1].permissions, "lrwd");
    assert_eq!(page.next, Some(PageToken::new("c2:next:y")));
}

#[tokio::test]
async fn a_limit_of_0_and_combinations_that_the_service_does_not_support_are_not_sent() {
    let server = server_with([]).await;
    let (rooted, _) = open(FilesComConfig::new(server.uri()).api_key(API_KEY).root("invoices"));
    let since = Search::default().modified_after("2026-03-01T10:00:00Z".parse::<Timestamp>().unwrap());
    let rejected = [
        store(&server).search(&Search::default().limit(0)).await,
        store(&server).search(&since).await,
        store(&server).search(&Search::default().limit(0)).await,
        store(&server).search(&Search::folder("a").everywhere()).await,
        rooted.search(&Search::default().everywhere()).await,
    ];
    for result in rejected {
        assert_eq!(kind_and_effect(&result.unwrap_err()), (ErrorKind::InvalidInput, Effect::NotSent));
    }
}

#[tokio::test]
async fn an_unknown_token_is_invalid_input() {
    let server = server_with([rejection(422, "bad-request/invalid-cursor")]).await;
    let error = store(&server).search(&Search::default().page(PageToken::new("x"))).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
}
