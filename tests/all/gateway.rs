//! [`Gateway`]: a proxy in front of a service that loses, rejects or replaces responses as a script says, and writes
//! down what reached the service. It reads nothing of any protocol but the framing of HTTP/1.1.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is handed on, and its response back.
    Passes,
    /// The service applies it; the response is lost.
    ResponseLost,
    /// The connection breaks before the service has it.
    RequestLost,
    /// The connection breaks; the service applies the request when the client has long given up.
    Late,
    /// Something else answers with this status.
    Answered(u16, Response),
    /// The service applies it, and its response has this status and the body of the script instead.
    Replaced(u16),
    /// No connection comes about.
    Rejected,
}

/// Who answers in place of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// A proxy or a portal, with a page.
    Page,
    /// The service itself, with an error that each of the services understands.
    Json,
}

/// A request that came, and what the service made of it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The service's status, where it was handed on.
    pub(crate) status: Option<u16>,
    /// The body of its response.
    pub(crate) body: Vec<u8>,
}

/// The fate of the request number `at`, counted from 0, and of all after it. Those before it pass.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) at: usize,
    pub(crate) first: Fate,
    pub(crate) then: Fate,
    /// For [`Fate::Replaced`].
    pub(crate) body: Vec<u8>,
}

impl Script {
    pub(crate) const PASS: Self = Self { at: 0, first: Fate::Passes, then: Fate::Passes, body: Vec::new() };

    fn fate(&self, number: usize) -> Fate {
        match number.cmp(&self.at) {
            std::cmp::Ordering::Less => Fate::Passes,
            std::cmp::Ordering::Equal => self.first,
            std::cmp::Ordering::Greater => self.then,
        }
    }
}

/// The proxy. Its address stays the same; each script begins with a log of its own.
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
    late: Vec<(usize, Vec<u8>)>,
}

/// How long a connection is refused that is rejected at first only: shorter than the wait before the next attempt.
const REJECTED: Duration = Duration::from_millis(10);

impl Gateway {
    /// An address that nothing listens at yet.
    pub(crate) fn reserve() -> SocketAddr {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.local_addr().unwrap()
    }

    /// A proxy at `address`, for the service at `upstream`.
    pub(crate) fn new(address: SocketAddr, upstream: SocketAddr) -> Self {
        let run = Run { script: Script::PASS, seen: Vec::new(), late: Vec::new() };
        let state = Arc::new(State { upstream, run: Mutex::new(run) });
        let gateway = Self { address, state, listening: Mutex::new(None) };
        gateway.listen(Duration::ZERO);
        gateway
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plays `script` from now on.
    pub(crate) async fn play(&self, script: Script) {
        self.end().await;
        let rejected = script.at == 0 && script.first == Fate::Rejected;
        let always = rejected && script.then == Fate::Rejected;
        *lock(&self.state.run) = Run { script, seen: Vec::new(), late: Vec::new() };
        if always {
            return;
        }
        self.listen(if rejected { REJECTED } else { Duration::ZERO });
    }

    /// Hands on what is late, and gives what came in all.
    pub(crate) async fn settle(&self) -> Vec<Seen> {
        let late = std::mem::take(&mut lock(&self.state.run).late);
        for (number, request) in late {
            let response = self.state.forward(&request).await;
            lock(&self.state.run).seen[number].answered(&response);
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
        // At once where that is wanted: the caller connects right after.
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

    async fn end(&self) {
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
    /// One connection after the other: a request each. Ends where connections are to be rejected.
    async fn serve(&self, listener: TcpListener) {
        let mut listener = Some(listener);
        while let Some(open) = &listener {
            let Ok((mut stream, _)) = open.accept().await else { return };
            let Some(request) = read_request(&mut stream).await else { continue };
            let (number, fate, then) = {
                let mut run = lock(&self.run);
                let number = run.seen.len();
                let mut words =
                    request.split(|byte| *byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned());
                let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                run.seen.push(Seen { method, target, status: None, body: Vec::new() });
                // A connection that was refused at first was no request.
                let behind = usize::from(run.script.at == 0 && run.script.first == Fate::Rejected);
                (number, run.script.fate(number + behind), run.script.fate(number + behind + 1))
            };
            // Before the client hears anything: its next attempt comes at once.
            if then == Fate::Rejected {
                listener = None;
            }
            match fate {
                Fate::Passes => {
                    let response = self.forward(&request).await;
                    lock(&self.run).seen[number].answered(&response);
                    let _ = stream.write_all(&response).await;
                    let _ = stream.shutdown().await;
                }
                Fate::ResponseLost => {
                    let response = self.forward(&request).await;
                    lock(&self.run).seen[number].answered(&response);
                }
                Fate::RequestLost => {}
                Fate::Late => lock(&self.run).late.push((number, request)),
                Fate::Answered(status, answer) => {
                    let (content_type, body) = match answer {
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
                Fate::Replaced(status) => {
                    let response = self.forward(&request).await;
                    let (head, _) = split(&response);
                    let body = {
                        let mut run = lock(&self.run);
                        run.seen[number].answered(&response);
                        run.script.body.clone()
                    };
                    // The other headers stay: there are some that tell what a body is.
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
                Fate::Rejected => unreachable!("nothing listens"),
            }
        }
    }

    /// Hands `request` to the service; gives its response whole.
    async fn forward(&self, request: &[u8]) -> Vec<u8> {
        let mut upstream = TcpStream::connect(self.upstream).await.unwrap();
        let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
        upstream.write_all(&request[..line]).await.unwrap();
        upstream.write_all(b"connection: close\r\n").await.unwrap();
        upstream.write_all(&request[line..]).await.unwrap();
        let mut response = Vec::new();
        upstream.read_to_end(&mut response).await.unwrap();
        response
    }
}

/// As PubNub, Files.com and file.io say it, all in one.
fn error_body(status: u16) -> String {
    // A status of success in the head, and the truth in the body.
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
    fn answered(&mut self, response: &[u8]) {
        (self.status, self.body) = (status_of(response), split(response).1.to_vec());
    }
}

/// The head and the body of a response.
fn split(response: &[u8]) -> (&[u8], &[u8]) {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").map_or(response.len(), |at| at + 4);
    response.split_at(end)
}

fn status_of(response: &[u8]) -> Option<u16> {
    std::str::from_utf8(response.get(9..12)?).ok()?.parse().ok()
}

/// The head and the body, as they came; `None` for a connection that brings none.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
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
