//! The listening side: connections in, graceful end.

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

/// How long requests that are being served may take when the emulator ends.
const GRACE: Duration = Duration::from_secs(2);
/// A client that never finishes its head must not hold a connection for ever. Longer than clients
/// keep idle connections: one that we close under them costs a request that may not be repeated.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// What the HTTP layer may buffer of one connection.
const BUFFER: usize = 256 * 1024;

/// Serves until `end` is sent or dropped, then lets requests finish for a moment.
pub(crate) async fn serve(listener: TcpListener, site: Arc<AppState>, mut end: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, Arc::clone(&site), graceful.watcher());
                    connections.spawn(connection);
                }
                Err(error) => {
                    // Out of descriptors, most likely: others have to end before one can begin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = &mut end => break,
        }
    }
    drop(listener);
    // Stalled by a fault or by a client, the rest would never end.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, site: Arc<AppState>, graceful: hyper_util::server::graceful::Watcher) {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::default());
    let transport = TokioIo::new(Transport::new(stream, Arc::clone(&link)));
    let service = service_fn(move |request| exchange::exchange(Arc::clone(&site), Arc::clone(&link), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(transport, service);
    if let Err(error) = graceful.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
