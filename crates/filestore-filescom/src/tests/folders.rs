use super::*;

#[tokio::test]
async fn a_folder_is_created_with_one_request() {
    let server = server_with([response(201, &folder("a/b"))]).await;
    assert!(store(&server).create_folder("a/b", true).await.unwrap());
    assert_eq!(received(&server).await, [r#"POST folders/a/b {"mkdir_parents":true}"#]);
}

#[tokio::test]
async fn an_existing_folder_is_no_error_but_an_existing_file_is() {
    let exists = || rejection(422, "processing-failure/destination-exists");
    let server = server_with([exists(), response(200, &folder("a"))]).await;
    assert!(!store(&server).create_folder("a", false).await.unwrap());
    assert_eq!(received(&server).await, ["POST folders/a {}", "GET file_actions/metadata/a"]);

    let server = server_with([exists(), response(200, &file("a"))]).await;
    let error = store(&server).create_folder("a", true).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::AlreadyExists, Effect::Rejected));
    assert!(error.to_string().contains("it is a file"), "{error}");
}

#[tokio::test]
async fn a_missing_parent_is_not_found() {
    let server = server_with([not_found()]).await;
    let error = store(&server).create_folder("a/b", false).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
}

#[tokio::test]
async fn the_root_itself_cannot_be_created() {
    let server = server_with([]).await;
    for path in ["", "/"] {
        let error = store(&server).create_folder(path, true).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    }
}

#[tokio::test]
async fn paths_are_below_the_root_of_the_store() {
    let server = server_with([response(201, &folder("invoices/2026"))]).await;
    let (store, _) = open(FilesComConfig::new(server.uri()).api_key(API_KEY).root("invoices"));
    store.create_folder("2026", false).await.unwrap();
    assert_eq!(received(&server).await, ["POST folders/invoices/2026 {}"]);
    assert_eq!(store.reference("2026/a b").unwrap().to_string(), ":filescom:invoices/2026/a%20b");
}

#[tokio::test]
async fn after_a_lost_response_an_existing_folder_counts_as_created() {
    let lost = || std::iter::repeat_n(filestore_http::testing::Reply::lost(), 4);
    let found = filestore_http::testing::Reply::json(200, &folder("a").to_string());
    let (store, _server) = copy_move::scripted(lost().chain([found])).await;
    assert!(store.create_folder("a", false).await.unwrap());
    let missing = filestore_http::testing::Reply::json(404, r#"{"type":"not-found"}"#);
    let (store, _server) = copy_move::scripted(lost().chain([missing])).await;
    let error = store.create_folder("a", false).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
}
