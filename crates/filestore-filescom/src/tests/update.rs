use super::*;
use crate::FilesComUpdate;

#[tokio::test]
async fn only_what_changes_is_sent() {
    let mut changed = file("a");
    changed["provided_mtime"] = "2025-12-24T08:00:00Z".into();
    let server = server_with([response(200, &changed), response(200, &file("a"))]).await;
    let store = store(&server);
    let update = FilesComUpdate::new().modified("2025-12-24T08:00:00.9Z".parse::<Timestamp>().unwrap());
    let file = store.update(&reference("a"), update).await.unwrap();
    assert_eq!(file.modified, Some("2025-12-24T08:00:00Z".parse().unwrap()));
    let update = FilesComUpdate::new().metadata([("k", "v")]).priority_color("red");
    store.update(&reference("a"), update).await.unwrap();
    assert_eq!(
        received(&server).await,
        [
            r#"PATCH files/a {"provided_mtime":"2025-12-24T08:00:00Z"}"#,
            r#"PATCH files/a {"custom_metadata":{"k":"v"},"priority_color":"red"}"#,
        ]
    );
}

#[tokio::test]
async fn changes_that_the_service_ignores_are_in_skipped() {
    let mut taken = file("a");
    (taken["provided_mtime"], taken["priority_color"]) = ("2025-12-24T08:00:00Z".into(), "red".into());
    taken["custom_metadata"] = json!({"k": "v"});
    let mut ignored = file("a");
    ignored["priority_color"] = "blue".into();
    let mut silent = taken.clone();
    silent.as_object_mut().unwrap().remove("priority_color");
    let server = server_with([response(200, &ignored), response(200, &taken), response(200, &silent)]).await;
    let update = || {
        let update = FilesComUpdate::new().modified("2025-12-24T08:00:00.9Z".parse::<Timestamp>().unwrap());
        update.metadata([("k", "v")]).priority_color("red")
    };
    let ignored = store(&server).update(&reference("a"), update()).await.unwrap();
    assert_eq!(ignored.skipped, ["modified", "metadata", "priority_color"]);
    for _ in 0..2 {
        let taken = store(&server).update(&reference("a"), update()).await.unwrap();
        assert_eq!((taken.skipped.len(), taken.metadata["k"].as_str()), (0, "v"));
    }
}

#[tokio::test]
async fn an_empty_map_removes_the_metadata() {
    let server = server_with([response(200, &file("a"))]).await;
    store(&server).update(&reference("a"), FilesComUpdate::new().metadata([("", ""); 0])).await.unwrap();
    assert_eq!(received(&server).await, [r#"PATCH files/a {"custom_metadata":{}}"#]);
}

#[tokio::test]
async fn an_empty_update_and_metadata_beyond_the_limits_are_rejected_before_a_request_is_sent() {
    let server = server_with([]).await;
    let store = store(&server);
    let many = (0..33).map(|key| (key.to_string(), "v"));
    for update in [
        FilesComUpdate::new(),
        FilesComUpdate::new().metadata(many),
        FilesComUpdate::new().metadata([("k".repeat(257), "v")]),
        FilesComUpdate::new().metadata([("k", "ü".repeat(1025))]),
    ] {
        let error = store.update(&reference("a"), update).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    }
}

#[tokio::test]
async fn metadata_at_the_limits_is_sent() {
    let server = server_with([response(200, &file("a"))]).await;
    let most = (0..32).map(|key| (format!("{key:ü>256}"), "ü".repeat(1024)));
    store(&server).update(&reference("a"), FilesComUpdate::new().metadata(most)).await.unwrap();
}

#[tokio::test]
async fn metadata_in_a_mounted_folder_is_unsupported() {
    let server = server_with([rejection(422, "processing-failure/metadata-not-supported-on-remotes")]).await;
    let update = FilesComUpdate::new().metadata([("k", "v")]);
    let error = store(&server).update(&reference("a"), update).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected));
}
