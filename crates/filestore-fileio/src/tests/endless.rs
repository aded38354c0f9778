//! Listings that a service never ends.

use std::sync::Arc;

use filestore_core::{FileStore, List, Stat, Store};
use futures::TryStreamExt;

use super::*;

/// A service that ignores the offset and says that it has a million files.
async fn repeating() -> MockServer {
    let nodes = STORED.replace("KEYcanary123", "K1aaa");
    let response = json(200, &format!(r#"{{"success":true,"status":200,"nodes":[{nodes}],"count":1000000}}"#));
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

#[tokio::test]
async fn a_listing_that_repeats_its_page_at_every_offset_is_a_protocol_error() {
    let server = repeating().await;
    let store = Store::new("drop", Arc::new(with_key(&server))).unwrap();
    let error = store.list_all(List::new()).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    assert_eq!(server.received_requests().await.unwrap().len(), 1002);
}

#[tokio::test]
async fn a_stat_in_a_listing_that_never_ends_is_a_protocol_error() {
    let server = repeating().await;
    let error = with_key(&server).stat(Stat::from(key())).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    assert_eq!(server.received_requests().await.unwrap().len(), 1002);
}
