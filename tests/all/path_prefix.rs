//! Services behind a gateway that has a path prefix for each, and removes it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use filestore::{Config, Upload};
use filestore_conformance::run;
use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::conformance::{ConfiguredStore, PUBNUB};
use crate::gateway::{Gateway, forward, read_request};

const PREFIX: &str = "/services/v%201";

/// A gateway that forwards the paths below [`PREFIX`] without it, and has no other paths.
struct PrefixGateway {
    address: SocketAddr,
    /// The targets of the requests that are not below the prefix.
    outside: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl PrefixGateway {
    async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, outside) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let seen = Arc::clone(&outside);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, upstream, Arc::clone(&seen)));
            }
        });
        Self { address, outside, serving }
    }
}

impl Drop for PrefixGateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves one request.
async fn serve(mut stream: TcpStream, upstream: SocketAddr, outside: Arc<Mutex<Vec<String>>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let line_end = request.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let line = std::str::from_utf8(&request[..line_end]).unwrap();
    let (method, target) = line.split_once(' ').unwrap();
    let response = match target.strip_prefix(PREFIX).filter(|path| path.starts_with('/')) {
        Some(path) => {
            forward(upstream, &[method.as_bytes(), b" ", path.as_bytes(), &request[line_end..]].concat()).await
        }
        None => {
            outside.lock().unwrap().push(target.to_owned());
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
        }
    };
    let _ = stream.write_all(&response).await;
    let _ = stream.shutdown().await;
}

/// Starts an emulator behind a gateway. The storage is reached without the gateway, as that of the services.
async fn services() -> (Emulator, PrefixGateway) {
    let listen = Gateway::reserve();
    // PubNub's signatures are checked over the path that the service receives.
    let options = Options {
        listen,
        public_url: Some(format!("http://{listen}")),
        pubnub_require_signature: true,
        strict_signature: true,
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    let gateway = PrefixGateway::start(emulator.addr()).await;
    (emulator, gateway)
}

fn declaration(gateway: &PrefixGateway, slash: &str, settings: &str) -> String {
    let base_url = format!("http://{}{PREFIX}{slash}", gateway.address);
    format!("[stores.tested]\nbase_url = {base_url:?}\n{settings}")
}

async fn check(settings: &str) {
    let (_emulator, gateway) = services().await;
    for slash in ["", "/"] {
        let report = run(&ConfiguredStore::new(&declaration(&gateway, slash, settings))).await;
        assert!(report.passed(), "{report}");
    }
    assert_eq!(*gateway.outside.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn pubnub_behind_a_path_prefix_passes_the_rules() {
    check(&format!("{PUBNUB}secret_key = \"sec-c-emulator\"\n")).await;
}

#[tokio::test]
async fn files_com_behind_a_path_prefix_passes_the_rules() {
    check(&format!("backend = \"filescom\"\napi_key = {FILESCOM_API_KEY:?}\n")).await;
}

#[tokio::test]
async fn file_io_behind_a_path_prefix_passes_the_rules() {
    check(&format!("backend = \"fileio\"\napi_key = {FILEIO_API_KEY:?}\n")).await;
}

#[tokio::test]
async fn the_link_of_a_file_leads_through_the_gateway_and_is_a_reference_again() {
    let (_emulator, gateway) = services().await;
    let config = Config::parse(&declaration(&gateway, "", "backend = \"fileio\"\n"), "prefix.toml").unwrap();
    let registry = filestore::registry();
    let store = config.open(&registry).unwrap().default_store().unwrap().clone();
    let file = store.upload(Upload::new("a.txt", "through the gateway")).await.unwrap();
    let url = store.url(file.reference()).await.unwrap();
    assert!(url.as_str().starts_with(&format!("http://{}{PREFIX}/", gateway.address)), "{url:?}");
    let tested = config.store("tested").unwrap();
    let found = tested.reference_of(&registry, url.as_str()).unwrap().unwrap();
    assert_eq!(found.components(), file.reference().components());
    let elsewhere = url.as_str().replace(PREFIX, "");
    assert!(tested.reference_of(&registry, &elsewhere).unwrap().is_none());
    let content = reqwest::get(url.as_str()).await.unwrap().text().await.unwrap();
    assert_eq!(content, "through the gateway");
}
