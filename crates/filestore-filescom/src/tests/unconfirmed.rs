//! Responses that are not from the service: from a captive portal, a proxy or a web site.

use filestore_core::FileStore;

use super::*;
use crate::FilesComUpdate;

#[tokio::test]
async fn a_change_that_the_service_did_not_confirm_is_of_unknown_effect() {
    let others = [
        ResponseTemplate::new(200).set_body_raw("<html>Welcome</html>", "text/html"),
        ResponseTemplate::new(200),
        ResponseTemplate::new(200).set_body_json(json!({})),
    ];
    for other in others {
        let server = server_with(std::iter::repeat_n(other.clone(), 5)).await;
        let store = store(&server);
        let session = store.with_session(&crate::LoginSession { id: "id".into(), read_only: false }).unwrap();
        let errors = [
            store.delete((&reference("a")).into()).await.unwrap_err(),
            store.unshare(42).await.unwrap_err(),
            session.logout().await.unwrap_err(),
            store.create_folder("new", false).await.unwrap_err(),
            store.update(&reference("a"), FilesComUpdate::new().priority_color("red")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
            assert!(error.to_string().contains("something other than the service answered"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_response_about_another_path_confirms_nothing() {
    let server =
        server_with([response(201, &folder("other")), response(201, &file("new")), response(200, &file("b"))]).await;
    let store = store(&server);
    for error in [
        store.create_folder("new", false).await.unwrap_err(),
        store.create_folder("new", false).await.unwrap_err(),
        store.update(&reference("a"), FilesComUpdate::new().priority_color("red")).await.unwrap_err(),
    ] {
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
    }
    let mut content = file("b");
    content["download_uri"] = "http://127.0.0.1:1/b".into();
    let server = server_with([response(200, &file("b")), response(200, &content)]).await;
    let store = self::store(&server);
    let stat = store.stat((&reference("a")).into()).await.unwrap_err();
    let download = store.download((&reference("a")).into()).await.unwrap_err();
    for error in [stat, download] {
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_response_with_another_spelling_of_the_path_is_accepted() {
    let server = server_with([response(200, &file("Docs/Résumé.txt"))]).await;
    store(&server).stat((&reference("docs/resume.TXT")).into()).await.unwrap();
}

#[tokio::test]
async fn a_not_found_with_another_status_does_not_confirm_a_delete() {
    let server = server_with([rejection(422, "not-found"), rejection(403, "not-found")]).await;
    let store = store(&server);
    for error in [store.delete((&reference("a")).into()).await.unwrap_err(), store.unshare(42).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[tokio::test]
async fn a_listing_of_entries_without_a_path_is_a_protocol_error() {
    let server = server_with([response(200, &json!([{"type": "file", "size": 1}]))]).await;
    let error = store(&server).list(filestore_core::List::default()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
}

#[tokio::test]
async fn a_404_that_is_not_from_the_service_does_not_confirm_a_delete() {
    for other in [ResponseTemplate::new(404), ResponseTemplate::new(404).set_body_raw("<html>404</html>", "text/html")]
    {
        let server = server_with([other.clone(), other]).await;
        let store = store(&server);
        for error in [store.delete((&reference("a")).into()).await.unwrap_err(), store.unshare(42).await.unwrap_err()] {
            assert_eq!(error.effect(), Effect::Rejected, "{error}");
            assert!(error.to_string().contains("something other than the service"), "{error}");
        }
    }
}
