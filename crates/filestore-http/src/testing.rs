//! Tools for the tests of backends: a [`TestClock`] without real waits, and a [`ScriptedServer`] that breaks
//! connections at defined points.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt, ready};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use url::Url;

use crate::Clock;

/// A clock whose time moves only when a test moves it.
///
/// [`sleep`](Clock::sleep) advances it and returns at once. [`limit`](Clock::limit) resolves when the clock has been
/// advanced that far. It starts at 2026-03-01T10:00:00Z. Its jitter is 1, so waits have their maximum length.
#[derive(Debug, Default)]
pub struct TestClock(Mutex<ClockState>);

#[derive(Default)]
struct ClockState {
    elapsed: Duration,
    slept: Vec<Duration>,
    limits: Vec<(Duration, oneshot::Sender<()>)>,
    before_sleep: Option<Box<dyn FnMut() + Send>>,
}

impl TestClock {
    /// Returns a clock that can be shared.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Advances the clock and resolves the limits that have elapsed.
    pub fn advance(&self, time: Duration) {
        let mut state = lock(&self.0);
        state.elapsed += time;
        let now = state.elapsed;
        let (elapsed, pending) = std::mem::take(&mut state.limits).into_iter().partition(|(end, _)| *end <= now);
        state.limits = pending;
        drop(state);
        for (_, sender) in elapsed {
            let _: Result<(), ()> = sender.send(());
        }
    }

    /// Returns all waits so far.
    pub fn slept(&self) -> Vec<Duration> {
        lock(&self.0).slept.clone()
    }

    /// Calls `hook` at the beginning of each wait, that is, between two attempts.
    pub fn before_sleep(&self, hook: impl FnMut() + Send + 'static) {
        lock(&self.0).before_sleep = Some(Box::new(hook));
    }

    /// Advances the clock in steps of `step` until `work` has finished, and returns its output.
    pub async fn run_until<T: Send + 'static>(&self, work: tokio::task::JoinHandle<T>, step: Duration) -> T {
        while !work.is_finished() {
            self.advance(step);
            tokio::task::yield_now().await;
        }
        match work.await {
            Ok(output) => output,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::constant(1_772_359_200, 0);
        start + lock(&self.0).elapsed
    }

    fn elapsed(&self) -> Duration {
        lock(&self.0).elapsed
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let mut state = lock(&self.0);
        state.slept.push(wait);
        if let Some(hook) = &mut state.before_sleep {
            hook();
        }
        drop(state);
        self.advance(wait);
        ready(()).boxed()
    }

    fn limit(&self, longest: Duration) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = lock(&self.0);
        if longest.is_zero() {
            return ready(()).boxed();
        }
        let end = state.elapsed + longest;
        state.limits.push((end, sender));
        receiver.map(drop).boxed()
    }

    fn jitter(&self) -> f64 {
        1.0
    }
}

impl fmt::Debug for ClockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockState").field("elapsed", &self.elapsed).finish_non_exhaustive()
    }
}

/// The behavior of a [`ScriptedServer`] on one connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reply {
    /// Reads the request, sends these bytes (a complete response or a part of one) and closes the connection.
    Response(Vec<u8>),
    /// Reads the request, sends these bytes and resets the connection.
    ResponseThenReset(Vec<u8>),
    /// Reads the request, sends these bytes and keeps the connection open without sending more.
    ResponseThenHang(Vec<u8>),
    /// Reads the request and continues with the reply that this function returns for it.
    To(fn(&Received) -> Self),
}

impl Reply {
    /// Returns a complete response with this status, these header lines and this body.
    pub fn with_status(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        Self::Response(message(status, headers, body.as_ref().len(), body.as_ref()))
    }

    /// Returns a complete JSON response.
    pub fn json(status: u16, body: &str) -> Self {
        Self::with_status(status, &["Content-Type: application/json"], body)
    }

    /// Returns a response that announces `length` bytes, of which only `body` is sent before the reset.
    pub fn cut(status: u16, headers: &[&str], length: usize, body: &str) -> Self {
        Self::ResponseThenReset(message(status, headers, length, body.as_bytes()))
    }

    /// Returns a reset after the request was read: the response is lost.
    pub fn lost() -> Self {
        Self::ResponseThenReset(Vec::new())
    }

    /// Returns a connection that stays open without a response.
    pub fn hang() -> Self {
        Self::ResponseThenHang(Vec::new())
    }
}

