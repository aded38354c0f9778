//! What nobody may read in a trace or an error.

use super::client;
use crate::Request;
use crate::header::{AUTHORIZATION, HeaderValue};
use crate::testing::{Act, ScriptedServer, Traces};

#[tokio::test]
async fn no_trace_and_no_error_shows_a_secret() {
    let log = Traces::of_this_process();

    let server = ScriptedServer::start([Act::answer(503, &[], ""), Act::lost(), Act::lost(), Act::lost()]).await;
    let (client, _) = client(&server.url());
    let url = server.url().join("/PATH-CANARY?signature=QUERY-CANARY").unwrap();
    let request =
        Request::get(url).credential(AUTHORIZATION, HeaderValue::from_static("Bearer HEADER-CANARY")).secret_path();
    let error = client.send(request).await.unwrap_err();

    assert!(server.requests()[0].head.contains("HEADER-CANARY"));
    let traced = log.text();
    assert!(traced.contains("attempt=4"), "{traced}");
    assert!(!traced.contains("CANARY"), "{traced}");
    let mut chain = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        chain.push_str(&format!(" {source} {source:?}"));
        cause = source.source();
    }
    assert!(!chain.contains("CANARY"), "{chain}");
}
