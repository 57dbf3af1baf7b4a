//! The connections: so many at a time, and none that a client holds without using it.
//!
//! A client can send the head of a request slowly, take an answer slowly, or do neither. Each has a limit here, so that a place is
//! free again in the end; the times of a body and of an answer are limited by the router.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Wait after a connection that could not be accepted, such as for want of a file descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time, below the 1024 file descriptors that a program usually may have. More wait in the system's queue.
    pub(super) connections: usize,
    /// For the head of a request, also of the next one on a connection that is kept open.
    pub(super) head: Duration,
    /// For a client to take what was sent.
    pub(super) unread: Duration,
    /// For requests that have begun when the server ends.
    pub(super) end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [head, unread, end] = [10, 60, 60].map(Duration::from_secs);
        Self { connections: 512, head, unread, end }
    }
}

/// Answers requests until `stop`; then those that have begun.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        limit_unread(&stream, limits.unread);
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // An error is a client that went away or sent no HTTP: its own affair.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    drop(timeout(limits.end, connections.shutdown()).await);
}

/// Has the system end a connection whose client takes nothing of what was sent for so long. Where that fails, or the system has no
/// such limit, a client that reads nothing keeps its place: no reason to refuse it.
fn limit_unread(stream: &TcpStream, limit: Duration) {
    #[cfg(target_os = "linux")]
    drop(socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit)));
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, limit);
}
