//! The warnings of operations that succeed.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use filestore::fileio::{FileIoConfig, FileIoStore, FileIoUpload};
use filestore::{FileStore, IfExists, Upload};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::effects::opendal::stub::Stub;
use crate::effects::opendal::stub::webdav::Webdav;
use crate::effects::opendal::webdav_store;

/// The warnings of this thread since the start.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let warnings = Self::default();
        let writer = warnings.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (warnings, tracing::subscriber::set_default(subscriber))
    }

    fn take(&self) -> String {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(std::mem::take(&mut *text)).unwrap()
    }
}

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_move_of_webdav_that_says_that_it_replaced_a_file_although_it_must_not_is_a_warning() {
    let mut server = Webdav::default();
    server.always_replaces = true;
    let stub = Stub::start(server).await;
    let store = webdav_store(&stub.url);
    let (warnings, _guard) = Warnings::start();
    store.upload(Upload::new("a", "x")).await.unwrap();
    assert_eq!(warnings.take(), "");
    store.upload(Upload::new("b", "x").if_exists(IfExists::Fail)).await.unwrap();
    let text = warnings.take();
    assert!(text.contains("WARN") && text.contains("has replaced a file, although that was forbidden"), "{text}");
    assert_eq!(stub.files().len(), 2);

    let stub = Stub::start(Webdav::default()).await;
    webdav_store(&stub.url).upload(Upload::new("b", "x").if_exists(IfExists::Fail)).await.unwrap();
    assert_eq!(warnings.take(), "");
}

/// Uploads a file to a service that responds with these fields, and returns the warnings.
async fn warnings_of_upload(fields: &str, options: FileIoUpload) -> String {
    let server = MockServer::start().await;
    let body = format!(r#"{{"success":true,"key":"KEYcanary123"{fields}}}"#);
    let response = ResponseTemplate::new(200).set_body_raw(body, "application/json");
    Mock::given(any()).respond_with(response).mount(&server).await;
    let store = FileIoStore::new(FileIoConfig::new(server.uri())).unwrap();
    let (warnings, _guard) = Warnings::start();
    store.upload(Upload::new("a", "x").with(options)).await.unwrap();
    warnings.take()
}

#[tokio::test]
async fn a_default_of_fileio_that_the_response_does_not_confirm_is_a_warning() {
    const EXPIRES: &str = r#","expires":"2099-01-01T00:00:00Z""#;
    let default = FileIoUpload::new;
    let complete = format!(r#","maxDownloads":1,"autoDelete":true{EXPIRES}"#);
    assert_eq!(warnings_of_upload(&complete, default()).await, "");
    let of_two = warnings_of_upload(&complete.replace(":1,", ":2,"), default()).await;
    assert!(of_two.contains("WARN") && of_two.contains("does not confirm that it allows one download,"), "{of_two}");
    for unconfirmed in ["", r#","maxDownloads":1"#, r#","maxDownloads":0,"autoDelete":true"#, r#","expiry":"14 days""#]
    {
        let text = warnings_of_upload(unconfirmed, default()).await;
        assert!(text.contains("does not confirm") && !text.contains("KEYcanary123"), "{unconfirmed}: {text}");
    }
    let kept = complete.replace("true", "false");
    assert!(warnings_of_upload(&kept, default()).await.contains("that it is deleted after that"));
    let endless = complete.replace(r#""2099-01-01T00:00:00Z""#, "null");
    assert!(warnings_of_upload(&endless, default()).await.contains("that it expires"));
    // What the caller requires is an error; what the caller allows is no warning.
    assert_eq!(warnings_of_upload(&complete, FileIoUpload::new().max_downloads(1)).await, "");
}
