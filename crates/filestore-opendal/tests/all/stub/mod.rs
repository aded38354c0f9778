//! Stub services in memory, with the parts of their protocol that the tests need. A script makes them fail. They do not
//! depend on the client, so their files show the real effect of the requests.

#![allow(dead_code, unreachable_pub, reason = "included by the tests of other crates, some of which use only a part")]

pub mod s3;
pub mod webdav;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// The action of the service for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Serves the request.
    Serve,
    /// Breaks the connection before any response, and applies the request if `applied`.
    Lose { applied: bool },
    /// Sends the service's own response with this status, and applies the request if `applied`.
    Respond { status: u16, applied: bool },
    /// Sends a web page with status 200, like something other than the service.
    Page,
    /// Refuses this connection and all that follow.
    Refuse,
}

/// The protocol of a stub service.
pub trait Protocol: Send + 'static {
    /// Serves a request.
    fn serve(&mut self, request: &Received) -> Reply;
    /// Returns the service's own response with an error status.
    fn error(&self, status: u16, request: &Received) -> Reply;
    /// Returns the files by their paths.
    fn files(&self) -> BTreeMap<String, Vec<u8>>;
}

/// A received request.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub method: String,
    /// The path, without the query.
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// Returns the requested bytes of `content`, and the value of `Content-Range`.
    pub fn range(&self, content: &[u8]) -> Option<(Vec<u8>, String)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let first: usize = first.parse().ok()?;
        let last = last.parse().unwrap_or(usize::MAX).min(content.len().saturating_sub(1));
        Some((content.get(first..=last)?.to_vec(), format!("bytes {first}-{last}/{}", content.len())))
    }
}

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// `true` if the body is sent again and again, until the client closes the connection.
    pub endless: bool,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), endless: false }
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn xml(self, body: impl Into<String>) -> Self {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", body.into());
        self.header("content-type", "application/xml").body(body)
    }

    pub fn page(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please log in.</body></html>";
        Self::new(status).header("content-type", "text/html").body(page)
    }
}

type Arm = Box<dyn Fn(&Received) -> bool + Send>;

/// A running service.
pub struct Stub<P> {
    pub url: String,
    address: SocketAddr,
    state: Arc<Mutex<State<P>>>,
    server: JoinHandle<()>,
}

impl<P> Drop for Stub<P> {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct State<P> {
    protocol: P,
    /// The script begins with the first request for which this is true.
    arm: Arm,
    armed: bool,
    script: VecDeque<Action>,
    then: Action,
    received: Vec<Received>,
    /// The time for which each request is held, if requests are served at the same time.
    hold: Option<Duration>,
    /// The number of requests that are served now, and the largest one so far.
    at_once: (usize, usize),
    /// The bytes of endless bodies that were sent.
    endless_bytes: usize,
}

/// The size at which an endless body ends nevertheless, so that a test that fails ends.
const END_OF_ENDLESS: usize = 64 << 20;

/// The size of the pieces in which the stub sends an endless body.
const PIECE: usize = 128 << 10;

impl<P: Protocol> Stub<P> {
    /// Starts a service that serves every request.
    pub async fn start(protocol: P) -> Self {
        Self::scripted(protocol, |_| true, [], Action::Serve).await
    }

    /// Starts a service that serves requests at the same time, and holds each for a while.
    pub async fn concurrent(protocol: P, hold: Duration) -> Self {
        let stub = Self::start(protocol).await;
        lock(&stub.state).hold = Some(hold);
        stub
    }

    /// Makes the service follow this script from the first request for which `arm` is true.
    pub fn script(&self, arm: impl Fn(&Received) -> bool + Send + 'static, script: impl IntoIterator<Item = Action>) {
        let mut state = lock(&self.state);
        (state.arm, state.armed, state.script) = (Box::new(arm), false, script.into_iter().collect());
    }

    /// Starts a service that serves every request before the first for which `arm` is true. From then on it follows the
    /// script, and after its end repeats `then`.
    ///
    /// A script that begins with [`Action::Refuse`] applies to connections instead of requests: the service refuses
    /// them for 30 ms, and then continues with the rest of the script.
    pub async fn scripted(
        protocol: P,
        arm: impl Fn(&Received) -> bool + Send + 'static,
        script: impl IntoIterator<Item = Action>,
        then: Action,
    ) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), protocol, Box::new(arm), script.into_iter().collect(), then)
    }

    /// Restarts the service at the same address, with another script.
    pub async fn restart(
        &mut self,
        protocol: P,
        arm: impl Fn(&Received) -> bool + Send + 'static,
        script: impl IntoIterator<Item = Action>,
        then: Action,
    ) {
        self.server.abort();
        let _ = (&mut self.server).await;
        *self = Self::at(self.address, protocol, Box::new(arm), script.into_iter().collect(), then);
    }

    fn at(address: SocketAddr, protocol: P, arm: Arm, mut script: VecDeque<Action>, then: Action) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket option");
        socket.bind(address).expect("a port");
        let address = socket.local_addr().expect("an address");
        let starts_later = script.front() == Some(&Action::Refuse);
        if starts_later {
            script.pop_front();
        }
        let refuses_all = script.front().copied().unwrap_or(then) == Action::Refuse;
        let state = State {
            protocol,
            arm,
            armed: starts_later,
            script,
            then,
            received: Vec::new(),
            hold: None,
            at_once: (0, 0),
            endless_bytes: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let listener = if starts_later { Err(socket) } else { Ok(socket.listen(64).expect("a listener")) };
        let server = tokio::spawn(async move {
            let listener = match listener {
                Ok(listener) => listener,
                // The port stays in use.
                Err(_socket) if refuses_all => std::future::pending().await,
                Err(socket) => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    socket.listen(64).expect("a listener")
                }
            };
            run(listener, &shared).await;
        });
        Self { url: format!("http://{address}"), address, state, server }
    }

    /// Returns the files by their paths.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        lock(&self.state).protocol.files()
    }

    /// Returns all requests so far, without their bodies.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// Returns the largest number of requests that were served at the same time.
    pub fn most_at_once(&self) -> usize {
        lock(&self.state).at_once.1
    }

    /// Returns the bytes of endless bodies that were sent so far.
    pub fn endless_bytes(&self) -> usize {
        lock(&self.state).endless_bytes
    }

    /// Changes the state of the service.
    pub fn change(&self, change: impl FnOnce(&mut P)) {
        change(&mut lock(&self.state).protocol);
    }

    /// Returns the methods of all requests so far.
    pub fn methods(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.method).collect()
    }
}

