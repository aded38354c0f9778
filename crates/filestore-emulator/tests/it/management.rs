//! Updates, replacement and deletion of file.io files, which only their owner may do.

use std::fs;

use filestore_emulator::{FILEIO_API_KEY, Options};
use reqwest::header::{ALLOW, AUTHORIZATION};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{DAY, RequestExt, Service, ValueExt, service, service_with};

#[tokio::test]
async fn an_update_changes_the_fields_that_are_set_and_keeps_the_others() {
    let service = service().await;
    let file = service.upload("a.txt", b"a", &[("maxDownloads", "5"), ("expires", "1w")]).await;
    service.emulator.clock().advance(DAY).unwrap();
    let fields = [("title", "T"), ("description", "D"), ("expires", "2d")];
    let updated = service.patch(&file.path()).paid().form_fields(&fields).json_with(StatusCode::OK).await;
    assert_eq!((&updated["title"], &updated["description"]), (&json!("T"), &json!("D")));
    assert_eq!(updated["maxDownloads"], 5);
    assert_eq!((&updated["key"], &updated["created"]), (&file["key"], &file["created"]));
    assert!(updated.time("modified") > updated.time("created"));
    assert_eq!(updated.time("expires").duration_since(updated.time("modified")).as_hours(), 48, "from now");
}

