//! Servers, certificates and proxies with which no request succeeds, for every backend that uses HTTP. Each
//! failure ends within its limits, is a single attempt if a retry cannot succeed, and its message says what to
//! change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filestore::{Config, Delete, Effect, Error, ErrorKind, List, Result, Store, Upload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The name and the settings of a store of each backend, whose service is at `URL`.
const BACKENDS: [(&str, &str); 5] = [
    (
        "pubnub",
        "backend = \"pubnub\"\nuser_id = \"u\"\npublish_key = \"p\"\nsubscribe_key = \"s\"\nchannel = \"c\"\nbase_url = \"URL\"\n",
    ),
    ("filescom", "backend = \"filescom\"\napi_key = \"k\"\nbase_url = \"URL\"\n"),
    ("fileio", "backend = \"fileio\"\napi_key = \"k\"\nbase_url = \"URL\"\n"),
    (
        "s3",
        "backend = \"opendal\"\nservice = \"s3\"\noptions = { bucket = \"b\", region = \"us-east-1\", endpoint = \"URL\", \
         access_key_id = \"a\", secret_access_key = \"s\", disable_config_load = \"true\" }\n",
    ),
    ("webdav", "backend = \"opendal\"\nservice = \"webdav\"\noptions = { endpoint = \"URL\" }\n"),
];

/// Settings for fast retries.
const QUICK: &str = "initial_retry_delay = \"1ms\"\nmax_retry_delay = \"1ms\"\n";

fn open(settings: &str, url: &str, more: &str) -> Result<Store> {
    let text = format!("[stores.a]\n{}{QUICK}{more}\n", settings.replace("URL", url));
    Ok(Config::parse(&text, "hostile.toml")?.open(&filestore::registry())?.default_store()?.clone())
}

/// Returns the errors of a list, a delete and an upload.
async fn errors(store: &Store) -> [Error; 3] {
    let scheme = store.capabilities().scheme.to_string();
    let file = match scheme.as_str() {
        "pubnub" => "a:pubnub:c/6b1c6c2e-6f0a-4d0e-9a54-0f2f4a3b7c11/a.txt".to_owned(),
        "fileio" => "a:fileio:Ab12Cd34Ef56".to_owned(),
        scheme => format!("a:{scheme}:a.txt"),
    };
    let file: filestore::FileRef = file.parse().unwrap();
    [
        store.list(List::new()).await.unwrap_err(),
        store.delete(Delete::from(&file)).await.unwrap_err(),
        store.upload(Upload::new("a.txt", "content")).await.unwrap_err(),
    ]
}

