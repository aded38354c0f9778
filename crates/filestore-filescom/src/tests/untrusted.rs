//! What the service says is checked before it decides over a request, memory or a terminal.

use filestore_core::{Effect, ErrorKind, FileStore, Upload};
use serde_json::json;

use super::facts;
use super::site::Site;

#[tokio::test]
async fn a_part_is_not_sent_with_a_header_that_is_not_the_services_to_choose() {
    for name in ["Host", "content-length", "Transfer-Encoding", "proxy-authorization", "X-FilesAPI-Key"] {
        let site = Site::with_parts_of(20).await;
        site.state().target = json!({"headers": {name: "1"}});
        let error = site.store().upload(Upload::new("a.txt", "abc")).await.unwrap_err();
        assert_eq!(facts(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
        assert!(error.to_string().contains(&name.to_ascii_lowercase()), "{error}");
        assert_eq!(site.count("PUT "), 0, "{name}");
    }
}
