//! Answers that are not the service's: of a captive portal, a proxy, a web site.

use filestore_core::FileStore;

use super::*;
use crate::FilesComUpdate;

#[tokio::test]
async fn a_change_that_the_service_did_not_confirm_is_unknown() {
    let others = [
        ResponseTemplate::new(200).set_body_raw("<html>Welcome</html>", "text/html"),
        ResponseTemplate::new(200),
        ResponseTemplate::new(200).set_body_json(json!({})),
    ];
    for other in others {
        let server = answering(std::iter::repeat_n(other.clone(), 5)).await;
        let store = store(&server);
        let session = store.with_session(&crate::Session { id: "id".into(), read_only: false }).unwrap();
        let errors = [
            store.delete((&reference("a")).into()).await.unwrap_err(),
            store.unshare(42).await.unwrap_err(),
            session.logout().await.unwrap_err(),
            store.create_folder("new", false).await.unwrap_err(),
            store.update(&reference("a"), FilesComUpdate::new().priority_color("red")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(facts(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
            assert!(error.to_string().contains("something other than the service answered"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_404_that_is_not_the_services_own_is_no_delete() {
    for other in [ResponseTemplate::new(404), ResponseTemplate::new(404).set_body_raw("<html>404</html>", "text/html")]
    {
        let server = answering([other.clone(), other]).await;
        let store = store(&server);
        for error in [store.delete((&reference("a")).into()).await.unwrap_err(), store.unshare(42).await.unwrap_err()] {
            assert_eq!(error.effect(), Effect::Rejected, "{error}");
            assert!(error.to_string().contains("something other than the service"), "{error}");
        }
    }
}
