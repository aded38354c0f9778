//! Uploads to file.io in every format that clients send, and the responses to them.

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use crate::support::{RequestExt, Service, ValueExt, service};

/// Downloads a file once, and returns the headers and the content.
async fn downloaded(service: &Service, file: &Value) -> (HeaderMap, Vec<u8>) {
    let response = service.get(&file.path()).response().await;
    assert_eq!(response.status(), StatusCode::OK);
    (response.headers().clone(), response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn the_response_to_an_upload_has_every_key_in_the_order_of_the_service() {
    let service = service().await;
    let response = service.post("/").form_file("report.txt", b"hello world", &[]).response().await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    let text = response.text().await.unwrap();
    let pairs = text.trim_matches(['{', '}']).split(',');
    let keys: Vec<_> = pairs.filter_map(|pair| pair.split_once(':')).map(|(key, _)| key.trim_matches('"')).collect();
    assert_eq!(
        keys.join(" "),
        "success status id key path nodeType name title description size link private expires downloads \
         maxDownloads autoDelete planId screeningStatus mimeType created modified"
    );
}

#[tokio::test]
async fn an_anonymous_upload_has_the_terms_of_the_free_plan() {
    let service = service().await;
    let file = service.post("/").form_file("report.txt", b"hello world", &[]).json_with(StatusCode::OK).await;
    let key = file["key"].as_str().unwrap();
    assert!(key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(file["id"].as_str().unwrap().len(), 36);
    assert_eq!(file["link"], service.url(&file.path()));
    assert_eq!(file["created"], file["modified"]);
    assert_eq!(file.time("expires").duration_since(file.time("created")).as_hours(), 14 * 24);
    let expected = json!({
        "success": true, "status": 200, "path": "/", "nodeType": "file", "name": "report.txt", "title": null,
        "description": null, "size": 11, "private": false, "downloads": 0, "maxDownloads": 1, "autoDelete": true,
        "planId": 0, "screeningStatus": "pending", "mimeType": "text/plain",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&file[field], value, "{field}");
    }
}

#[tokio::test]
async fn an_anonymous_upload_returns_a_token_and_one_with_a_key_does_not() {
    let service = service().await;
    let anonymous = service.post("/").form_file("a.txt", b"a", &[]).response().await;
    assert!(anonymous.headers().contains_key("x-file-io-anonymous-access-token"));
    let paid = service.post("/").paid().form_file("a.txt", b"a", &[]).response().await;
    assert!(!paid.headers().contains_key("x-file-io-anonymous-access-token"));
}

#[tokio::test]
async fn fields_can_be_before_or_after_the_file_or_in_the_query() {
    let service = service().await;
    let last = "--B\r\nContent-Disposition: form-data; name=\"chunk_index\"\r\n\r\n1\r\n\
                --B\r\nContent-Disposition: form-data; name=\"expires\"\r\n\r\n2h\r\n\
                --B\r\nContent-Disposition: form-data; name=\"maxDownloads\"\r\n\r\n3\r\n\
                --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\nabc\r\n--B--";
    let file =
        service.post("/?expires=1d&expires=1w").paid().form_body(last.as_bytes()).json_with(StatusCode::OK).await;
    assert_eq!(file["maxDownloads"], 3);
    assert_eq!(file.time("expires").duration_since(file.time("created")).as_hours(), 2, "the body wins");

    let file =
        service.post("/?expires=1d&expires=1w&title=T").form_file("a", b"a", &[]).json_with(StatusCode::OK).await;
    assert_eq!(file.time("expires").duration_since(file.time("created")).as_hours(), 24, "the first wins");
    assert_eq!(file["title"], "T");
}

#[tokio::test]
async fn a_field_of_another_name_is_ignored() {
    let service = service().await;
    let file = service.post("/?expiry=1d").form_file("a", b"a", &[]).json_with(StatusCode::OK).await;
    assert_eq!(file.time("expires").duration_since(file.time("created")).as_hours(), 14 * 24);
}

#[tokio::test]
async fn a_part_with_a_file_name_is_the_file_whatever_its_field() {
    let service = service().await;
    for field in ["media", ""] {
        let form = format!(
            "--B\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"b.csv\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nfirst\r\n--B--\r\n"
        );
        let file = service.post("/").form_body(form.as_bytes()).json_with(StatusCode::OK).await;
        assert_eq!(file["name"], "b.csv");
        assert_eq!(file["mimeType"], "application/octet-stream", "the type that the part declares is used");
        assert_eq!(downloaded(&service, &file).await.1, b"first");
    }
}

#[tokio::test]
async fn without_a_file_name_the_part_file_or_text_is_the_file() {
    let service = service().await;
    let part = |field: &str, content: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{content}\r\n--B--")
    };
    let file = service.post("/").form_body(part("file", "world").as_bytes()).json_with(StatusCode::OK).await;
    assert_eq!(file["name"], "file");
    assert_eq!(downloaded(&service, &file).await.1, b"world");
    let text = service.post("/").form_body(part("text", "hello").as_bytes()).json_with(StatusCode::OK).await;
    assert_eq!(text["name"], format!("{}.txt", text["key"].as_str().unwrap()));
    assert_eq!(text["mimeType"], "text/plain");
    assert_eq!(downloaded(&service, &text).await.1, b"hello");
}

#[tokio::test]
async fn text_is_uploaded_as_a_form_or_as_json() {
    let service = service().await;
    let urlencoded = service.post("/").typed_body("application/x-www-form-urlencoded", "text=a+b%26c&expires=1w");
    let json = service.post("/").typed_body("application/json", r#"{"text":"a b&c","expires":"1w"}"#);
    let connector = service
        .post("/")
        .typed_body("application/json", r#"{"file":"a b&c","expires":"1w","maxDownloads":1,"autoDelete":true}"#);
    for request in [urlencoded, json, connector] {
        let file = request.json_with(StatusCode::OK).await;
        assert_eq!(file.time("expires").duration_since(file.time("created")).as_hours(), 7 * 24);
        assert_eq!(file["name"], format!("{}.txt", file["key"].as_str().unwrap()));
        let (headers, content) = downloaded(&service, &file).await;
        assert_eq!(content, b"a b&c");
        assert_eq!(headers[CONTENT_TYPE], "text/plain");
    }
}

#[tokio::test]
async fn a_body_that_is_no_form_is_a_file() {
    let service = service().await;
    let file = service.post("/").body("raw").json_with(StatusCode::OK).await;
    assert_eq!(file["mimeType"], "application/octet-stream");
    assert_eq!(downloaded(&service, &file).await.1, b"raw");
    let file = service.post("/?expires=1d").typed_body("text/csv", "a,b").json_with(StatusCode::OK).await;
    assert_eq!(file["mimeType"], "text/csv");
    assert_eq!(file["name"], format!("{}.txt", file["key"].as_str().unwrap()));
}

#[tokio::test]
async fn texts_of_unset_script_variables_mean_the_defaults() {
    let service = service().await;
    let fields = [("autoDelete", "undefined"), ("maxDownloads", "null"), ("expires", "undefined")];
    let file = service.upload("a.txt", b"a", &fields).await;
    assert_eq!((&file["maxDownloads"], &file["autoDelete"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn empty_fields_of_a_paying_client_lift_every_limit() {
    let service = service().await;
    let fields = [("expires", ""), ("maxDownloads", ""), ("autoDelete", "")];
    let paid = service.upload("a.txt", b"a", &fields).await;
    assert_eq!(
        (&paid["expires"], &paid["maxDownloads"], &paid["autoDelete"]),
        (&Value::Null, &Value::Null, &json!(false))
    );
    let free = service.post("/").form_file("a.txt", b"a", &fields).json_with(StatusCode::OK).await;
    assert_eq!((&free["maxDownloads"], &free["autoDelete"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn fields_beyond_the_free_plan_need_payment() {
    let service = service().await;
    for field in [("maxDownloads", "2"), ("autoDelete", "false"), ("expires", "2y")] {
        let rejected =
            service.post("/").form_file("a.txt", b"a", &[field]).json_with(StatusCode::PAYMENT_REQUIRED).await;
        assert_eq!(rejected["code"], "PAYMENT_REQUIRED");
        service.post("/").paid().form_file("a.txt", b"a", &[field]).json_with(StatusCode::OK).await;
    }
}

#[tokio::test]
async fn wrong_fields_are_rejected_and_nothing_is_stored() {
    let service = service().await;
    for field in [
        ("maxDownloads", "0"),
        ("maxDownloads", "-1"),
        ("autoDelete", "maybe"),
        ("expires", "soon"),
        ("expires", "2001-01-01"),
    ] {
        let rejected =
            service.post("/").paid().form_file("a.txt", b"a", &[field]).json_with(StatusCode::BAD_REQUEST).await;
        assert_eq!(rejected["code"], "BAD_REQUEST", "{field:?}");
        assert_eq!(rejected["success"], false);
        assert_eq!(rejected["help"], service.url("/help/api/errors/BAD_REQUEST"));
    }
    let list = service.get("/").paid().json_with(StatusCode::OK).await;
    assert_eq!(list["count"], 0);
}

#[tokio::test]
async fn an_upload_without_file_is_rejected() {
    let service = service().await;
    service.post("/").form_fields(&[("expires", "1d")]).json_with(StatusCode::BAD_REQUEST).await;
    service.post("/").json_with(StatusCode::BAD_REQUEST).await;
    service
        .post("/")
        .typed_body("application/x-www-form-urlencoded", "expires=1d")
        .json_with(StatusCode::BAD_REQUEST)
        .await;
    service.post("/").typed_body("application/json", "[]").json_with(StatusCode::BAD_REQUEST).await;
    service.post("/").typed_body("multipart/form-data", "x").json_with(StatusCode::BAD_REQUEST).await;
    service.post("/").form_body(b"--C\r\n\r\nx\r\n--C--").json_with(StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn a_wrong_key_is_rejected_although_no_key_is_needed() {
    let service = service().await;
    for wrong in ["Bearer WRONG", "WRONG", "Basic V1JPTkc6", "Digest x"] {
        let request = service.post("/").header(AUTHORIZATION, wrong).form_file("a.txt", b"a", &[]);
        assert_eq!(request.json_with(StatusCode::UNAUTHORIZED).await["code"], "UNAUTHORIZED", "{wrong}");
    }
}

#[tokio::test]
async fn files_in_memory_and_on_disk_are_downloaded_unchanged() {
    let service = service().await;
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
        let file = service.upload("a.bin", &content, &[]).await;
        assert_eq!(file["size"], size);
        let (headers, got) = downloaded(&service, &file).await;
        assert_eq!(headers["content-length"], size.to_string());
        assert!(got == content, "{size} bytes");
    }
}

#[tokio::test]
async fn a_name_cannot_escape_its_header() {
    let service = service().await;
    for (sent, stored, shown) in [
        ("report.txt", "report.txt", "attachment; filename=report.txt"),
        ("my file.txt", "my file.txt", "attachment; filename=\"my file.txt\""),
        (
            "a%22; x=%22b%0D%0ASet-Cookie: c=1.txt",
            "a; x=bSet-Cookie: c=1.txt",
            "attachment; filename=\"a; x=bSet-Cookie: c=1.txt\"",
        ),
        ("../../etc/passwd", "passwd", "attachment; filename=passwd"),
        ("100%25.txt", "100%25.txt", "attachment; filename=100%25.txt"),
        ("größe.txt", "größe.txt", "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"),
    ] {
        let file = service.upload(sent, b"a", &[]).await;
        assert_eq!(file["name"], stored);
        let (headers, _) = downloaded(&service, &file).await;
        assert_eq!(headers["content-disposition"], shown);
        assert!(!headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn the_type_of_a_part_cannot_escape_its_header() {
    let service = service().await;
    let form = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
                Content-Type: not a type\r\n\r\nx\r\n--B--";
    let file = service.post("/").form_body(form.as_bytes()).json_with(StatusCode::OK).await;
    assert_eq!(file["mimeType"], "image/png", "guessed from the name instead");
}

#[tokio::test]
async fn a_form_with_two_files_or_texts_is_rejected() {
    let service = service().await;
    let file = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\none\r\n";
    let other = "--B\r\nContent-Disposition: form-data; name=\"other\"; filename=\"b.txt\"\r\n\r\ntwo\r\n";
    let unnamed = "--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nthree\r\n";
    let text = "--B\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nfour\r\n";
    let mut requests = Vec::new();
    for (first, second) in [(file, file), (file, other), (file, unnamed), (file, text), (text, file), (text, text)] {
        requests.push(service.post("/").form_body(format!("{first}{second}--B--\r\n").as_bytes()));
    }
    requests.push(service.post("/").typed_body("application/x-www-form-urlencoded", "text=one&text=two"));
    requests.push(service.post("/").typed_body("application/json", r#"{"file": "one", "text": "two"}"#));
    for request in requests {
        let rejection = request.json_with(StatusCode::BAD_REQUEST).await;
        assert_eq!(rejection["message"], "the form has more than one file");
    }
    let list = service.get("/").paid().json_with(StatusCode::OK).await;
    assert_eq!(list["count"], 0, "{list}");
    let page = service.get("/_emulator/").response().await.text().await.unwrap();
    assert!(page.contains("0 at file.io"), "{page}");
}

#[tokio::test]
async fn a_boundary_that_is_too_long_is_rejected() {
    let service = service().await;
    let boundary = "B".repeat(71);
    let form =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\none\r\n--{boundary}--\r\n");
    let upload = service.post("/").typed_body(&format!("multipart/form-data; boundary={boundary}"), &form);
    let rejection = upload.json_with(StatusCode::BAD_REQUEST).await;
    assert_eq!(rejection["message"], "the multipart body is malformed: its boundary must have 1 to 70 characters");
}
