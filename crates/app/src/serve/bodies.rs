//! The bodies of requests: how long one may be, how slowly one may arrive, and what becomes of one that is not read to its end.
//!
//! The system resets a connection that is closed while its client still sends, and the client then loses the answer, such as that
//! its file is too large. So the rest of a body is read and thrown away while the answer is on its way, within limits.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;

/// Most bytes of a body.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// Most bytes that are thrown away of a body, and the longest time that this takes.
const MAX_DISCARDED: u64 = 4 << 30;
const LONGEST: Duration = Duration::from_secs(20);
/// Memory for bodies that arrive, in KiB; as much again for slow ones.
const MEMORY_KIB: usize = 4 * (MAX_BYTES >> 10);
/// The time after which a body that still arrives is a slow one.
const SLOW: Duration = Duration::from_secs(20);

/// Memory for the bodies of requests with an image.
pub(super) struct BodyMemory {
    arriving: Arc<Semaphore>,
    /// For those that have taken this long, so that they keep no others waiting.
    slow: Arc<Semaphore>,
    limit: Duration,
}

impl Default for BodyMemory {
    fn default() -> Self {
        Self::new(SLOW)
    }
}

impl BodyMemory {
    /// A body that takes longer than `limit` is a slow one.
    pub(super) fn new(limit: Duration) -> Self {
        let [arriving, slow] = [(); 2].map(|()| Arc::new(Semaphore::new(MEMORY_KIB)));
        Self { arriving, slow, limit }
    }

    /// The bytes of a body, with the memory that is reserved for it: of the length in the head of its request, or [`MAX_BYTES`]
    /// without one.
    ///
    /// # Errors
    /// `incomplete` if it is too long or does not arrive; [`Problem::Refused`] if it is slow, and there are too many of them.
    pub(super) async fn read(
        &self,
        body: Body,
        incomplete: Problem,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
        let named = body.size_hint().upper();
        let n_bytes = named.map_or(MAX_BYTES, |n_bytes| n_bytes.min(MAX_BYTES as u64) as usize);
        let kib = n_bytes.div_ceil(1 << 10) as u32;
        let memory = Arc::clone(&self.arriving).acquire_many_owned(kib).await;
        let mut memory = memory.map_err(|_| Problem::Failed)?;
        let mut arriving = pin!(to_bytes(body, MAX_BYTES));
        let arrived = match timeout(self.limit, &mut arriving).await {
            Ok(arrived) => arrived,
            Err(_) => {
                let slow = Arc::clone(&self.slow).try_acquire_many_owned(kib);
                memory =
                    slow.map_err(|_| too_slow("the image arrives slowly, as many others do; send it again"))?;
                arriving.await
            }
        };
        Ok((arrived.map_err(|_| incomplete)?, memory))
    }
}

fn too_slow(reason: &str) -> Problem {
    Problem::Refused(StatusCode::REQUEST_TIMEOUT, reason.to_owned())
}

/// How a body arrives.
struct Arrival {
    /// The time of its latest part, or that of its request.
    latest: Instant,
    /// Whether the rest of it is waited for.
    is_awaited: bool,
}

/// The arrival of a body, shared with [`limit_time`].
#[derive(Clone)]
struct SharedArrival(Arc<Mutex<Arrival>>);

impl SharedArrival {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Arrival { latest: Instant::now(), is_awaited: false })))
    }

    fn get(&self) -> MutexGuard<'_, Arrival> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is read by whoever answers the request, and by nobody if it is dropped before its end.
struct Received {
    body: Body,
    /// Whether it has ended, or cannot be read.
    is_over: bool,
    /// Whether the client sends it only if it is wanted.
    waits: bool,
    arrival: SharedArrival,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits = false;
        self.arrival.get().is_awaited = true;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        *self.arrival.get() = Arrival { latest: Instant::now(), is_awaited: false };
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
pub(super) async fn receive(mut request: Request, next: Next) -> Response {
    let waits = request.headers().contains_key(header::EXPECT);
    let arrival = SharedArrival::new();
    request.extensions_mut().insert(arrival.clone());
    next.run(request.map(|body| Body::new(Received { body, is_over: false, waits, arrival }))).await
}

/// Ends a request that has no answer after `limit`, which begins again with each part of its body that arrives.
pub(super) async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let arrival = request.extensions().get::<SharedArrival>().cloned().unwrap_or_else(SharedArrival::new);
    let mut answer = pin!(next.run(request));
    loop {
        let latest = arrival.get().latest;
        if let Ok(response) = timeout_at(latest + limit, &mut answer).await {
            return response;
        }
        let now = arrival.get();
        if now.latest > latest {
            continue;
        }
        let seconds = limit.as_secs();
        let reason = if now.is_awaited {
            format!("nothing more of the request arrived for {seconds} seconds; send it again")
        } else {
            "the answer took too long; try again".to_owned()
        };
        return too_slow(&reason).into_response();
    }
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