#[tokio::test]
async fn an_update_can_be_json_or_a_form_or_nothing() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[("maxDownloads", "5")]).await.path();
    let json = r#"{"maxDownloads":7,"autoDelete":false,"title":null}"#;
    let updated = service.patch(&path).paid().typed_body("application/json", json).json_with(StatusCode::OK).await;
    assert_eq!((&updated["maxDownloads"], &updated["autoDelete"]), (&json!(7), &json!(false)));
    let form = service.patch(&path).paid().typed_body("application/x-www-form-urlencoded", "maxDownloads=8");
    assert_eq!(form.json_with(StatusCode::OK).await["maxDownloads"], 8);
    let unchanged = service.patch(&path).paid().json_with(StatusCode::OK).await;
    assert_eq!(unchanged["maxDownloads"], 8);
    service.patch(&path).paid().body("raw").json_with(StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn an_update_with_a_file_replaces_the_content_under_the_same_key() {
    let service = service().await;
    let path = service.upload("a.txt", b"old", &[("maxDownloads", "2")]).await.path();
    assert_eq!(service.content_of(&path).await, b"old");
    let updated = service.patch(&path).paid().form_file("b.bin", b"newer", &[]).json_with(StatusCode::OK).await;
    assert_eq!((&updated["name"], &updated["size"]), (&json!("b.bin"), &json!(5)));
    assert_eq!((&updated["downloads"], &updated["maxDownloads"]), (&json!(0), &json!(2)));
    assert_eq!(service.content_of(&path).await, b"newer");
}

#[tokio::test]
async fn a_replacement_resets_fields_that_are_not_set_to_their_defaults() {
    let service = service().await;
    let fields = [("maxDownloads", "5"), ("autoDelete", "false"), ("title", "T")];
    let path = service.upload("a.txt", b"old", &fields).await.path();
    let replaced =
        service.put(&path).paid().form_file("b.txt", b"new", &[("expires", "1d")]).json_with(StatusCode::OK).await;
    assert_eq!((&replaced["maxDownloads"], &replaced["autoDelete"]), (&json!(1), &json!(true)));
    assert_eq!((&replaced["name"], &replaced["title"]), (&json!("b.txt"), &Value::Null));
    assert_eq!(service.content_of(&path).await, b"new");
}

#[tokio::test]
async fn a_replacement_without_file_is_rejected_and_changes_nothing() {
    let service = service().await;
    let path = service.upload("a.txt", b"old", &[]).await.path();
    let rejected = service.put(&path).paid().form_fields(&[("expires", "1d")]).json_with(StatusCode::BAD_REQUEST).await;
    assert_eq!(rejected["key"], path[1..]);
    assert_eq!(service.content_of(&path).await, b"old");
}

#[tokio::test]
async fn a_second_delete_of_a_file_is_not_found() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[]).await.path();
    let deleted = service.delete(&path).paid().json_with(StatusCode::OK).await;
    assert_eq!(deleted, json!({"success": true, "status": 200, "key": path[1..]}));
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
    service.delete(&path).paid().json_with(StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn an_id_can_stand_for_the_key_in_updates_replacements_and_deletes() {
    let service = service().await;
    let file = service.upload("a.txt", b"a", &[]).await;
    let by_id = format!("/{}", file["id"].as_str().unwrap());
    service.patch(&by_id).paid().form_fields(&[("title", "T")]).json_with(StatusCode::OK).await;
    service.put(&by_id).paid().form_file("b.txt", b"b", &[]).json_with(StatusCode::OK).await;
    service.delete(&by_id).paid().json_with(StatusCode::OK).await;
    assert_eq!(service.status_of(&file.path()).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn managing_needs_a_key_and_a_wrong_key_does_not_show_which_files_exist() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[]).await.path();
    for target in [path.as_str(), "/000000000000"] {
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            service.request(method.clone(), target).json_with(StatusCode::UNAUTHORIZED).await;
            let wrong = service.request(method, target).header(AUTHORIZATION, "Bearer WRONG");
            wrong.json_with(StatusCode::UNAUTHORIZED).await;
        }
    }
    service.get("/").json_with(StatusCode::UNAUTHORIZED).await;
    service.get("/me").json_with(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn an_anonymous_uploader_manages_its_own_file_for_a_day() {
    let service = service().await;
    let response = service.post("/").form_file("a.txt", b"a", &[]).response().await;
    let token = response.headers()["x-file-io-anonymous-access-token"].to_str().unwrap().to_owned();
    let path = response.json::<Value>().await.unwrap().path();
    let other = service.share(b"b").await;

    let patch =
        service.patch(&path).bearer_auth(&token).typed_body("application/json", r#"{"title":"T","expires":"2M"}"#);
    assert_eq!(patch.json_with(StatusCode::OK).await["title"], "T");
    service
        .patch(&path)
        .bearer_auth(&token)
        .form_fields(&[("maxDownloads", "2")])
        .json_with(StatusCode::PAYMENT_REQUIRED)
        .await;
    service.delete(&other).bearer_auth(&token).json_with(StatusCode::UNAUTHORIZED).await;
    service.delete(&path).paid().json_with(StatusCode::FORBIDDEN).await;
    service.get("/").bearer_auth(&token).json_with(StatusCode::UNAUTHORIZED).await;

    service.emulator.clock().advance(DAY).unwrap();
    service.delete(&path).bearer_auth(&token).json_with(StatusCode::UNAUTHORIZED).await;
}

/// Starts an emulator with two accounts, one on each plan, with small limits, and without anonymous uploads.
async fn two_accounts() -> Service {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("users.toml");
    fs::write(
        &credentials,
        r#"
        [fileio]
        anonymous = { uploads = false }
        [[fileio.accounts]]
        name = "free"
        api_key = "FREE"
        plan = "free"
        max_upload_bytes = 10
        [[fileio.accounts]]
        name = "paid"
        api_key = "PAID"
        plan = "paid"
        max_storage_bytes = 25
        "#,
    )
    .unwrap();
    service_with(Options { credentials: Some(credentials), ..Options::default() }).await
}

#[tokio::test]
async fn a_credentials_file_replaces_the_fixed_users() {
    let service = two_accounts().await;
    service.get("/me").bearer_auth("PAID").json_with(StatusCode::OK).await;
    service.get("/me").bearer_auth(FILEIO_API_KEY).json_with(StatusCode::UNAUTHORIZED).await;
    service.post("/").form_file("a.txt", b"a", &[]).json_with(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn an_account_sees_and_changes_its_own_files_only() {
    let service = two_accounts().await;
    let file = service.post("/").bearer_auth("PAID").form_file("a.txt", b"a", &[]).json_with(StatusCode::OK).await;
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let rejected = service.request(method, &file.path()).bearer_auth("FREE");
        assert_eq!(rejected.json_with(StatusCode::FORBIDDEN).await["code"], "FORBIDDEN");
    }
    assert_eq!(service.get("/").bearer_auth("FREE").json_with(StatusCode::OK).await["count"], 0);
    assert_eq!(service.get("/").bearer_auth("PAID").json_with(StatusCode::OK).await["count"], 1);
}

#[tokio::test]
async fn an_account_on_the_free_plan_has_its_limits() {
    let service = two_accounts().await;
    let rejected = service.post("/").bearer_auth("FREE").form_file("a.txt", b"a", &[("maxDownloads", "2")]);
    rejected.json_with(StatusCode::PAYMENT_REQUIRED).await;
    let me = service.get("/me").bearer_auth("FREE").json_with(StatusCode::OK).await;
    assert_eq!((&me["planId"], &me["maxUploadBytes"], &me["directDownload"]), (&json!(0), &json!(10), &json!(0)));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_rejected() {
    let service = two_accounts().await;
    let largest = service.post("/").bearer_auth("FREE").form_file("a.txt", &[0; 10], &[]);
    largest.json_with(StatusCode::OK).await;
    let larger = service.post("/").bearer_auth("FREE").form_file("a.txt", &[0; 11], &[]);
    assert_eq!(larger.json_with(StatusCode::PAYLOAD_TOO_LARGE).await["code"], "PAYLOAD_TOO_LARGE");
    let much_larger = service.post("/").bearer_auth("FREE").form_file("a.txt", &[0; 8_000_000], &[]);
    much_larger.json_with(StatusCode::PAYLOAD_TOO_LARGE).await;
}

#[tokio::test]
async fn a_full_account_stores_nothing_until_it_has_room() {
    let service = two_accounts().await;
    let path =
        service.post("/").bearer_auth("PAID").form_file("a.txt", &[0; 20], &[]).json_with(StatusCode::OK).await.path();
    service
        .post("/")
        .bearer_auth("PAID")
        .form_file("b.txt", &[0; 6], &[])
        .json_with(StatusCode::PAYMENT_REQUIRED)
        .await;
    service
        .put(&path)
        .bearer_auth("PAID")
        .form_file("a.txt", &[0; 26], &[])
        .json_with(StatusCode::PAYMENT_REQUIRED)
        .await;
    service.put(&path).bearer_auth("PAID").form_file("a.txt", &[0; 5], &[]).json_with(StatusCode::OK).await;
    service.post("/").bearer_auth("PAID").form_file("b.txt", &[0; 20], &[]).json_with(StatusCode::OK).await;
    let me = service.get("/me").bearer_auth("PAID").json_with(StatusCode::OK).await;
    assert_eq!((&me["usedStorageBytes"], &me["maxStorageBytes"]), (&json!(25), &json!(25)));
}

#[tokio::test]
async fn me_shows_the_plan() {
    let service = service().await;
    service.upload("a.txt", b"hello", &[]).await;
    let me = service.get("/me").paid().json_with(StatusCode::OK).await;
    let expected = json!({
        "success": true, "status": 200, "planId": 1, "maxUploadBytes": 10_737_418_240_u64,
        "maxStorageBytes": 2_199_023_255_552_u64, "usedStorageBytes": 5, "rateLimit": 60, "directDownload": 1,
        "customDomain": null, "paymentCustomerId": null, "paymentSubscriptionId": null,
    });
    assert_eq!(me, expected);
}

#[tokio::test]
async fn a_key_is_accepted_in_the_four_forms_that_clients_send() {
    let service = service().await;
    let plain = service.get("/me").header(AUTHORIZATION, FILEIO_API_KEY);
    let user = service.get("/me").basic_auth(FILEIO_API_KEY, Some(""));
    let password = service.get("/me").basic_auth("Authorization", Some(FILEIO_API_KEY));
    for request in [service.get("/me").paid(), plain, user, password] {
        request.json_with(StatusCode::OK).await;
    }
}

#[tokio::test]
async fn an_invalid_method_is_rejected_with_the_allowed_ones() {
    let service = service().await;
    for (method, path) in
        [(Method::PUT, "/?expires=1d"), (Method::DELETE, "/me"), (Method::POST, "/Ab12Cd34Ef56"), (Method::TRACE, "/")]
    {
        let response = service.request(method.clone(), path).response().await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(response.headers()[ALLOW].to_str().unwrap().contains("GET"));
    }
}

#[tokio::test]
async fn paths_of_no_service_are_not_found() {
    let service = service().await;
    for path in ["/a/b", "/v1/files/x", "/time/x", "/f/abc", "/_storage/pubnub/x", "/download", "//"] {
        assert_eq!(service.status_of(path).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_use_the_api() {
    let service = service().await;
    let preflight = service.request(Method::OPTIONS, "/").header("Origin", "https://example.org").response().await;
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("Authorization"));
    for response in [service.get("/me").response().await, service.get("/me").paid().response().await] {
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn the_help_page_that_errors_link_to_exists() {
    let service = service().await;
    let error = service.get("/000000000000").json_with(StatusCode::NOT_FOUND).await;
    let help = error["help"].as_str().unwrap().strip_prefix(service.emulator.url()).unwrap().to_owned();
    assert!(service.get(&help).response().await.text().await.unwrap().contains("FILE_NOT_FOUND"));
}