/// A server that treats all connections the same, and counts them.
struct Server {
    address: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, connections, task }
    }

    /// Starts a server that responds to every request with `response`.
    async fn responding(response: String) -> Self {
        Self::start(move |mut stream| {
            let response = response.clone();
            async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(response.as_bytes()).await;
                let _ = stream.shutdown().await;
                // The rest of the request is read, because a reset could discard the response.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        })
        .await
    }

    /// Starts a server with a self-signed certificate, which clients do not trust.
    async fn untrusted() -> Self {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(generated.signing_key.serialize_der().into());
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![generated.cert.into()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream| {
            let accepting = acceptor.accept(stream);
            async move {
                let _ = accepting.await;
            }
        })
        .await
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
}

/// Checks that each operation makes one attempt and sends no request, and that the message contains `words`.
async fn is_permanent(name: &str, store: &Store, kind: ErrorKind, words: &[&str]) {
    for error in errors(store).await {
        let message = error.to_string();
        assert_eq!((error.kind(), error.effect(), error.attempts()), (kind, Effect::NotSent, 1), "{name}: {message}");
        assert!(!error.is_safe_to_retry(), "{name}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{name}: {message}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_not_retried_and_the_error_names_the_setting() {
    for (name, settings) in BACKENDS {
        let server = Server::untrusted().await;
        let store = open(settings, &server.url("https"), "").unwrap();
        is_permanent(name, &store, ErrorKind::Config, &["certificate", "ca_file"]).await;
        assert_eq!(server.connections(), 3, "{name}");
    }
}

#[tokio::test]
async fn tls_to_a_server_without_tls_is_not_retried() {
    for (name, settings) in BACKENDS {
        let server = Server::start(|mut stream| async move {
            // A server without TLS rejects the TLS handshake as an invalid request, without waiting for its end.
            let _ = stream.read(&mut [0; 100]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        })
        .await;
        let store = open(settings, &server.url("https"), "").unwrap();
        is_permanent(name, &store, ErrorKind::Config, &["TLS", "the scheme and the port"]).await;
        assert_eq!(server.connections(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_proxy_that_needs_a_password_is_a_permission_error_and_not_retried() {
    let response = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (name, settings) in BACKENDS {
        for scheme in ["http", "https"] {
            let proxy = Server::responding(response.to_owned()).await;
            let more = format!("proxy = \"{}\"", proxy.url("http"));
            let store = open(settings, &format!("{scheme}://files.invalid"), &more).unwrap();
            is_permanent(name, &store, ErrorKind::Permission, &["407", &proxy.address, "the setting proxy"]).await;
            assert_eq!(proxy.connections(), 3, "{name} {scheme}");
        }
    }
}

#[tokio::test]
async fn an_invalid_proxy_is_a_configuration_error() {
    for (name, settings) in BACKENDS {
        for proxy in ["socks5://127.0.0.1:1080", "not a url"] {
            let error = open(settings, "http://files.invalid", &format!("proxy = {proxy:?}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{name}: {error}");
            assert!(error.to_string().contains("proxy"), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn the_error_of_an_unreachable_proxy_names_the_proxy_and_its_setting() {
    for (name, settings) in BACKENDS {
        for scheme in ["http", "https"] {
            let store = open(settings, &format!("{scheme}://files.invalid"), "proxy = \"http://127.0.0.1:9\"").unwrap();
            for error in errors(&store).await {
                let message = error.to_string();
                assert_eq!(
                    (error.kind(), error.effect()),
                    (ErrorKind::Unavailable, Effect::NotSent),
                    "{name}: {message}"
                );
                assert!(error.is_safe_to_retry() && error.attempts() == 4, "{name}: {message}");
                let is_named = message.contains("http://127.0.0.1:9") && message.contains("the setting proxy");
                assert!(is_named, "{name}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_never_responds_ends_at_the_response_timeout() {
    for (name, settings) in BACKENDS {
        let server = Server::start(|mut stream| async move {
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        })
        .await;
        let store = open(settings, &server.url("http"), "response_timeout = \"100ms\"\nmax_retries = 0").unwrap();
        for error in errors(&store).await {
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn an_endless_response_that_must_be_parsed_is_an_error_after_16_mib() {
    const CHUNK: usize = 64 * 1024;
    for (name, settings) in BACKENDS {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let json = matches!(name, "pubnub" | "filescom" | "fileio");
        let server = Server::start(move |mut stream| {
            let counter = Arc::clone(&counter);
            async move {
                read_head(&mut stream).await;
                let (status, content_type) = match name {
                    "webdav" => ("207", "application/xml"),
                    _ if json => ("200", "application/json"),
                    _ => ("200", "application/xml"),
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                let mut open = stream.write_all(head.as_bytes()).await.is_ok();
                let chunk = format!("{CHUNK:x}\r\n{}\r\n", " ".repeat(CHUNK));
                while open {
                    open = stream.write_all(chunk.as_bytes()).await.is_ok();
                    counter.fetch_add(CHUNK, Ordering::Relaxed);
                }
            }
        })
        .await;
        let store = open(settings, &server.url("http"), "max_retries = 0").unwrap();
        let error = store.list(List::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{name}: {error}");
        // The limit of 16 MiB, and the bytes in the buffers of the connection.
        let sent = sent.load(Ordering::Relaxed);
        assert!((16 << 20..40 << 20).contains(&sent), "{name}: {sent} bytes");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for (name, settings) in BACKENDS {
        let other = Server::responding("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother".to_owned()).await;
        for status in [301, 302, 303, 307, 308] {
            let location = other.url("http");
            let response = format!(
                "HTTP/1.1 {status} X\r\nlocation: {location}/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let server = Server::responding(response).await;
            let store = open(settings, &server.url("http"), "").unwrap();
            for error in errors(&store).await {
                // A 303 means that the request may have been processed.
                let is_known = error.effect() == Effect::Rejected || status == 303 && error.effect() == Effect::Unknown;
                assert!(is_known && error.attempts() == 1, "{name} {status}: {error}");
            }
        }
        assert_eq!(other.connections(), 0, "{name}");
    }
}
