use filestore_core::UrlKind;

use super::*;
use crate::{Rejection, Share, SharePermissions};

fn bundle() -> Value {
    json!({"id": 42, "code": "CODEcanary", "url": "https://x.files.com/f/CODEcanary", "expires_at": "2026-04-01T00:00:00Z",
        "password_protected": true, "permissions": "read", "preview_only": false, "require_registration": false,
        "max_uses": 3, "paths": ["b"], "created_at": "2026-03-01T10:00:00Z", "description": "", "note": "",
        "user_id": 7, "username": "me", "has_inbox": false})
}

#[tokio::test]
async fn a_share_link_has_the_requested_options() {
    let mut created = bundle();
    (created["require_registration"], created["code"]) = (true.into(), "q3".into());
    created["paths"] = json!(["B", "dir/a.txt"]);
    let server = server_with([response(201, &created), response(201, &bundle())]).await;
    let store = store(&server);
    let share = Share::new()
        .expires("2026-04-01T00:00:00.5Z".parse::<Timestamp>().unwrap())
        .password("PWcanary")
        .max_uses(3)
        .permissions(SharePermissions::ReadWrite)
        .code("q3")
        .description("d")
        .note("n")
        .require_registration();
    let link = store.share(&[reference("dir/a.txt"), reference("b")], share).await.unwrap();
    assert_eq!((link.id, link.max_uses, link.password_protected), (42, Some(3), true));
    assert_eq!(
        link.skipped,
        ["permissions", "description", "note"],
        "the options that the service ignored and that are no protection"
    );
    assert_eq!((link.url.kind(), link.url.as_str()), (UrlKind::Page, "https://x.files.com/f/CODEcanary"));
    assert_eq!(link.url.expires(), Some("2026-04-01T00:00:00Z".parse().unwrap()));
    assert_eq!(link.paths, ["B", "dir/a.txt"]);
    assert!(!format!("{link:?}").contains("canary"));
    store.share([&reference("b")], Share::new()).await.unwrap();
    assert_eq!(
        received(&server).await,
        [
            r#"POST bundles {"paths":["dir/a.txt","b"],"password":"PWcanary","expires_at":"2026-04-01T00:00:00Z","max_uses":3,"permissions":"read_write","description":"d","note":"n","code":"q3","require_registration":true}"#,
            r#"POST bundles {"paths":["b"]}"#,
        ]
    );
}

/// Returns links with a requested protection, and responses of the service that do not confirm it.
fn unprotected() -> Vec<(Share, Value)> {
    let with = |field: &str, value: Value| {
        let mut created = bundle();
        created[field] = value;
        created
    };
    let end: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
    let read = || Share::new().permissions(SharePermissions::Read);
    vec![
        (Share::new().password("pw"), with("password_protected", false.into())),
        (Share::new().password("pw"), with("password_protected", Value::Null)),
        (Share::new().expires(end), with("expires_at", Value::Null)),
        (Share::new().expires(end), with("expires_at", "2026-04-02T00:00:00Z".into())),
        (Share::new().max_uses(1), with("max_uses", Value::Null)),
        (Share::new().max_uses(1), with("max_uses", 2.into())),
        // It may mean that there is no limit.
        (Share::new().max_uses(1), with("max_uses", 0.into())),
        (read(), with("permissions", "full".into())),
        (read(), with("permissions", "write".into())),
        (read(), with("permissions", Value::Null)),
        (Share::new().require_registration(), bundle()),
        // The link allows or shows more than was requested.
        (Share::new(), with("permissions", "full".into())),
        (Share::new(), with("permissions", "write".into())),
        (Share::new(), with("paths", json!(["b", "c"]))),
        (Share::new(), with("paths", json!(["c"]))),
        (Share::new(), with("paths", json!([""]))),
    ]
}

#[tokio::test]
async fn a_share_link_without_a_requested_protection_is_deleted() {
    for (share, created) in unprotected() {
        let server = server_with([response(201, &created), ResponseTemplate::new(204)]).await;
        let error = store(&server).share([&reference("b")], share).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected), "{error}");
        assert_eq!(received(&server).await[1], "DELETE bundles/42");
    }
}

