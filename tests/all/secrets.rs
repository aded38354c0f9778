//! Canaries: a secret that is planted everywhere is seen nowhere.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use filestore::{Config, Download, FileRef, List, Store, Upload};
use filestore_emulator::{Emulator, FaultPlan, Options};
use tracing_log::LogTracer;
use tracing_subscriber::fmt::MakeWriter;

const CANARY: &str = "canary-5c1f2a77";

/// Everything that a program might print.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<Vec<u8>>>);

impl Everything {
    fn add(&self, text: &str) {
        self.0.lock().unwrap().extend_from_slice(text.as_bytes());
    }

    fn leaks(&self) -> bool {
        self.has(CANARY)
    }

    fn has(&self, secret: &str) -> bool {
        self.text().contains(secret)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Everything {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Everything {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Runs `body` with trace-level logs, spans and all, going into what is returned.
async fn watching<F: Future<Output = ()>>(body: impl FnOnce(Everything) -> F) -> Everything {
    // Some dependencies write to `log`.
    let _ = LogTracer::init();
    let seen = Everything::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(seen.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    body(seen.clone()).await;
    seen
}

/// The chain of an error, the way programs print it.
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
async fn a_planted_leak_is_found() {
    let seen = watching(|seen| async move {
        tracing::trace!(key = CANARY, "this is what the test must see");
        seen.add("nothing");
    })
    .await;
    assert!(seen.leaks());
}

#[tokio::test]
async fn a_configuration_shows_no_value() {
    let text = format!(
        "[stores.a]\nbackend = \"opendal\"\nservice = \"s3\"\noptions = {{ bucket = \"b\", secret_access_key = \"{CANARY}\" }}\n"
    );
    let seen = watching(|seen| async move {
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
    assert!(!seen.leaks());
}

#[tokio::test]
async fn a_mistake_beside_a_secret_does_not_show_it() {
    let seen = watching(|seen| async move {
        for text in [
            format!("[stores.a]\nbackend = \"fs\"\nroot = [\"{CANARY}\"]\n"),
            format!("[stores.a]\nbackend = \"fs\"\nroott = \"{CANARY}\"\n"),
            format!("[stores.a]\nbackend = \"opendal\"\nservice = \"fs\"\noptions = \"{CANARY}\"\n"),
            format!("[stores.a]\nbackend = {CANARY}\n"),
            format!("[stores.a\nbackend = \"{CANARY}\n"),
        ] {
            match Config::parse(&text, "f.toml").and_then(|config| config.open(&filestore::registry())) {
                Ok(_) => panic!("accepted: {text}"),
                Err(error) => seen.add(&chain(&error)),
            }
        }
    })
    .await;
    assert!(!seen.leaks());
}

#[tokio::test]
async fn a_reference_shows_only_its_beginning_in_debug_and_errors() {
    let seen = watching(|seen| async move {
        let stores = Config::parse("[stores.a]\nbackend = \"memory\"\n", "f.toml").unwrap();
        let stores = stores.open(&filestore::registry()).unwrap();
        // The key of another store may be all that it takes to read the file there.
        let reference: FileRef = format!("a:keyed:{CANARY}").parse().unwrap();
        seen.add(&format!("{reference:?}"));
        seen.add(&chain(&stores.get("a").unwrap().stat(&reference).await.unwrap_err()));
        seen.add(&chain(&format!("not a store:keyed:{CANARY}").parse::<FileRef>().unwrap_err()));
    })
    .await;
    assert!(!seen.leaks());
}

/// An emulator whose account has the canary as its key, and a store that uses it.
async fn file_io(folder: &std::path::Path) -> (Emulator, Store) {
    let credentials = folder.join("credentials.toml");
    let account = format!("[[fileio.accounts]]\nname = \"team\"\napi_key = \"{CANARY}\"\nplan = \"paid\"\n");
    std::fs::write(&credentials, account).unwrap();
    let emulator = Emulator::start(Options { credentials: Some(credentials), ..Options::default() }).await.unwrap();
    let text = format!("[stores.a]\nbackend = \"fileio\"\nbase_url = {:?}\napi_key = \"{CANARY}\"\n", emulator.url());
    let stores = Config::parse(&text, "f.toml").unwrap().open(&filestore::registry()).unwrap();
    let store = stores.default_store().unwrap().clone();
    (emulator, store)
}

#[tokio::test]
async fn a_key_on_the_wire_is_in_no_log_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (emulator, store) = file_io(folder.path()).await;
    let seen = watching(|seen| async move {
        seen.add(&format!("{store:?}"));
        let file = store.upload(Upload::new("a.txt", "x")).await.unwrap();
        seen.add(&format!("{:?}", store.list(List::new()).await.unwrap()));
        for status in [400, 401, 403, 404, 413, 429, 500, 503] {
            let rule = format!("[[fault]]\ndo = {{ status = {{ code = {status} }} }}\n");
            emulator.set_faults(FaultPlan::from_toml(&rule).unwrap());
            seen.add(&chain(&store.upload(Upload::new("b.txt", "x")).await.unwrap_err()));
            // Status 429 and 5xx would be repeated for seconds; one reader is enough.
            seen.add(&chain(&store.download(&file.reference).await.unwrap_err()));
        }
        emulator.set_faults(FaultPlan::from_toml("[[fault]]\ndo = \"lost-answer\"\n").unwrap());
        seen.add(&chain(&store.upload(Upload::new("b.txt", "x")).await.unwrap_err()));
        seen.add(&chain(&store.download(&file.reference).await.unwrap_err()));
    })
    .await;
    assert!(!seen.leaks());
}

#[tokio::test]
async fn a_key_that_is_the_permission_is_in_no_log_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (emulator, store) = file_io(folder.path()).await;
    let file = store.upload(Upload::new("a.txt", "x")).await.unwrap();
    let key = file.reference.components().remove(0);
    let seen = watching(|seen| async move {
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

/// Alphanumeric, as keys of Files.com are.
const PLAIN_CANARY: &str = "canary5c1f2a77";

/// An emulator that knows the canaries, and a store of its that uses them.
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

/// Everything that can be done, with every refusal at every step.
async fn everything(seen: &Everything, emulator: &Emulator, store: &Store) {
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
async fn keys_tokens_signatures_and_signed_urls_of_pubnub_are_in_no_log_and_no_error() {
    let keys = format!("publish_key = \"pub-{CANARY}\"\nsubscribe_key = \"sub-c\"\nsecret_key = {CANARY:?}\n");
    let settings = format!(
        "backend = \"pubnub\"\nuser_id = \"me\"\nchannel = \"room\"\n{keys}\n\
         token = \"token-{CANARY}\"\ncipher_key = \"cipher-{CANARY}\"\n"
    );
    let (emulator, store) = store_with(&format!("[[pubnub.keysets]]\n{keys}"), &settings).await;
    let seen = watching(|seen| async move { everything(&seen, &emulator, &store).await }).await;
    // The journal is the service's: the publish key stands in its paths.
    assert!(!seen.text().replace(&format!("pub-{CANARY}"), "").contains(CANARY));
    assert!(!seen.has("signature=v2."));
    for signed in ["X-Amz-Signature=", "x-amz-signature="] {
        let text = seen.text();
        let shown = text.match_indices(signed).map(|(at, _)| &text[at + signed.len()..]);
        assert!(shown.clone().all(|rest| rest.starts_with("***")), "{:?}", shown.map(|rest| &rest[..9]).next());
    }
}

#[tokio::test]
async fn keys_and_signed_urls_of_files_com_are_in_no_log_and_no_error() {
    let users = format!("[[filescom.users]]\nname = \"ann\"\napi_key = {PLAIN_CANARY:?}\n");
    let settings = format!("backend = \"filescom\"\napi_key = {PLAIN_CANARY:?}\n");
    let (emulator, store) = store_with(&users, &settings).await;
    let seen = watching(|seen| async move { everything(&seen, &emulator, &store).await }).await;
    assert!(!seen.has(PLAIN_CANARY));
    let text = seen.text();
    let shown = text.match_indices("X-Amz-Signature=").map(|(at, found)| &text[at + found.len()..]);
    assert!(shown.clone().all(|rest| rest.starts_with("***")), "{:?}", shown.map(|rest| &rest[..9]).next());
}