fn message(status: u16, headers: &[&str], length: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A server on its own port that handles each connection with the next [`Reply`] of its script.
///
/// It responds with 418 after the end of the script. It reads bodies with a `Content-Length`, not chunked ones.
#[derive(Debug)]
pub struct ScriptedServer {
    url: Url,
    requests: Arc<Mutex<Vec<Received>>>,
    count: watch::Receiver<usize>,
}

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Received {
    /// The request line and the header lines.
    pub head: String,
    /// The bytes of the body that arrived.
    pub body: Vec<u8>,
    /// `true` if the whole request arrived.
    pub whole: bool,
}

impl Received {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl ScriptedServer {
    /// Starts a server.
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_with(|_| script).await
    }

    /// Starts a server whose responses depend on its own URL.
    pub async fn start_with<S>(script: impl FnOnce(&Url) -> S) -> Self
    where
        S: IntoIterator<Item = Reply>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = server_url(listener.local_addr());
        let script = script(&url);
        Self::serve(url, script, ready(Ok(listener)))
    }

    /// Reserves a port and starts the server when the returned function is called. Until then, connections fail.
    pub fn start_later(script: impl IntoIterator<Item = Reply>) -> (Self, impl FnOnce() + Send + 'static) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let url = server_url(socket.local_addr());
        let (sender, listener) = oneshot::channel();
        let open = move || drop(sender.send(socket.listen(16).expect("a listener")));
        (Self::serve(url, script, listener), open)
    }

    fn serve(
        url: Url,
        script: impl IntoIterator<Item = Reply>,
        listener: impl Future<Output = Result<TcpListener, oneshot::Canceled>> + Send + 'static,
    ) -> Self {
        let requests = Arc::<Mutex<Vec<Received>>>::default();
        let (counted, count) = watch::channel(0);
        let mut script: std::collections::VecDeque<Reply> = script.into_iter().collect();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let Ok(listener) = listener.await else { return };
            let mut open_streams = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut reply = script.pop_front().unwrap_or_else(|| Reply::with_status(418, &[], ""));
                let received = receive(&mut stream).await;
                while let Reply::To(reply_to) = reply {
                    reply = reply_to(&received);
                }
                lock(&seen).push(received);
                counted.send_modify(|count| *count += 1);
                match reply {
                    Reply::Response(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Reply::ResponseThenReset(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        reset(stream);
                    }
                    Reply::ResponseThenHang(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        open_streams.push(stream);
                    }
                    Reply::To(_) => {}
                }
            }
        });
        Self { url, requests, count }
    }

    /// Returns `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Returns all requests so far.
    pub fn requests(&self) -> Vec<Received> {
        lock(&self.requests).clone()
    }

    /// Returns the only request. Panics if there are none or more than one.
    pub fn request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// Waits until `count` requests have arrived.
    pub async fn received(&self, count: usize) {
        let mut counted = self.count.clone();
        counted.wait_for(|seen| *seen >= count).await.expect("the server runs");
    }
}

fn server_url(local: std::io::Result<std::net::SocketAddr>) -> Url {
    let local = local.expect("an address");
    format!("http://{local}/").parse().expect("a URL")
}

/// Resets the connection. The client may lose data that it has not read yet.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().expect("a socket option");
    drop(stream);
}

/// Reads one request, or the part of it that arrives before the connection ends.
async fn receive(stream: &mut TcpStream) -> Received {
    let mut buffer = Vec::new();
    let mut received = Received::default();
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if !read_more(stream, &mut buffer).await {
            return received;
        }
    };
    received.head = String::from_utf8_lossy(&buffer[..head_end]).trim_end().to_owned();
    let length: usize = received.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    received.body = buffer.split_off(head_end);
    while received.body.len() < length && read_more(stream, &mut received.body).await {}
    received.whole = received.body.len() == length;
    received
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    stream.read_buf(buffer).await.is_ok_and(|read| read > 0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of all traces of the process, for tests that look for secrets in it.
#[derive(Debug, Clone, Default)]
pub struct Traces(Arc<Mutex<Vec<u8>>>);

impl Traces {
    /// Collects the traces of all threads of this process from now on. Panics if called twice.
    ///
    /// It installs a global collector, because a scoped one misses call sites that another test's thread reaches first.
    pub fn of_this_process() -> Self {
        let traces = Self::default();
        let sink = traces.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || sink.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only collector");
        traces
    }

    /// Returns the text of all traces so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl std::io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