#[tokio::test]
async fn a_share_link_that_allows_no_use_is_not_requested() {
    let server = server_with([]).await;
    let error = store(&server).share([&reference("b")], Share::new().max_uses(0)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
    assert!(received(&server).await.is_empty());
}

#[tokio::test]
async fn a_share_link_whose_response_lacks_paths_or_permissions_is_accepted() {
    for field in ["paths", "permissions"] {
        let mut created = bundle();
        created[field] = Value::Null;
        let server = server_with([response(201, &created)]).await;
        store(&server).share([&reference("b")], Share::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_share_link_without_a_requested_protection_that_cannot_be_deleted_is_named_in_the_error() {
    let not_allowed = || rejection(403, "not-authorized/insufficient-permission-for-site");
    // A *not found* does not prove that a new link was deleted.
    let unprotected = unprotected().into_iter().flat_map(|(share, created)| {
        [not_allowed(), not_found(), ResponseTemplate::new(200)]
            .map(|removal| (share.clone(), created.clone(), removal))
    });
    for (share, created, removal) in unprotected {
        let server = server_with([response(201, &created), removal]).await;
        let error = store(&server).share([&reference("b")], share).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{error}");
        assert!(error.to_string().contains("unshare 42"), "{error}");
    }
}

#[tokio::test]
async fn a_share_link_without_references_or_with_a_past_expiry_is_not_sent() {
    let server = server_with([]).await;
    let store = store(&server);
    let past = Share::new().expires("2026-03-01T09:59:59Z".parse::<Timestamp>().unwrap());
    let rejected = [store.share([], Share::new()).await, store.share([&reference("a")], past).await];
    for result in rejected {
        assert_eq!(kind_and_effect(&result.unwrap_err()), (ErrorKind::InvalidInput, Effect::NotSent));
    }
}

#[tokio::test]
async fn a_share_link_whose_response_is_lost_is_not_retried() {
    let server = server_with([ResponseTemplate::new(503)]).await;
    let error = store(&server).share([&reference("a")], Share::new()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown));
}

#[tokio::test]
async fn a_repeated_cursor_of_share_links_is_a_protocol_error() {
    let repeated = || response(200, &json!([bundle()])).insert_header("x-files-cursor", "c");
    let server = server_with([repeated(), repeated()]).await;
    let store = store(&server);
    let first = store.shares(None).await.unwrap();
    let error = store.shares(first.next.as_ref()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
}

#[tokio::test]
async fn share_links_are_found_listed_and_deleted() {
    let first = response(200, &json!([bundle()])).insert_header("x-files-cursor", "c2:next:z");
    let server =
        server_with([response(200, &bundle()), first, response(200, &json!([])), no_content(), not_found()]).await;
    let store = store(&server);
    assert_eq!(store.share_link(42).await.unwrap().id, 42);
    let page = store.shares(None).await.unwrap();
    assert_eq!(page.links.len(), 1);
    assert!(store.shares(page.next.as_ref()).await.unwrap().next.is_none());
    store.unshare(42).await.unwrap();
    store.unshare(42).await.unwrap();
    assert_eq!(
        received(&server).await,
        ["GET bundles/42", "GET bundles", "GET bundles?cursor=c2%3Anext%3Az", "DELETE bundles/42", "DELETE bundles/42"]
    );
}

#[tokio::test]
async fn a_share_link_that_cannot_be_parsed_does_not_hide_the_others() {
    let mut odd = bundle();
    odd["url"] = Value::Null;
    let server = server_with([response(200, &json!([odd, 7, bundle()]))]).await;
    let links = store(&server).shares(None).await.unwrap();
    assert_eq!((links.links.len(), links.unreadable), (1, 2));
}

#[tokio::test]
async fn another_share_link_than_the_requested_one_is_a_protocol_error() {
    let mut other = bundle();
    other["id"] = 77.into();
    let server = server_with([response(200, &other)]).await;
    assert_eq!(store(&server).share_link(5).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_password_and_a_key_that_the_service_repeats_in_any_field_are_not_shown() {
    for secret in [API_KEY.to_owned(), API_KEY.to_lowercase(), "pwCANARY".to_owned(), "PWcanary".to_owned()] {
        let in_a_list = |text: &str| json!([text]);
        let echo = json!({"error": format!("password {secret}\nis weak"), "type": format!("bad-request/{secret}"),
            "title": secret, "detail": secret, "instance": format!("id-{secret}"), "http-code": 422,
            "errors": [secret, {"error": secret}], "data": {secret.as_str(): 1},
            "model_errors": {secret.as_str(): in_a_list(&secret)}});
        let server = server_with([response(422, &echo)]).await;
        let error = store(&server).share(&[reference("b")], Share::new().password("PWcanary")).await.unwrap_err();
        assert!(error.message().ends_with(": password ... is weak"), "{error}");
        assert_eq!((error.provider_code(), error.request_id()), (Some("bad-request/..."), Some("id-...")));
        let rejection = Rejection::of(&error).unwrap();
        assert_eq!((rejection.title(), rejection.detail()), (Some("..."), Some("...")));
        assert_eq!(rejection.errors(), ["...", "..."]);
        assert_eq!(rejection.model_errors()["..."], ["..."]);
        let shown = format!("{error} {error:?} {rejection} {rejection:?} {:?}", rejection.data());
        assert!(!shown.to_lowercase().contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn a_key_in_a_header_of_the_response_is_not_shown() {
    let redirect = ResponseTemplate::new(302).insert_header("location", format!("http://{API_KEY}.example/").as_str());
    let page = ResponseTemplate::new(403).set_body_raw("x", "text/html").insert_header("x-request-id", API_KEY);
    let foreign = ResponseTemplate::new(200).set_body_raw("x", &format!("text/{API_KEY}"));
    let server = server_with([redirect, page, foreign]).await;
    let store = store(&server);
    let errors = [
        store.shares(None).await.unwrap_err(),
        store.shares(None).await.unwrap_err(),
        store.shares(None).await.unwrap_err(),
    ];
    assert!(errors[0].message().contains("redirects to ....example"), "{}", errors[0]);
    assert_eq!(errors[1].request_id(), Some("..."));
    assert!(errors[2].message().contains("text/... instead"), "{}", errors[2]);
    assert!(!format!("{errors:?}").to_lowercase().contains("canary"), "{errors:?}");
}
