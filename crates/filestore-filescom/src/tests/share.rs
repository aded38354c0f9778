use filestore_core::UrlKind;

use super::*;
use crate::{Share, SharePermissions};

fn bundle() -> Value {
    json!({"id": 42, "code": "CODEcanary", "url": "https://x.files.com/f/CODEcanary", "expires_at": "2026-04-01T00:00:00Z",
        "password_protected": true, "permissions": "read", "preview_only": false, "require_registration": false,
        "max_uses": 3, "paths": ["dir/a.txt"], "created_at": "2026-03-01T10:00:00Z", "description": "", "note": "",
        "user_id": 7, "username": "me", "has_inbox": false})
}

#[tokio::test]
async fn a_share_link_has_what_was_asked_for() {
    let server = answering([answer(201, &bundle()), answer(201, &bundle())]).await;
    let store = store(&server);
    let share = Share::new()
        .expires("2026-04-01T00:00:00.5Z".parse().unwrap())
        .password("PWcanary")
        .max_uses(3)
        .permissions(SharePermissions::ReadWrite)
        .code("q3")
        .description("d")
        .note("n")
        .require_registration();
    let link = store.share(&[reference("dir/a.txt"), reference("b")], share).await.unwrap();
    assert_eq!((link.id, link.max_uses, link.password_protected), (42, Some(3), true));
    assert_eq!((link.url.kind(), link.url.as_str()), (UrlKind::Page, "https://x.files.com/f/CODEcanary"));
    assert_eq!(link.url.expires(), Some("2026-04-01T00:00:00Z".parse().unwrap()));
    assert_eq!(link.paths, ["dir/a.txt"]);
    assert!(!format!("{link:?}").contains("canary"));
    store.share([&reference("b")], Share::new()).await.unwrap();
    assert_eq!(
        seen(&server).await,
        [
            r#"POST bundles {"paths":["dir/a.txt","b"],"password":"PWcanary","expires_at":"2026-04-01T00:00:00Z","max_uses":3,"permissions":"read_write","description":"d","note":"n","code":"q3","require_registration":true}"#,
            r#"POST bundles {"paths":["b"]}"#,
        ]
    );
}

#[tokio::test]
async fn a_share_link_to_nothing_or_to_the_past_is_not_sent() {
    let server = answering([]).await;
    let store = store(&server);
    let past = Share::new().expires("2026-03-01T09:59:59Z".parse().unwrap());
    let refused = [store.share([], Share::new()).await, store.share([&reference("a")], past).await];
    for result in refused {
        assert_eq!(facts(&result.unwrap_err()), (ErrorKind::InvalidInput, Effect::NotSent));
    }
}

#[tokio::test]
async fn a_share_link_whose_answer_is_lost_is_not_made_twice() {
    let server = answering([ResponseTemplate::new(503)]).await;
    let error = store(&server).share([&reference("a")], Share::new()).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::Unavailable, Effect::Unknown));
}

#[tokio::test]
async fn share_links_are_found_listed_and_ended() {
    let first = answer(200, &json!([bundle()])).insert_header("x-files-cursor", "c2:next:z");
    let server = answering([answer(200, &bundle()), first, answer(200, &json!([])), gone(), not_found()]).await;
    let store = store(&server);
    assert_eq!(store.share_link(42).await.unwrap().id, 42);
    let page = store.shares(None).await.unwrap();
    assert_eq!(page.links.len(), 1);
    assert!(store.shares(page.next.as_ref()).await.unwrap().next.is_none());
    store.unshare(42).await.unwrap();
    store.unshare(42).await.unwrap();
    assert_eq!(
        seen(&server).await,
        ["GET bundles/42", "GET bundles", "GET bundles?cursor=c2%3Anext%3Az", "DELETE bundles/42", "DELETE bundles/42"]
    );
}
