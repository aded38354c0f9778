//! Canaries: planted secrets that must not appear in any trace, error or `Debug` output.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::sync::LazyLock;

use filestore::{Config, Download, FileRef, List, Store, Upload};
use filestore_emulator::{Emulator, FaultPlan, Options};
use filestore_http::testing::Traces;
use tracing_log::LogTracer;

/// All traces of this process, including spans and the `log` records of dependencies. All tests and threads share
/// them, because a leak is often in a thread that the test did not start. So each test has a different canary.
static TRACES: LazyLock<Traces> = LazyLock::new(|| {
    LogTracer::init().unwrap();
    Traces::of_this_process()
});

/// All text that a program might print: the traces, and the text that a test adds.
#[derive(Default)]
struct Output(String);

impl Output {
    fn new() -> Self {
        LazyLock::force(&TRACES);
        Self::default()
    }

    fn add(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn text(&self) -> String {
        format!("{}{}", self.0, TRACES.text())
    }

    fn has(&self, secret: &str) -> bool {
        self.text().contains(secret)
    }
}

/// Returns the text that a program might print while `body` runs.
async fn output_of(body: impl AsyncFnOnce(&mut Output)) -> Output {
    let mut output = Output::new();
    body(&mut output).await;
    output
}

/// Returns an error and its causes, in the form in which programs print them.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(" {inner} {inner:?}"));
        cause = inner.source();
    }
    text
}

#[tokio::test]
async fn a_planted_leak_is_found_in_every_thread() {
    let seen = output_of(async |seen| {
        let leak = |canary: &'static str| tracing::trace!(key = canary, "a planted leak");
        leak("canary-planted-1");
        std::thread::spawn(move || leak("canary-planted-2")).join().unwrap();
        tokio::task::spawn_blocking(move || leak("canary-planted-3")).await.unwrap();
        // A span without events, and a `log` record of a dependency.
        drop(tracing::trace_span!("span", key = "canary-planted-4").entered());
        tracing_log::log::trace!("canary-planted-5");
        seen.add("canary-planted-6");
    })
    .await;
    for number in 1..=6 {
        assert!(seen.has(&format!("canary-planted-{number}")), "{number}");
    }
    assert!(!seen.has("canary-planted-7"));
}

#[tokio::test]
async fn a_configuration_shows_no_value() {
    const CANARY: &str = "canary-configuration";
    let text = format!(
        "[stores.a]\nbackend = \"opendal\"\nservice = \"s3\"\noptions = {{ bucket = \"b\", secret_access_key = \"{CANARY}\" }}\n"
    );
    let seen = output_of(async |seen| {
        let config = Config::parse(&text, "f.toml").unwrap();
        seen.add(&format!("{config:?}"));
        let resolved = config.stores()[0].resolve(&filestore::registry()).unwrap();
        seen.add(&format!("{resolved:?}"));
        match config.open(&filestore::registry()) {
            Ok(stores) => seen.add(&format!("{stores:?}")),
            Err(error) => seen.add(&chain(&error)),
        }
    })
    .await;
    assert!(!seen.has(CANARY));
}

#[tokio::test]
async fn the_error_of_an_invalid_configuration_does_not_show_a_secret() {
    const CANARY: &str = "canary-mistake";
    let seen = output_of(async |seen| {
        for text in [
            format!("[stores.a]\nbackend = \"fs\"\nroot = [\"{CANARY}\"]\n"),
            format!("[stores.a]\nbackend = \"fs\"\nroott = \"{CANARY}\"\n"),
            format!("[stores.a]\nbackend = \"opendal\"\nservice = \"fs\"\noptions = \"{CANARY}\"\n"),
            format!("[stores.a]\nbackend = {CANARY}\n"),
            format!("[stores.a\nbackend = \"{CANARY}\n"),
        ] {
            let stores = match Config::parse(&text, "f.toml").and_then(|config| config.open(&filestore::registry())) {
                Ok(stores) => stores,
                Err(error) => {
                    seen.add(&chain(&error));
                    continue;
                }
            };
            seen.add(&format!("{stores:?}"));
            seen.add(&chain(&stores.failed().next().expect(&text).error));
            seen.add(&chain(&stores.get("a").unwrap_err()));
        }
    })
    .await;
    assert!(!seen.has(CANARY));
}

