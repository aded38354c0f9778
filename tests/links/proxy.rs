//! A link in front of a server: each connection has a delay, a rate and a queue of its own.
//!
//! The link computes when each byte arrives, and a timer that is late does not move what follows. So the rate is exact,
//! and the delay is exact to one millisecond.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// The largest number of bytes that arrive together.
const SEGMENT: usize = 32 * 1024;

/// The buffer of the proxy's sockets; the kernel's own would be a second queue of several megabytes.
const SOCKET_BUFFER: u32 = 64 * 1024;

/// Tokio's timer and `epoll` each round up to the next millisecond. With this correction, bytes are as often early as
/// late.
const TIMER_ROUNDING: Duration = Duration::from_millis(1);

/// The properties of each connection.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "only the benchmark creates it")]
pub struct LinkOptions {
    /// The delay in each direction: half of the round-trip time.
    pub delay: Duration,
    /// Bytes per second in each direction; `None` is without a limit.
    pub rate: Option<u64>,
    /// The number of bytes that wait for their transmission in each direction.
    pub queue: usize,
}

impl LinkOptions {
    /// Returns the number of bytes that a direction holds: the queue, and what is on the way.
    fn capacity(&self) -> usize {
        let rate = self.rate.unwrap_or(1_000_000_000) as f64;
        self.queue.max(SEGMENT) + (rate * self.delay.as_secs_f64()) as usize
    }

    fn transmission_time(&self, bytes: usize) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate as f64))
    }
}

/// A listener on loopback whose connections are forwarded to a server.
#[derive(Debug)]
pub struct Link {
    listener: TcpListener,
    options: LinkOptions,
    connections: Arc<AtomicUsize>,
}

impl Link {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// The address of the socket cannot be bound.
    pub fn bind(options: LinkOptions) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { listener: socket.listen(1024)?, options, connections: Arc::default() })
    }

    /// Returns the address that clients connect to.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the number of connections that clients have opened.
    #[must_use]
    pub fn connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.connections)
    }

    /// Forwards connections until the future is dropped.
    pub async fn forward_to(self, server: SocketAddr) {
        // `accept` also fails for a connection that the client has closed: the next one is not affected.
        loop {
            let Ok((client, _)) = self.listener.accept().await else { continue };
            self.connections.fetch_add(1, Ordering::Relaxed);
            let options = self.options;
            tokio::spawn(async move { drop(forward(client, server, options).await) });
        }
    }
}

async fn forward(client: TcpStream, server: SocketAddr, options: LinkOptions) -> io::Result<()> {
    // The kernel completes the handshake at once. On a real link, it takes a round trip before the client can send.
    let established = Instant::now() + options.delay * 2;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    let server = socket.connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let upward = transmit(from_client, to_server, options, established);
    let downward = transmit(from_server, to_client, options, established);
    tokio::try_join!(upward, downward).map(drop)
}

/// Bytes on their way.
struct Segment {
    arrives_at: Instant,
    /// Empty at the end of the stream.
    bytes: Vec<u8>,
    /// The room in the link that the bytes take until they are delivered.
    _room: OwnedSemaphorePermit,
}

