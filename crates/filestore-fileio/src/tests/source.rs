//! Sources of uploads that change while they are sent.

use std::time::SystemTime;

use filestore_core::{Body, FileStore};

use super::*;

#[tokio::test]
async fn a_source_that_is_rewritten_while_it_is_sent_stores_nothing() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(json(200, STORED)).expect(0).mount(&server).await;
    let source = tempfile::NamedTempFile::new().unwrap();
    source.as_file().set_len(3_000_000).unwrap();
    source.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let body = Body::from_path(source.path()).unwrap();
    let body = body.on_progress(move |_| source.as_file().set_modified(SystemTime::now()).unwrap());
    let error = anonymous(&server).upload(Upload::new("report.txt", body)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
    assert!(error.to_string().contains("changed while it was read"), "{error}");
}
