//! The HTTP server: accepts connections and shuts down gracefully.

mod exchange;

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
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
/// The largest buffer of the HTTP layer for one connection, in bytes.
const BUFFER: usize = 256 * 1024;

/// Serves until `shutdown` is sent or dropped, then lets open requests finish within [`GRACE`].
pub(crate) async fn serve(listener: TcpListener, state: Arc<AppState>, mut shutdown: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, Arc::clone(&state), graceful.watcher());
                    connections.spawn(connection);
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

async fn connection(stream: TcpStream, state: Arc<AppState>, graceful: hyper_util::server::graceful::Watcher) {
    // Disables Nagle's algorithm, which would only delay responses.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::default());
    let transport = TokioIo::new(Transport::new(stream, Arc::clone(&link)));
    let service = service_fn(move |request| exchange::exchange(Arc::clone(&state), Arc::clone(&link), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(transport, service);
    if let Err(error) = graceful.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
