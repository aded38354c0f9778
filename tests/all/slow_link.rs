//! The time limits on a slow link with a large queue, and on a link that stalls: every upload ends without being sent
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::effects::opendal::stub::Stub;
use crate::effects::opendal::stub::webdav::Webdav;
use filestore::{Config, Upload};
use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

const SIZE: usize = 5_000_000;

/// The number of bytes that a link accepts before they are forwarded.
const QUEUE: usize = 256 * 1024;

const CHUNK: usize = 4096;

/// A link to a server, which forwards what the client sends slowly.
struct Link {
    address: String,
    /// The bytes that the client has sent, over all connections.
    sent: Arc<AtomicU64>,
    /// The number of stalls that the connections have met: one for a link.
    stalls: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
struct LinkOptions {
    /// Bytes per second; `None` is without limit.
    rate: Option<u64>,
    /// After half a file, the connection of the file forwards nothing for this time.
    stall: Option<Duration>,
}

impl Link {
    async fn start(server: &str, options: LinkOptions) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // The queue of the link is this buffer and the channel below.
        socket.set_recv_buffer_size(u32::try_from(QUEUE / 2).unwrap()).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sent, stalls) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let server = server.trim_start_matches("http://").to_owned();
        tokio::spawn(accept(listener, server, options, Arc::clone(&sent), Arc::clone(&stalls)));
        Self { address, sent, stalls }
    }
}

async fn accept(
    listener: TcpListener,
    server: String,
    options: LinkOptions,
    sent: Arc<AtomicU64>,
    stalls: Arc<AtomicU64>,
) {
    // All connections share the rate of the link.
    let turn = Arc::new(Mutex::new(()));
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(&server).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (queue, mut queued) = mpsc::channel::<Vec<u8>>(QUEUE / 2 / CHUNK);
        let (sent, stalls, turn) = (Arc::clone(&sent), Arc::clone(&stalls), Arc::clone(&turn));
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        tokio::spawn(async move {
            let mut chunk = vec![0; CHUNK];
            while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
                if queue.send(chunk[..length].to_vec()).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(chunk) = queued.recv().await {
                let before = sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                let is_due = before > SIZE as u64 / 2 && stalls.load(Ordering::Relaxed) == 0;
                if let Some(stall) = options.stall.filter(|_| is_due) {
                    stalls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(stall).await;
                }
                if let Some(rate) = options.rate {
                    let _turn = turn.lock().await;
                    tokio::time::sleep(Duration::from_micros(chunk.len() as u64 * 1_000_000 / rate)).await;
                }
                if to_server.write_all(&chunk).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// A store that is declared by `settings`, and reached by a link of its own.
struct Linked {
    name: &'static str,
    link: Link,
    store: filestore::Store,
}

async fn linked(server: &str, name: &'static str, settings: &str, options: LinkOptions) -> Linked {
    let link = Link::start(server, options).await;
    let text = format!("[stores.{name}]\nmax_retries = 0\n{settings}").replace("LINK", &link.address);
    let config = Config::parse(&text, "slow_link.toml").unwrap();
    let store = config.open(&filestore::registry()).unwrap().default_store().unwrap().clone();
    Linked { name, link, store }
}

/// Returns a store of every service, each over a link of its own.
async fn all(
    emulator: &Emulator,
    s3: &MockServer,
    webdav: &Stub<Webdav>,
    limits: &str,
    options: LinkOptions,
) -> Vec<Linked> {
    // The emulator accepts requests in the form that a proxy gets, so the link also carries those to other URLs.
    let (url, proxy) = (emulator.url(), "proxy = \"LINK\"");
    let pubnub = format!(
        "backend = \"pubnub\"\nbase_url = {url:?}\n{proxy}\npublish_key = \"pub-c-emulator\"\n\
         subscribe_key = \"sub-c-emulator\"\nuser_id = \"u\"\nchannel = \"c\"\n{limits}"
    );
    let filescom =
        format!("backend = \"filescom\"\nbase_url = {url:?}\n{proxy}\napi_key = {FILESCOM_API_KEY:?}\n{limits}");
    let fileio = format!("backend = \"fileio\"\nbase_url = {url:?}\n{proxy}\napi_key = {FILEIO_API_KEY:?}\n{limits}");
    let bucket = format!(
        "backend = \"opendal\"\nservice = \"s3\"\n{limits}[stores.s3.options]\nbucket = \"b\"\nregion = \"r\"\n\
         endpoint = \"LINK\"\naccess_key_id = \"a\"\nsecret_access_key = \"s\"\n"
    );
    let share =
        format!("backend = \"opendal\"\nservice = \"webdav\"\n{limits}[stores.webdav.options]\nendpoint = \"LINK\"\n");
    vec![
        linked(url, "pubnub", &pubnub, options).await,
        linked(url, "filescom", &filescom, options).await,
        linked(url, "fileio", &fileio, options).await,
        linked(&s3.uri(), "s3", &bucket, options).await,
        linked(&webdav.url, "webdav", &share, options).await,
    ]
}

/// Uploads a file of [`SIZE`] bytes to all stores at once. Each succeeds in its first attempt.
async fn upload_to_all(limits: &str, options: LinkOptions) -> Vec<Linked> {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let s3 = MockServer::start().await;
    let stored = ResponseTemplate::new(200).insert_header("ETag", "\"6e3\"");
    Mock::given(method("PUT")).respond_with(stored).expect(1).mount(&s3).await;
    let webdav = Stub::start(Webdav::default()).await;
    let stores = all(&emulator, &s3, &webdav, limits, options).await;
    let uploads = stores.iter().map(|linked| async {
        let content: Vec<u8> = (0..SIZE).map(|byte| (byte / 7) as u8).collect();
        let uploaded = linked.store.upload(Upload::new("slow.bin", content)).await;
        uploaded.unwrap_or_else(|error| panic!("{}: {error}", linked.name));
        let sent = linked.link.sent.load(Ordering::Relaxed);
        assert!((SIZE as u64..SIZE as u64 + 100_000).contains(&sent), "{} sent {sent} bytes", linked.name);
    });
    futures::future::join_all(uploads).await;
    stores
}

/// The link has a fixed rate and a queue. Set `SLOW_LINK=full` for the default limits, which takes four minutes.
#[tokio::test]
async fn an_upload_over_a_slow_link_with_a_queue_is_sent_once() {
    let is_full = std::env::var("SLOW_LINK").is_ok_and(|size| size == "full");
    let (rate, limits) =
        if is_full { (25_000, "") } else { (250_000, "idle_timeout = \"12s\"\nresponse_timeout = \"30s\"\n") };
    upload_to_all(limits, LinkOptions { rate: Some(rate), stall: None }).await;
}

#[tokio::test]
async fn an_upload_that_stalls_for_less_than_the_idle_timeout_is_sent_once() {
    let stall = Some(Duration::from_secs(35));
    let stores = upload_to_all("idle_timeout = \"45s\"\n", LinkOptions { rate: None, stall }).await;
    for linked in stores {
        assert_eq!(linked.link.stalls.load(Ordering::Relaxed), 1, "{}", linked.name);
    }
}
