//! The bodies of requests: how long one may be, and what becomes of one that is not read to its end.
//!
//! The system resets a connection that is closed while its client still sends, and the client then loses the answer, such as that
//! its file is too large. So the rest of a body is read and thrown away while the answer is on its way, within limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::problem::Problem;

/// Most bytes of a body.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// Most bytes that are thrown away of a body, and the longest time that this takes.
const MAX_DISCARDED: u64 = 4 << 30;
const LONGEST: Duration = Duration::from_secs(20);

/// A body that is read by whoever answers the request, and by nobody if it is dropped before its end.
struct Received {
    body: Body,
    /// Whether it has ended, or cannot be read.
    is_over: bool,
    /// Whether the client sends it only if it is wanted.
    waits: bool,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits = false;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.is_over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.is_over || self.waits || self.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let rest = std::mem::take(&mut self.body);
            runtime.spawn(async { timeout(LONGEST, discard(rest)).await });
        }
    }
}

async fn discard(mut body: Body) {
    let mut n_bytes = 0;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if n_bytes > MAX_DISCARDED {
            return;
        }
    }
}

/// Has the rest of every body read.
pub(super) async fn receive(request: Request, next: Next) -> Response {
    let waits = request.headers().contains_key(header::EXPECT);
    next.run(request.map(|body| Body::new(Received { body, is_over: false, waits }))).await
}

/// Refuses a body that is too long by its head, before any of it is read.
pub(super) async fn check_length(request: Request, next: Next) -> Response {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length @ 0_u64..) if length > MAX_BYTES as u64 => {
            let text = format!(
                "{} MiB are too much for one file; at most {} MiB are taken",
                length >> 20,
                MAX_BYTES >> 20
            );
            Problem::BadBody(StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
        }
        _ => next.run(request).await,
    }
}
