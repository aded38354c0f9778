//! Files.com access: API keys, sessions, permissions and share links.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fs;
use std::time::Duration;

use filestore_emulator::{Emulator, FILESCOM_PASSWORD, FILESCOM_USER, Options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{EmulatedSite, Rejected, emulated, site_with};
use crate::support::{RequestExt, Service};

const USERS: &str = r#"
    [[filescom.users]]
    name = "admin"
    api_key = "adminkey"
    [[filescom.users]]
    name = "careful"
    password = "right"
    otp = "123456"
    [[filescom.users]]
    name = "reader"
    api_key = "readerkey"
    permissions = "lr"
    [[filescom.users]]
    name = "client"
    api_key = "clientkey"
    password = "client"
    path = "Clients/Acme"
"#;

async fn site_of(key: &str) -> EmulatedSite {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.toml");
    fs::write(&file, USERS).unwrap();
    let site = site_with(Options { credentials: Some(file), ..Options::default() }).await;
    EmulatedSite { key: key.to_owned(), ..site }
}

#[tokio::test]
async fn invalid_users_are_rejected_at_the_start() {
    for (user, problem) in [
        ("name = \"a\"", "needs a `password`"),
        ("name = \"a\"\napi_key = \"not-a-key\"", "letters and digits"),
        ("name = \"a\"\napi_key = \"k\"\npermissions = \"rx\"", "letters of `lrwd`"),
        ("name = \"a\"\napi_key = \"k\"\notp = \"1\"", "an `otp` but no `password`"),
        ("name = \"a\"\napi_key = \"k\"\npath = \"a \"", "not a valid path"),
        ("name = \"\"\napi_key = \"k\"", "`name` is empty"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials.toml");
        fs::write(&file, format!("[[filescom.users]]\n{user}\n")).unwrap();
        let started = Emulator::start(Options { credentials: Some(file), ..Options::default() }).await;
        let error = std::error::Error::source(&started.unwrap_err()).unwrap().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

fn login(site: &EmulatedSite, body: Value) -> reqwest::RequestBuilder {
    site.open(Method::POST, "/sessions").json(&body)
}

async fn session(site: &EmulatedSite) -> String {
    let body = json!({"username": FILESCOM_USER, "password": FILESCOM_PASSWORD});
    let session = login(site, body).json_with(StatusCode::CREATED).await;
    session["id"].as_str().unwrap().to_owned()
}

fn as_session(site: &EmulatedSite, method: Method, path: &str, id: &str) -> reqwest::RequestBuilder {
    site.open(method, path).header("X-FilesAPI-Auth", id)
}

#[tokio::test]
async fn a_request_needs_a_valid_credential() {
    let site = emulated().await;
    let root = "/folders/";
    assert_eq!(site.open(Method::GET, root).rejected(401).await, "not-authenticated/authentication-required");
    let wrong = site.open(Method::GET, root).header("X-FilesAPI-Key", "wrong");
    assert_eq!(wrong.rejected(401).await, "not-authenticated/invalid-credentials");
    let wrong = as_session(&site, Method::GET, root, &"0".repeat(40));
    assert_eq!(wrong.rejected(401).await, "not-authenticated/invalid-credentials");
    let one_of_two = site.get(root).header("X-FilesAPI-Auth", "wrong");
    assert_eq!(one_of_two.response().await.status(), StatusCode::OK);
    for (workspace, status) in [("0", 200), ("12", 200), ("x", 422), ("-1", 422)] {
        let response = site.get(root).header("X-Files-Workspace-Id", workspace).response().await;
        assert_eq!(response.status(), status, "{workspace}");
    }
    let bad = site.get(root).header("X-Files-Workspace-Id", "x");
    assert_eq!(bad.rejected(422).await, "bad-request/invalid-workspace-id-header");
}

#[tokio::test]
async fn a_session_begins_with_a_password_and_ends_with_a_logout_or_after_6_hours() {
    let site = emulated().await;
    let id = session(&site).await;
    assert!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(as_session(&site, Method::GET, "/folders/", &id).response().await.status(), StatusCode::OK);
    let logout = as_session(&site, Method::DELETE, "/sessions", &id).response().await;
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    let after = as_session(&site, Method::GET, "/folders/", &id);
    assert_eq!(after.rejected(401).await, "not-authenticated/invalid-credentials");

    let id = session(&site).await;
    site.service.emulator.clock().advance(Duration::from_secs(6 * 3600 - 1)).unwrap();
    assert_eq!(as_session(&site, Method::GET, "/folders/", &id).response().await.status(), StatusCode::OK);
    site.service.emulator.clock().advance(Duration::from_secs(1)).unwrap();
    let after = as_session(&site, Method::GET, "/folders/", &id);
    assert_eq!(after.rejected(401).await, "not-authenticated/invalid-credentials");
}

#[tokio::test]
async fn an_invalid_login_is_rejected_with_its_error_type() {
    let site = emulated().await;
    for (body, status, kind) in [
        (json!({"username": FILESCOM_USER, "password": "x"}), 401, "not-authenticated/invalid-username-or-password"),
        (json!({"username": "nobody", "password": "x"}), 401, "not-authenticated/invalid-username-or-password"),
        (json!({"username": FILESCOM_USER}), 422, "bad-request/request-params-required"),
        (json!({"otp": "1", "partial_session_id": "x"}), 401, "not-authenticated/two-factor-authentication-error"),
    ] {
        assert_eq!(login(&site, body).rejected(status).await, kind);
    }
    let with_key = site.post("/sessions", &json!({"username": "a", "password": "b"}));
    assert_eq!(with_key.rejected(403).await, "not-authorized/cannot-login-while-using-key");
    let logout = site.api(Method::DELETE, "/sessions");
    assert_eq!(logout.rejected(401).await, "not-authenticated/api-key-sessions-not-supported");
}

#[tokio::test]
async fn ten_wrong_passwords_lock_a_user_out_for_ten_minutes() {
    let site = emulated().await;
    for _ in 0..10 {
        login(&site, json!({"username": FILESCOM_USER, "password": "x"})).rejected(401).await;
    }
    let right = json!({"username": FILESCOM_USER, "password": FILESCOM_PASSWORD});
    assert_eq!(login(&site, right).rejected(401).await, "not-authenticated/locked-out");
    site.service.emulator.clock().advance(Duration::from_secs(600)).unwrap();
    session(&site).await;
}

#[tokio::test]
async fn a_second_factor_continues_the_login_that_asked_for_it() {
    let site = site_of("adminkey").await;
    let challenge = login(&site, json!({"username": "careful", "password": "right"}));
    let challenge = challenge.json_with(StatusCode::FORBIDDEN).await;
    assert_eq!(challenge["type"], "not-authorized/two-factor-authentication-required");
    assert_eq!(challenge["data"]["two_factor_authentication_methods"], json!(["totp"]));
    let partial = &challenge["data"]["partial_session_id"];
    let id = partial.as_str().unwrap();
    let half = as_session(&site, Method::GET, "/folders/", id);
    assert_eq!(half.rejected(401).await, "not-authenticated/invalid-credentials", "a partial session is no session");

    let wrong = login(&site, json!({"otp": "000000", "partial_session_id": partial}));
    assert_eq!(wrong.rejected(401).await, "not-authenticated/one-time-password-incorrect");
    let session = login(&site, json!({"otp": 123456, "partial_session_id": partial}));
    let session = session.json_with(StatusCode::CREATED).await;
    let id = session["id"].as_str().unwrap();
    assert_eq!(as_session(&site, Method::GET, "/folders/", id).response().await.status(), StatusCode::OK);
    let at_once = login(&site, json!({"username": "careful", "password": "right", "otp": "123456"}));
    at_once.json_with(StatusCode::CREATED).await;
}

#[tokio::test]
async fn ten_wrong_one_time_passwords_lock_a_partial_session_out() {
    let site = site_of("adminkey").await;
    let challenge = login(&site, json!({"username": "careful", "password": "right"}));
    let challenge = challenge.json_with(StatusCode::FORBIDDEN).await;
    let with =
        |otp: &str| login(&site, json!({"otp": otp, "partial_session_id": challenge["data"]["partial_session_id"]}));
    for _ in 0..10 {
        with("000000").rejected(401).await;
    }
    assert_eq!(with("123456").rejected(401).await, "not-authenticated/locked-out");
}

#[tokio::test]
async fn a_user_needs_the_permission_for_each_operation() {
    let site = site_of("adminkey").await;
    site.upload("a.txt", b"x").await;
    let site = EmulatedSite { key: "readerkey".to_owned(), ..site };
    assert_eq!(site.content("a.txt").await, b"x");
    assert_eq!(site.stat("a.txt").await["permissions"], "lr");
    let destination = json!({"destination": "b.txt"});
    for (request, kind) in [
        (site.post("/file_actions/begin_upload/b.txt", &json!({})), "not-authorized/write-permission-required"),
        (site.post("/folders/b", &json!({})), "not-authorized/write-permission-required"),
        (site.post("/file_actions/copy/a.txt", &destination), "not-authorized/write-permission-required"),
        (site.post("/file_actions/move/a.txt", &destination), "not-authorized/full-permission-required"),
        (site.api(Method::DELETE, "/files/a.txt"), "not-authorized/full-permission-required"),
        (site.api(Method::PATCH, "/files/a.txt"), "not-authorized/write-permission-required"),
    ] {
        assert_eq!(request.rejected(403).await, kind);
    }
}

#[tokio::test]
async fn a_restricted_key_reaches_its_folder_and_nothing_else() {
    let site = site_of("adminkey").await;
    site.upload("clients/acme/a.txt", b"x").await;
    site.upload("clients/acme2/b.txt", b"x").await;
    let site = EmulatedSite { key: "clientkey".to_owned(), ..site };
    assert_eq!(site.list("CLIENTS/acme").await, ["clients/acme/a.txt"]);
    site.upload("clients/acme/new.txt", b"x").await;
    let restricted = "not-authorized/api-key-is-path-restricted";
    for path in ["/folders/", "/folders/clients/acme2", "/files/clients/acme2/b.txt", "/file_actions/metadata/clients"]
    {
        assert_eq!(site.get(path).rejected(403).await, restricted, "{path}");
    }
    let out = site.post("/file_actions/copy/clients/acme/a.txt", &json!({"destination": "clients/acme2/a.txt"}));
    assert_eq!(out.rejected(403).await, restricted);
    let session = login(&site, json!({"username": "client", "password": "client"}));
    let session = session.json_with(StatusCode::CREATED).await;
    let outside = as_session(&site, Method::GET, "/folders/", session["id"].as_str().unwrap());
    assert_eq!(outside.rejected(403).await, "not-authorized/read-permission-required");
}

#[tokio::test]
async fn the_journal_contains_no_secrets() {
    let site = emulated().await;
    let id = session(&site).await;
    as_session(&site, Method::GET, "/folders/", &id).response().await;
    let part = &site.begin("a.txt", json!({})).await[0];
    site.put(part, b"x").await;
    let journal = serde_json::to_string(&site.service.emulator.journal()).unwrap();
    let signature = part["upload_uri"].as_str().unwrap().rsplit('=').next().unwrap();
    for secret in [&id, signature, &site.key] {
        assert!(!journal.contains(secret));
    }
}

async fn share(site: &EmulatedSite, body: Value) -> Value {
    site.post("/bundles", &body).json_with(StatusCode::CREATED).await
}

/// Opens a share link as a browser does.
async fn open(service: &Service, bundle: &Value) -> reqwest::Response {
    service.get(service.path_of(bundle["url"].as_str().unwrap())).response().await
}

#[tokio::test]
async fn a_link_to_one_file_works_until_max_uses_or_expires_at() {
    let site = emulated().await;
    site.upload("a.txt", b"shared").await;
    let bundle = share(&site, json!({"paths": ["A.TXT"], "max_uses": 2, "expires_at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(bundle["paths"], json!(["a.txt"]));
    assert_eq!(bundle["bundlepaths"], json!([{"recursive": true, "path": "a.txt"}]));
    assert_eq!(bundle["url"], site.service.url(&format!("/f/{}", bundle["code"].as_str().unwrap())));
    for _ in 0..2 {
        let response = open(&site.service, &bundle).await;
        assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"a.txt\"");
        assert_eq!(response.bytes().await.unwrap(), "shared");
    }
    assert_eq!(open(&site.service, &bundle).await.status(), StatusCode::NOT_FOUND);

    let soon = site.emulated_hour_from_now();
    let bundle = share(&site, json!({"paths": ["a.txt"], "expires_at": soon})).await;
    assert_eq!(open(&site.service, &bundle).await.status(), StatusCode::OK);
    site.service.emulator.clock().advance(Duration::from_secs(3600)).unwrap();
    assert_eq!(open(&site.service, &bundle).await.status(), StatusCode::NOT_FOUND);
}

impl EmulatedSite {
    fn emulated_hour_from_now(&self) -> String {
        (self.service.emulator.clock().now() + jiff::SignedDuration::from_hours(1)).to_string()
    }
}

#[tokio::test]
async fn a_link_with_a_password_requires_it() {
    let site = emulated().await;
    site.upload("a.txt", b"shared").await;
    let bundle = share(&site, json!({"paths": ["a.txt"], "password": "open sesame", "max_uses": 1})).await;
    assert_eq!(bundle["password_protected"], true);
    assert!(!bundle.to_string().contains("sesame"));
    let page = open(&site.service, &bundle).await.text().await.unwrap();
    assert!(page.contains("<form method=\"post\">") && !page.contains("shared"), "{page}");
    let path = site.service.path_of(bundle["url"].as_str().unwrap());
    let with = |password: &str| {
        let form = format!("password={password}");
        site.service.post(path).typed_body("application/x-www-form-urlencoded", &form).response()
    };
    assert!(with("wrong").await.text().await.unwrap().contains("<form"));
    assert_eq!(with("open+sesame").await.text().await.unwrap(), "shared");
}

#[tokio::test]
async fn a_link_to_several_files_shows_a_page_with_them() {
    let site = emulated().await;
    site.upload("dir/sub/a & b.txt", b"first").await;
    site.upload("c.txt", b"second").await;
    let bundle = share(&site, json!({"paths": ["dir", "c.txt"]})).await;
    let page = open(&site.service, &bundle).await.text().await.unwrap();
    assert!(page.contains(">dir/sub/a &amp; b.txt</a>") && page.contains(">c.txt</a>"), "{page}");
    let links: Vec<_> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut contents = Vec::new();
    for link in links {
        contents.push(site.storage(&link.replace("&amp;", "&")).response().await.text().await.unwrap());
    }
    assert_eq!(contents, ["first", "second"]);
}

#[tokio::test]
async fn a_link_without_the_permission_to_read_shows_nothing() {
    let site = emulated().await;
    site.upload("a.txt", b"x").await;
    for (permissions, status) in [("read", 200), ("full", 200), ("write", 404), ("preview_only", 404), ("none", 404)] {
        let bundle = share(&site, json!({"paths": ["a.txt"], "permissions": permissions})).await;
        assert_eq!(open(&site.service, &bundle).await.status(), status, "{permissions}");
    }
}

#[tokio::test]
async fn a_forged_cursor_beyond_the_list_gives_an_empty_page() {
    let site = emulated().await;
    site.upload("a.txt", b"x").await;
    for _ in 0..2 {
        share(&site, json!({"paths": ["a.txt"]})).await;
    }
    let listed = site.get("/bundles?per_page=1").response().await;
    let cursor = listed.headers()["x-files-cursor"].to_str().unwrap().strip_prefix("c2:next:").unwrap();
    let made_up = String::from_utf8(STANDARD_NO_PAD.decode(cursor).unwrap()).unwrap();
    let made_up = made_up.replace("{\"Skip\":1}", "{\"Skip\":18446744073709551615}");
    let cursor = format!("c2:next:{}", STANDARD_NO_PAD.encode(made_up));
    let page = site.get(&format!("/bundles?per_page=1&cursor={}", cursor.replace('+', "%2B")));
    assert_eq!(page.json_with(StatusCode::OK).await, json!([]));
}

#[tokio::test]
async fn links_are_listed_changed_and_deleted_by_their_owner() {
    let site = site_of("adminkey").await;
    site.upload("a.txt", b"x").await;
    let first = share(&site, json!({"paths": ["a.txt"], "description": "one", "code": "mine"})).await;
    let second = share(&site, json!({"paths": ["a.txt"]})).await;
    let path = format!("/bundles/{}", first["id"]);
    assert_eq!(site.get(&path).json_with(StatusCode::OK).await, first);
    let listed = site.get("/bundles?per_page=1").response().await;
    let cursor = listed.headers()["x-files-cursor"].to_str().unwrap().to_owned();
    assert_eq!(listed.json::<Value>().await.unwrap(), json!([first]));
    let rest = site.get(&format!("/bundles?per_page=1&cursor={}", cursor.replace('+', "%2B"))).response().await;
    assert!(!rest.headers().contains_key("x-files-cursor"));
    assert_eq!(rest.json::<Value>().await.unwrap(), json!([second]));

    let changed = site.api(Method::PATCH, &path).json(&json!({"max_uses": 3})).json_with(StatusCode::OK).await;
    assert_eq!((&changed["max_uses"], &changed["description"]), (&json!(3), &json!("one")));
    assert_eq!(site.api(Method::POST, &format!("{path}/share")).response().await.status(), StatusCode::NO_CONTENT);
    let other = EmulatedSite { key: "readerkey".to_owned(), ..site };
    assert_eq!(other.get(&path).rejected(404).await, "not-found");
    let site = EmulatedSite { key: "adminkey".to_owned(), ..other };
    let taken = site.post("/bundles", &json!({"paths": ["a.txt"], "code": "mine"})).rejected(422).await;
    assert_eq!(taken, "processing-failure/model-save-error");
    assert_eq!(site.api(Method::DELETE, &path).response().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(open(&site.service, &first).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        site.post("/bundles", &json!({"paths": ["none"]})).rejected(404).await,
        "not-found/bundle-path-not-found"
    );
    assert_eq!(site.post("/bundles", &json!({})).rejected(422).await, "bad-request");
}

#[tokio::test]
async fn an_endpoint_that_is_not_emulated_is_not_implemented() {
    let site = emulated().await;
    for (method, path) in [
        (Method::GET, "/users"),
        (Method::GET, "/file_comments/files/a"),
        (Method::POST, "/file_actions/zip"),
        (Method::POST, "/locks/a"),
    ] {
        let error = site.api(method, path).json_with(StatusCode::NOT_IMPLEMENTED).await;
        assert_eq!(error["error"], "The emulator does not have this endpoint.", "{path}");
        assert_eq!(error["http-code"], "501", "{path}");
    }
    for path in ["/files/a", "/file_actions/metadata/a", "/folders/a", "/bundles/1", "/file_migrations/1"] {
        assert_eq!(site.get(path).rejected(404).await, "not-found", "{path}");
    }
}