#[tokio::test]
async fn a_reference_shows_only_its_beginning_in_debug_and_errors() {
    const CANARY: &str = "canary-reference";
    let seen = output_of(async |seen| {
        let stores = Config::parse("[stores.a]\nbackend = \"memory\"\n", "f.toml").unwrap();
        let stores = stores.open(&filestore::registry()).unwrap();
        // The key of another store may suffice to read the file there.
        let reference: FileRef = format!("a:keyed:{CANARY}").parse().unwrap();
        seen.add(&format!("{reference:?}"));
        seen.add(&chain(&stores.get("a").unwrap().stat(&reference).await.unwrap_err()));
        seen.add(&chain(&format!("not a store:keyed:{CANARY}").parse::<FileRef>().unwrap_err()));
    })
    .await;
    assert!(!seen.has(CANARY));
}

/// Starts an emulator with an account whose API key is `key`, and opens a store that uses it.
async fn file_io(folder: &std::path::Path, key: &str) -> (Emulator, Store) {
    let credentials = folder.join("credentials.toml");
    let account = format!("[[fileio.accounts]]\nname = \"team\"\napi_key = \"{key}\"\nplan = \"paid\"\n");
    std::fs::write(&credentials, account).unwrap();
    let emulator = Emulator::start(Options { credentials: Some(credentials), ..Options::default() }).await.unwrap();
    let text = format!("[stores.a]\nbackend = \"fileio\"\nbase_url = {:?}\napi_key = \"{key}\"\n", emulator.url());
    let stores = Config::parse(&text, "f.toml").unwrap().open(&filestore::registry()).unwrap();
    let store = stores.default_store().unwrap().clone();
    (emulator, store)
}

#[tokio::test]
async fn a_key_on_the_wire_is_in_no_log_and_no_error() {
    const CANARY: &str = "canary-wire";
    let folder = tempfile::tempdir().unwrap();
    let (emulator, store) = file_io(folder.path(), CANARY).await;
    let seen = output_of(async |seen| {
        seen.add(&format!("{store:?}"));
        let file = store.upload(Upload::new("a.txt", "x")).await.unwrap();
        seen.add(&format!("{:?}", store.list(List::new()).await.unwrap()));
        for status in [400, 401, 403, 404, 413, 429, 500, 503] {
            let rule = format!("[[fault]]\ndo = {{ status = {{ code = {status} }} }}\n");
            emulator.set_faults(FaultPlan::from_toml(&rule).unwrap());
            seen.add(&chain(&store.upload(Upload::new("b.txt", "x")).await.unwrap_err()));
            // `read` would retry a 429 or 5xx for seconds; one download is enough.
            seen.add(&chain(&store.download(&file.reference).await.unwrap_err()));
        }
        emulator.set_faults(FaultPlan::from_toml("[[fault]]\ndo = \"lost-answer\"\n").unwrap());
        seen.add(&chain(&store.upload(Upload::new("b.txt", "x")).await.unwrap_err()));
        seen.add(&chain(&store.download(&file.reference).await.unwrap_err()));
    })
    .await;
    assert!(!seen.has(CANARY));
}

#[tokio::test]
async fn a_file_key_that_grants_access_is_in_no_log_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (emulator, store) = file_io(folder.path(), "no-canary").await;
    let file = store.upload(Upload::new("a.txt", "x")).await.unwrap();
    let key = file.reference.components().remove(0);
    let seen = output_of(async |seen| {
        seen.add(&format!("{file:?} {:?}", store.stat(&file.reference).await.unwrap()));
        seen.add(&format!("{:?} {:?}", store.url(&file.reference).await.unwrap(), Download::from(&file.reference)));
        store.read(&file.reference, 10).await.unwrap();
        seen.add(&chain(&store.read(&file.reference, 10).await.unwrap_err()));
        seen.add(&chain(&store.stat(&file.reference).await.unwrap_err()));
        emulator.set_faults(FaultPlan::from_toml("[[fault]]\ndo = { redirect = {} }\n").unwrap());
        seen.add(&chain(&store.download(&file.reference).await.unwrap_err()));
        emulator.set_faults(FaultPlan::from_toml("[[fault]]\ndo = { reset = { at = \"request\" } }\n").unwrap());
        seen.add(&chain(&store.download(&file.reference).await.unwrap_err()));
    })
    .await;
    assert!(!seen.has(&key));
}

/// An alphanumeric canary, as keys of Files.com are.
const PLAIN_CANARY: &str = "canary5c1f2a77";