async fn run<P: Protocol>(listener: TcpListener, state: &Arc<Mutex<State<P>>>) {
    let mut listener = Some(listener);
    while let Some(open) = &listener {
        let Ok((mut stream, _)) = open.accept().await else { return };
        let hold = lock(state).hold;
        if let Some(hold) = hold {
            let state = Arc::clone(state);
            drop(tokio::spawn(async move {
                let Some(request) = receive(&mut stream).await else { return };
                lock(&state).begin();
                tokio::time::sleep(hold).await;
                let (reply, _) = lock(&state).decide(&request);
                lock(&state).at_once.0 -= 1;
                send(&mut stream, reply, &request, &state).await;
            }));
            continue;
        }
        let Some(request) = receive(&mut stream).await else { continue };
        let (reply, refuse) = lock(state).decide(&request);
        // Before the client can see the end of this request.
        if refuse {
            listener = None;
        }
        send(&mut stream, reply, &request, state).await;
    }
}

async fn send<P>(stream: &mut TcpStream, reply: Option<Reply>, request: &Received, state: &Mutex<State<P>>) {
    if let Some(reply) = reply {
        let _ = stream.write_all(&encode(&reply, request.method == "HEAD" || reply.endless)).await;
        if reply.endless {
            let _ = send_endless(stream, &reply, state).await;
        }
        let _ = stream.shutdown().await;
    }
}

/// Sends the body of `reply` again and again. It is slow enough that the client closes the connection before much of the
/// body is in the buffers of the system.
async fn send_endless<P>(stream: &mut TcpStream, reply: &Reply, state: &Mutex<State<P>>) -> std::io::Result<()> {
    let is_chunked = reply.headers.iter().any(|(name, _)| name == "transfer-encoding");
    let piece: Vec<u8> = reply.body.iter().copied().cycle().take(PIECE).collect();
    let mut sent = 0;
    while sent < END_OF_ENDLESS {
        if is_chunked {
            stream.write_all(format!("{PIECE:x}\r\n").as_bytes()).await?;
        }
        stream.write_all(&piece).await?;
        if is_chunked {
            stream.write_all(b"\r\n").await?;
        }
        sent += PIECE;
        lock(state).endless_bytes += PIECE;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if is_chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

impl<P: Protocol> State<P> {
    fn begin(&mut self) {
        self.at_once.0 += 1;
        self.at_once.1 = self.at_once.1.max(self.at_once.0);
    }

    /// Returns the response, if any, and `true` if all further connections are refused.
    fn decide(&mut self, request: &Received) -> (Option<Reply>, bool) {
        let headers = request.headers.clone();
        let (method, path, query) = (request.method.clone(), request.path.clone(), request.query.clone());
        self.received.push(Received { method, path, query, headers, body: Vec::new() });
        self.armed = self.armed || (self.arm)(request);
        if !self.armed {
            return (Some(self.protocol.serve(request)), false);
        }
        let action = self.script.pop_front().unwrap_or(self.then);
        let reply = match action {
            Action::Serve => Some(self.protocol.serve(request)),
            Action::Lose { applied } => {
                if applied {
                    self.protocol.serve(request);
                }
                None
            }
            Action::Respond { status, applied } => {
                if applied {
                    self.protocol.serve(request);
                }
                Some(self.protocol.error(status, request))
            }
            Action::Page => Some(Reply::page(200)),
            Action::Refuse => None,
        };
        (reply, self.script.front().copied().unwrap_or(self.then) == Action::Refuse)
    }
}

fn encode(reply: &Reply, head: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_length = |name: &str| matches!(name, "content-length" | "transfer-encoding");
    if !reply.headers.iter().any(|(name, _)| has_length(name)) && !matches!(reply.status, 204 | 304) {
        text.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    if !head {
        bytes.extend_from_slice(&reply.body);
    }
    bytes
}

/// Reads one request. `None` if the connection ends before it does.
async fn receive(stream: &mut TcpStream) -> Option<Received> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut request = Received {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body: buffer.split_off(end),
    };
    if request.header("transfer-encoding") == Some("chunked") {
        request.body = receive_chunks(stream, std::mem::take(&mut request.body)).await?;
        return Some(request);
    }
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}

/// Reads a chunked body, of which `received` has arrived.
async fn receive_chunks(stream: &mut TcpStream, mut received: Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = received.windows(2).position(|window| window == b"\r\n") {
                break received.drain(..at + 2).collect::<Vec<_>>();
            }
            if stream.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
        };
        let length = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        while received.len() < length + 2 {
            if stream.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
        }
        body.extend(received.drain(..length));
        received.drain(..2);
        if length == 0 {
            return Some(body);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
