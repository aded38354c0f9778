//! TCP connections that faults can reset, or close once the bytes written so far are sent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::poll_fn;
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A request's handle to its connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    reset: AtomicBool,
    flushes: AtomicU64,
    flushed: AtomicWaker,
}

impl Link {
    /// Makes the connection end with a TCP reset instead of an orderly close.
    pub(crate) fn end_with_reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// Returns `true` if the connection is to end with a TCP reset.
    pub(crate) fn is_to_be_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// Waits until the kernel has the bytes that are in the HTTP layer's buffers now. The HTTP layer flushes its
    /// transport only after its own buffers are empty.
    pub(crate) async fn flushed(&self) {
        let before = self.flushes.load(Ordering::Acquire);
        poll_fn(|context| {
            self.flushed.register(context.waker());
            if self.flushes.load(Ordering::Acquire) == before { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// The stream under the HTTP layer.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    link: Arc<Link>,
    /// The longest time without progress while bytes wait to be sent.
    write_timeout: Duration,
    /// The end of that time, while the client does not read.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Transport {
    pub(crate) fn new(stream: TcpStream, link: Arc<Link>, write_timeout: Duration) -> Self {
        Transport { stream, link, write_timeout, deadline: None }
    }

    /// Returns the result of a write, or an error if the client has not read for too long.
    fn unless_stalled<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if self.link.is_to_be_reset() {
            // A socket that is closed with a linger time of zero sends RST.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stalled(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.link.flushes.fetch_add(1, Ordering::Release);
        self.link.flushed.wake();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
