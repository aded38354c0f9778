//! [`Gateway`]: a proxy in front of a service that follows a script: it loses, rejects or replaces requests and
//! responses, and records them. It knows only the framing of HTTP/1.1, not the protocol of the service.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// The action of the gateway on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Forwards the request and the response.
    Pass,
    /// Forwards the request, and breaks the connection instead of the response.
    LoseResponse,
    /// Breaks the connection before the service gets the request.
    LoseRequest,
    /// Breaks the connection, and forwards the request after the client has given up.
    Delay,
    /// Responds with this status, without forwarding the request.
    Respond(u16, Response),
    /// Forwards the request, and responds with this status and the body of the script.
    ReplaceResponse(u16),
    /// Does not listen, so that no connection is established.
    RejectConnection,
}

/// The source and the form of a response that does not come from the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// A web page, as a proxy or a captive portal sends it.
    Page,
    /// A JSON error in the format of all the services at once.
    Json,
}

/// A request that the gateway received, and the response of the service.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The status of the service's response; `None` if the request was not forwarded.
    pub(crate) status: Option<u16>,
    /// The body of the service's response.
    pub(crate) body: Vec<u8>,
}

/// The actions on requests: `first` on the request number `at`, counted from 0, and `then` on all later
/// requests. Earlier requests pass.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) at: usize,
    pub(crate) first: Action,
    pub(crate) then: Action,
    /// The body for [`Action::ReplaceResponse`].
    pub(crate) body: Vec<u8>,
}

impl Script {
    pub(crate) const PASS: Self = Self { at: 0, first: Action::Pass, then: Action::Pass, body: Vec::new() };

    fn action(&self, number: usize) -> Action {
        match number.cmp(&self.at) {
            std::cmp::Ordering::Less => Action::Pass,
            std::cmp::Ordering::Equal => self.first,
            std::cmp::Ordering::Greater => self.then,
        }
    }
}

/// The proxy. Its address stays the same; each script begins with an empty record of requests.
pub(crate) struct Gateway {
    address: SocketAddr,
    state: Arc<State>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    upstream: SocketAddr,
    run: Mutex<Run>,
}

struct Run {
    script: Script,
    seen: Vec<Seen>,
    delayed: Vec<(usize, Vec<u8>)>,
}

/// The time for which the gateway does not listen if only the first connection is to be rejected. It is shorter
/// than the delay of the last retries.
const REJECTION: Duration = Duration::from_millis(10);

impl Gateway {
    /// Returns a free address.
    pub(crate) fn reserve() -> SocketAddr {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.local_addr().unwrap()
    }

    /// Starts a proxy at `address` for the service at `upstream`.
    pub(crate) fn new(address: SocketAddr, upstream: SocketAddr) -> Self {
        let run = Run { script: Script::PASS, seen: Vec::new(), delayed: Vec::new() };
        let state = Arc::new(State { upstream, run: Mutex::new(run) });
        let gateway = Self { address, state, listening: Mutex::new(None) };
        gateway.listen(Duration::ZERO);
        gateway
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Follows `script` from now on.
    pub(crate) async fn play(&self, script: Script) {
        self.stop().await;
        let is_first_rejected = script.at == 0 && script.first == Action::RejectConnection;
        let are_all_rejected = is_first_rejected && script.then == Action::RejectConnection;
        *lock(&self.state.run) = Run { script, seen: Vec::new(), delayed: Vec::new() };
        if are_all_rejected {
            return;
        }
        self.listen(if is_first_rejected { REJECTION } else { Duration::ZERO });
    }

    /// Forwards the delayed requests, and returns all requests since the script began.
    pub(crate) async fn finish(&self) -> Vec<Seen> {
        let delayed = std::mem::take(&mut lock(&self.state.run).delayed);
        for (number, request) in delayed {
            let response = self.state.forward(&request).await;
            lock(&self.state.run).seen[number].record(&response);
        }
        lock(&self.state.run).seen.clone()
    }

    fn listen(&self, after: Duration) {
        let state = Arc::clone(&self.state);
        let address = self.address;
        let bind = move || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(64).unwrap()
        };
        // Without a delay, the socket must listen before this function returns, because the caller connects next.
        let ready = after.is_zero().then(&bind);
        let task = tokio::spawn(async move {
            let listener = match ready {
                Some(listener) => listener,
                None => {
                    tokio::time::sleep(after).await;
                    bind()
                }
            };
            state.serve(listener).await;
        });
        *lock(&self.listening) = Some(task);
    }

    async fn stop(&self) {
        let task = lock(&self.listening).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.listening).take() {
            task.abort();
        }
    }
}