/// Forwards one direction of a connection to its end. The first byte is transmitted at `established` or later.
async fn transmit(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    options: LinkOptions,
    established: Instant,
) -> io::Result<()> {
    let (sender, mut segments) = mpsc::unbounded_channel::<Segment>();
    let send = async move {
        let room = Arc::new(Semaphore::new(options.capacity()));
        let mut idle_from = established;
        loop {
            let permits = Arc::clone(&room).acquire_many_owned(SEGMENT as u32).await;
            let mut room = permits.map_err(io::Error::other)?;
            let mut bytes = Vec::with_capacity(SEGMENT);
            let length = (&mut from).take(SEGMENT as u64).read_buf(&mut bytes).await?;
            let used = room.split(length).ok_or_else(|| io::Error::other("a segment is too long"))?;
            idle_from = idle_from.max(Instant::now()) + options.transmission_time(length);
            let segment = Segment { arrives_at: idle_from + options.delay, bytes, _room: used };
            if sender.send(segment).is_err() || length == 0 {
                return Ok(());
            }
        }
    };
    let deliver = async move {
        while let Some(segment) = segments.recv().await {
            sleep_until(segment.arrives_at - TIMER_ROUNDING).await;
            to.write_all(&segment.bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(send, deliver).map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const OPTIONS: LinkOptions =
        LinkOptions { delay: Duration::from_millis(20), rate: Some(10_000_000), queue: 256 * 1024 };

    /// Returns both ends of one direction of a connection that is established.
    fn direction(options: LinkOptions) -> (DuplexStream, DuplexStream) {
        let (near, from) = duplex(1024);
        let (to, far) = duplex(1024);
        tokio::spawn(async move { transmit(from, to, options, Instant::now()).await.unwrap() });
        (near, far)
    }

    /// The time is that of the link, within the correction of the timer.
    #[track_caller]
    fn assert_elapsed(start: Instant, expected: Duration) {
        let elapsed = start.elapsed();
        assert!(elapsed <= expected && elapsed >= expected - TIMER_ROUNDING * 2, "{elapsed:?}, not {expected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_arrives_after_the_delay() {
        let (mut near, mut far) = direction(OPTIONS);
        let start = Instant::now();
        near.write_all(b"a").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');
        assert_elapsed(start, Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_megabyte_arrives_at_the_rate_of_the_link() {
        let (mut near, mut far) = direction(OPTIONS);
        let start = Instant::now();
        tokio::spawn(async move { near.write_all(&vec![7; 1_000_000]).await.unwrap() });
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, vec![7; 1_000_000]);
        assert_elapsed(start, Duration::from_millis(20 + 100));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_after_a_pause_are_not_late() {
        let (mut near, mut far) = direction(OPTIONS);
        near.write_all(b"a").await.unwrap();
        far.read_u8().await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        near.write_all(b"b").await.unwrap();
        far.read_u8().await.unwrap();
        assert_elapsed(start, Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_does_not_read_stops_the_sender() {
        let (mut near, _far) = direction(OPTIONS);
        let mut accepted = 0;
        while let Ok(written) = timeout(Duration::from_secs(1), near.write(&[0; 1024])).await {
            accepted += written.unwrap();
        }
        // The queue of 256 KiB and 20 ms of 10 MB/s, less a segment that needs room before it is read, and the buffers
        // of this test.
        let capacity = 256 * 1024 + 200_000;
        assert!((capacity - SEGMENT..=capacity + 2 * 1024).contains(&accepted), "{accepted}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_waits_for_the_handshake() {
        let (mut near, from) = duplex(1024);
        let (to, mut far) = duplex(1024);
        let start = Instant::now();
        tokio::spawn(async move { transmit(from, to, OPTIONS, start + OPTIONS.delay * 2).await.unwrap() });
        near.write_all(b"a").await.unwrap();
        far.read_u8().await.unwrap();
        assert_elapsed(start, Duration::from_millis(60));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_stream_arrives_after_the_last_byte() {
        let (mut near, mut far) = direction(OPTIONS);
        near.write_all(b"last").await.unwrap();
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last");
    }

    #[tokio::test]
    async fn a_connection_carries_both_directions_to_their_ends() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = LinkOptions { delay: Duration::from_millis(1), rate: None, queue: SEGMENT };
        let link = Link::bind(options).unwrap();
        let (address, connections) = (link.address().unwrap(), link.connections());
        tokio::spawn(link.forward_to(server.local_addr().unwrap()));
        let echo = tokio::spawn(async move {
            let (mut connection, _) = server.accept().await.unwrap();
            let mut request = Vec::new();
            connection.read_to_end(&mut request).await.unwrap();
            request.reverse();
            connection.write_all(&request).await.unwrap();
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
        client.write_all(&content).await.unwrap();
        client.shutdown().await.unwrap();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        echo.await.unwrap();
        response.reverse();
        assert!(response == content, "{} bytes came back", response.len());
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    }
}