/// Starts an emulator with the credentials `users`, and opens a store with `settings`.
async fn store_with(users: &str, settings: &str) -> (Emulator, Store) {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials.toml");
    std::fs::write(&credentials, users).unwrap();
    let emulator = Emulator::start(Options { credentials: Some(credentials), ..Options::default() }).await.unwrap();
    let text = format!("[stores.a]\nbase_url = {:?}\nmax_retries = 0\n{settings}", emulator.url());
    let stores = Config::parse(&text, "f.toml").unwrap().open(&filestore::registry()).unwrap();
    let store = stores.default_store().unwrap().clone();
    (emulator, store)
}

/// Runs all operations of `store`, each with every fault at each of the first three requests.
async fn run_all_operations(seen: &mut Output, emulator: &Emulator, store: &Store) {
    seen.add(&format!("{store:?}"));
    let file = store.upload(Upload::new("a.txt", "x")).await.unwrap();
    seen.add(&format!("{file:?} {:?}", store.list(List::new()).await.unwrap()));
    seen.add(&format!("{:?} {:?}", store.stat(&file.reference).await.unwrap(), Download::from(&file.reference)));
    store.read(&file.reference, 10).await.unwrap();
    if let Ok(url) = store.url(&file.reference).await {
        seen.add(&format!("{url:?}"));
    }
    let faults =
        [400, 401, 403, 404, 413, 422, 429, 500, 503].map(|code| format!("{{ status = {{ code = {code} }} }}"));
    let others =
        ["\"lost-answer\"", "{ html = { code = 200 } }", "{ redirect = {} }", "\"expired-url\"", "\"wrong-etag\""];
    for fault in faults.iter().map(String::as_str).chain(others) {
        for step in 1..=3 {
            emulator.set_faults(FaultPlan::from_toml(&format!("[[fault]]\nnth = {step}\ndo = {fault}\n")).unwrap());
            for outcome in [
                store.upload(Upload::new("b.txt", "x")).await.map(|_| ()),
                store.read(&file.reference, 10).await.map(|_| ()),
                store.stat(&file.reference).await.map(|_| ()),
                store.delete(&file.reference).await,
                store.url(&file.reference).await.map(|_| ()),
            ] {
                if let Err(error) = outcome {
                    seen.add(&chain(&error));
                }
            }
        }
    }
    emulator.set_faults(FaultPlan::default());
    seen.add(&serde_json::to_string(&emulator.journal()).unwrap());
}

#[tokio::test]
async fn keys_tokens_signatures_and_presigned_urls_of_pubnub_are_in_no_log_and_no_error() {
    const CANARY: &str = "canary-pubnub";
    let keys = format!("publish_key = \"pub-{CANARY}\"\nsubscribe_key = \"sub-c\"\nsecret_key = {CANARY:?}\n");
    let settings = format!(
        "backend = \"pubnub\"\nuser_id = \"me\"\nchannel = \"room\"\n{keys}\n\
         token = \"token-{CANARY}\"\ncipher_key = \"cipher-{CANARY}\"\n"
    );
    let (emulator, store) = store_with(&format!("[[pubnub.keysets]]\n{keys}"), &settings).await;
    let seen = output_of(async |seen| run_all_operations(seen, &emulator, &store).await).await;
    // The journal belongs to the service, and the publish key is in its paths.
    assert!(!seen.text().replace(&format!("pub-{CANARY}"), "").contains(CANARY));
    assert!(!seen.has("signature=v2."));
    for signed in ["X-Amz-Signature=", "x-amz-signature="] {
        let text = seen.text();
        let shown = text.match_indices(signed).map(|(at, _)| &text[at + signed.len()..]);
        assert!(shown.clone().all(|rest| rest.starts_with("***")), "{:?}", shown.map(|rest| &rest[..9]).next());
    }
}

#[tokio::test]
async fn keys_and_presigned_urls_of_files_com_are_in_no_log_and_no_error() {
    let users = format!("[[filescom.users]]\nname = \"ann\"\napi_key = {PLAIN_CANARY:?}\n");
    let settings = format!("backend = \"filescom\"\napi_key = {PLAIN_CANARY:?}\n");
    let (emulator, store) = store_with(&users, &settings).await;
    let seen = output_of(async |seen| run_all_operations(seen, &emulator, &store).await).await;
    assert!(!seen.has(PLAIN_CANARY));
    let text = seen.text();
    let shown = text.match_indices("X-Amz-Signature=").map(|(at, found)| &text[at + found.len()..]);
    assert!(shown.clone().all(|rest| rest.starts_with("***")), "{:?}", shown.map(|rest| &rest[..9]).next());
}