impl State {
    /// Serves the connections one by one, one request each. Ends when the next connection is to be rejected.
    async fn serve(&self, listener: TcpListener) {
        let mut listener = Some(listener);
        while let Some(open) = &listener {
            let Ok((mut stream, _)) = open.accept().await else { return };
            let Some(request) = read_request(&mut stream).await else { continue };
            let (number, action, next_action) = {
                let mut run = lock(&self.run);
                let number = run.seen.len();
                let mut words =
                    request.split(|byte| *byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned());
                let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                run.seen.push(Seen { method, target, status: None, body: Vec::new() });
                // A rejected first connection counts in the script, but has no request.
                let rejected = usize::from(run.script.at == 0 && run.script.first == Action::RejectConnection);
                (number, run.script.action(number + rejected), run.script.action(number + rejected + 1))
            };
            // Before the response, because the client's next attempt may follow at once.
            if next_action == Action::RejectConnection {
                listener = None;
            }
            match action {
                Action::Pass => {
                    let response = self.forward(&request).await;
                    lock(&self.run).seen[number].record(&response);
                    let _ = stream.write_all(&response).await;
                    let _ = stream.shutdown().await;
                }
                Action::LoseResponse => {
                    let response = self.forward(&request).await;
                    lock(&self.run).seen[number].record(&response);
                }
                Action::LoseRequest => {}
                Action::Delay => lock(&self.run).delayed.push((number, request)),
                Action::Respond(status, response) => {
                    let (content_type, body) = match response {
                        Response::Page => ("text/html", "<html><body>Welcome</body></html>".to_owned()),
                        Response::Json => ("application/json", error_body(status)),
                    };
                    let response = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(response.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
                Action::ReplaceResponse(status) => {
                    let response = self.forward(&request).await;
                    let (head, _) = split(&response);
                    let body = {
                        let mut run = lock(&self.run);
                        run.seen[number].record(&response);
                        run.script.body.clone()
                    };
                    // The other headers stay, because some of them describe the body.
                    let head: String = String::from_utf8_lossy(head)
                        .lines()
                        .skip(1)
                        .filter(|line| {
                            let line = line.to_ascii_lowercase();
                            !["content-length:", "transfer-encoding:"].iter().any(|name| line.starts_with(name))
                        })
                        .fold(format!("HTTP/1.1 {status} X\r\n"), |head, line| head + line + "\r\n");
                    let length = format!("content-length: {}\r\n\r\n", body.len());
                    let _ = stream
                        .write_all(&[head.trim_end().as_bytes(), b"\r\n", length.as_bytes(), &body].concat())
                        .await;
                    let _ = stream.shutdown().await;
                }
                Action::RejectConnection => unreachable!("the gateway does not listen"),
            }
        }
    }

    async fn forward(&self, request: &[u8]) -> Vec<u8> {
        forward(self.upstream, request).await
    }
}

/// Forwards `request` to the service at `upstream`, and returns the whole response.
pub(crate) async fn forward(upstream: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut upstream = TcpStream::connect(upstream).await.unwrap();
    let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    upstream.write_all(&request[..line]).await.unwrap();
    upstream.write_all(b"connection: close\r\n").await.unwrap();
    upstream.write_all(&request[line..]).await.unwrap();
    let mut response = Vec::new();
    upstream.read_to_end(&mut response).await.unwrap();
    response
}

/// Returns an error body that has the fields of PubNub, Files.com and file.io.
fn error_body(status: u16) -> String {
    // If the head has the status 200, the body still has an error.
    let status = if status == 200 { 418 } else { status };
    let kind = match status {
        401 => "not-authenticated/invalid-credentials",
        403 => "not-authorized/insufficient-permission-for-site",
        404 => "not-found",
        409 | 422 => "processing-failure/model-save-error",
        429 => "rate-limited/too-many-requests",
        500.. => "service-unavailable/service-unavailable",
        _ => "bad-request/invalid",
    };
    format!(
        r#"{{"success":false,"status":{status},"message":"no","code":"NO","error":"no","type":"{kind}","http-code":{status},"title":"No"}}"#
    )
}

impl Seen {
    fn record(&mut self, response: &[u8]) {
        (self.status, self.body) = (status_of(response), split(response).1.to_vec());
    }
}

/// Splits a response into its head and its body.
fn split(response: &[u8]) -> (&[u8], &[u8]) {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").map_or(response.len(), |at| at + 4);
    response.split_at(end)
}

fn status_of(response: &[u8]) -> Option<u16> {
    std::str::from_utf8(response.get(9..12)?).ok()?.parse().ok()
}

/// Reads the head and the body of a request; `None` if the connection ends earlier.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let length: Option<usize> = field("content-length:").map(|length| length.parse().unwrap());
    let is_chunked = field("transfer-encoding:").is_some();
    while request.len() < head + length.unwrap_or(0) || is_chunked && !request.ends_with(b"0\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
