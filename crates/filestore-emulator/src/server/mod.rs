//! The HTTP server: accepts connections and shuts down gracefully.

mod exchange;

use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::app_state::AppState;
use crate::link::{Link, Transport};

/// The time that open requests have to finish when the emulator shuts down.
const GRACE: Duration = Duration::from_secs(2);
/// The timeout for the head of a request, so that a client that never finishes it does not hold a connection for ever.
///
/// It is longer than clients keep idle connections. A connection that the server closes first can lose a request that
/// the client must not retry.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// The descriptors of a request: a content that it reads or writes, and a record that is being written. The connection
/// has one more, its socket.
const DESCRIPTORS_OF_A_REQUEST: usize = 2;
/// The descriptors that the process uses besides connections and requests.
const OTHER_DESCRIPTORS: usize = 16;
/// The largest buffer of the HTTP layer for one connection, in bytes.
const BUFFER: usize = 256 * 1024;

/// Serves until `shutdown` is sent or dropped, then lets open requests finish within [`GRACE`].
pub(crate) async fn serve(
    listener: TcpListener,
    max_connections: usize,
    state: Arc<AppState>,
    mut shutdown: oneshot::Receiver<()>,
) {
    let limits = Limits::of(max_connections, descriptors());
    let permits = Arc::new(Semaphore::new(limits.connections));
    let requests = Arc::new(Semaphore::new(limits.requests));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener, &permits) => match accepted {
                Ok((stream, permit)) => {
                    let connection = connection(stream, Arc::clone(&state), Arc::clone(&requests), graceful.watcher());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Most likely there are no free file descriptors until another connection ends.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = &mut shutdown => break,
        }
    }
    drop(listener);
    // Connections that a fault or a client stalls would never end.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    connections.shutdown().await;
}

/// Waits until one more connection is affordable, and then for the connection. Until then, clients wait in the queue of
/// the system, and no descriptor is in use for them.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// The numbers of connections, and of requests at the same time, for which the descriptors are enough.
#[derive(Debug, PartialEq, Eq)]
struct Limits {
    connections: usize,
    requests: usize,
}

impl Limits {
    /// Returns at most `max_connections` connections. They get up to three fifths of the descriptors, because most
    /// connections are idle.
    fn of(max_connections: usize, descriptors: usize) -> Self {
        let descriptors = descriptors.saturating_sub(OTHER_DESCRIPTORS);
        let connections = max_connections.min(descriptors / 5 * 3).max(1);
        let requests = descriptors.saturating_sub(connections) / DESCRIPTORS_OF_A_REQUEST;
        Self { connections, requests: requests.clamp(1, Semaphore::MAX_PERMITS) }
    }
}

/// Returns the number of files that this process may have open.
fn descriptors() -> usize {
    // Only Linux tells the limit in a file; the default of macOS is the lowest known.
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    descriptor_limit(&limits).unwrap_or(256)
}

/// Returns the limit of open files in the text of `/proc/self/limits`.
fn descriptor_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(usize::MAX) } else { soft.parse().ok() }
}

async fn connection(
    stream: TcpStream,
    state: Arc<AppState>,
    requests: Arc<Semaphore>,
    graceful: hyper_util::server::graceful::Watcher,
) {
    // Disables Nagle's algorithm, which would only delay responses.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::default());
    let transport = TokioIo::new(Transport::new(stream, Arc::clone(&link), state.response_timeout));
    let service = service_fn(move |request| {
        exchange::exchange(Arc::clone(&state), Arc::clone(&link), Arc::clone(&requests), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(transport, service);
    if let Err(error) = graceful.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_descriptors_is_read_from_the_table_of_linux() {
        let table =
            |soft: &str| format!("Limit  Soft Limit  Hard Limit  Units\nMax open files  {soft}  524288  files\n");
        assert_eq!(descriptor_limit(&table("32")), Some(32));
        assert_eq!(descriptor_limit(&table("unlimited")), Some(usize::MAX));
        assert_eq!(descriptor_limit(""), None);
    }

    #[test]
    fn the_descriptors_are_enough_for_all_connections_and_requests() {
        let limits = |max, descriptors| {
            let Limits { connections, requests } = Limits::of(max, descriptors);
            (connections, requests)
        };
        assert_eq!(limits(16_384, 20_000), (11_988, 3_998));
        assert_eq!(limits(16_384, 1_024), (603, 202));
        assert_eq!(limits(16_384, 32), (9, 3));
        assert_eq!(limits(2, 32), (2, 7));
        assert_eq!(limits(0, 0), (1, 1));
    }
}
