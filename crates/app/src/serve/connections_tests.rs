//! Slow clients, many of them, and the end of the server, on real connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::bodies::{BodyMemory, limit_time, receive};
use super::connections::{Limits, serve};
use super::problem::Problem;
use super::tests::NeverArrives;

const GET: &[u8] = b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
/// More than the buffers of a connection hold.
const LARGE: usize = 64 << 20;

struct Running {
    address: SocketAddr,
    stop: Arc<Notify>,
    served: JoinHandle<()>,
}

/// A server with four places and short limits.
async fn running() -> Running {
    let router = Router::new()
        .route("/quick", get(|| async { "quick" }))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_millis(600)).await;
                "slow"
            }),
        );
    serving(router).await
}

async fn serving(router: Router) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let [head, unread, end] = [300, 1000, 5000].map(Duration::from_millis);
    let limits = Limits { connections: 4, head, unread, end };
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let served = tokio::spawn(async move { serve(listener, router, limits, stopped.notified()).await });
    Running { address, stop, served }
}

fn connect(address: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a connection");
    stream.write_all(sent).expect("a connection");
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A connection may be reset.
    drop(stream.read_to_string(&mut text));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_nothing_or_half_a_head_lose_their_places() {
    let Running { address, .. } = running().await;
    let answered = spawn_blocking(move || {
        let start = Instant::now();
        let idle: Vec<TcpStream> = [b"".as_slice(), b"GET", b"GET /quick HTTP/1.1\r\nHost: x\r\n"]
            .repeat(7)
            .into_iter()
            .map(|sent| connect(address, sent))
            .collect();
        let answer = rest(connect(address, GET));
        let closed = idle.into_iter().map(rest).all(|text| !text.contains("200 OK"));
        (answer, closed, start.elapsed())
    });
    let (answer, closed, took) = answered.await.expect("no panic");
    assert!(answer.ends_with("quick") && closed, "{answer}");
    // 21 connections at four places, each for 0.3 s.
    assert!(took > Duration::from_millis(1200), "{took:?}: all had a place at once");
}

/// Sends a byte of a head now and then, as long as it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_in_is_cut_off() {
    let Running { address, .. } = running().await;
    let took = spawn_blocking(move || {
        let start = Instant::now();
        let mut stream = connect(address, b"GET /quick HTTP/1.1\r\nHost: ");
        while stream.write_all(b"x").is_ok() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
        }
        start.elapsed()
    });
    let took = took.await.expect("no panic");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_no_answer_lose_their_places() {
    let Running { address, .. } = running().await;
    let answer = spawn_blocking(move || {
        let large = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
        let _unread: Vec<TcpStream> = (0..4).map(|_| connect(address, large)).collect();
        rest(connect(address, GET))
    });
    assert!(answer.await.expect("no panic").ends_with("quick"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_have_begun_are_answered_at_the_end() {
    let Running { address, stop, served } = running().await;
    let answer = spawn_blocking(move || {
        let slow = connect(address, SLOW);
        // Idle, and so of no concern to the end.
        let _idle = connect(address, b"");
        std::thread::sleep(Duration::from_millis(200));
        stop.notify_one();
        std::thread::sleep(Duration::from_millis(100));
        let is_closed = TcpStream::connect(address).is_err();
        (rest(slow), is_closed)
    });
    let (answer, is_closed) = answer.await.expect("no panic");
    assert!(answer.ends_with("slow"), "{answer}");
    assert!(is_closed, "it still listens");
    served.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_request_begins_again_with_each_part_of_its_body() {
    let router = Router::new()
        .route("/", post(|body: Bytes| async move { format!("{} bytes", body.len()) }))
        .route("/never", get(std::future::pending::<&'static str>))
        .layer(from_fn_with_state(Duration::from_secs(1), limit_time))
        .layer(from_fn(receive));
    let Running { address, .. } = serving(router).await;
    let answers = spawn_blocking(move || {
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 12\r\n\r\n";
        let mut slow = connect(address, head);
        let mut interrupted = connect(address, head);
        interrupted.write_all(b"x").expect("a connection");
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(150));
            slow.write_all(b"x").expect("a connection");
        }
        let never = connect(address, b"GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        // Not to its end: the server waits for the rest of the body for a while.
        let mut answer = [0; 1024];
        let n_bytes = interrupted.read(&mut answer).expect("an answer");
        [rest(slow), String::from_utf8_lossy(&answer[..n_bytes]).into_owned(), rest(never)]
    });
    let [slow, interrupted, never] = answers.await.expect("no panic");
    assert!(slow.ends_with("12 bytes"), "{slow}");
    for (answer, words) in
        [(interrupted, "nothing more of the request arrived"), (never, "the answer took too long")]
    {
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(words), "{answer}");
    }
}

#[tokio::test]
async fn bodies_that_arrive_slowly_make_room_for_others() {
    let memory = Arc::new(BodyMemory::new(Duration::from_millis(100)));
    let read = |body: Body| {
        let memory = Arc::clone(&memory);
        tokio::spawn(async move { memory.read(body, Problem::NoData).await.map(|(bytes, _)| bytes) })
    };
    // They take all the memory.
    let slow: Vec<_> = (0..4).map(|_| read(Body::new(NeverArrives(u64::MAX)))).collect();
    let film = timeout(Duration::from_secs(20), read(Body::from("film"))).await.expect("there is room");
    assert_eq!(film.expect("no panic").expect("a body"), "film");
    let refused = read(Body::new(NeverArrives(1))).await.expect("no panic");
    assert!(matches!(refused, Err(Problem::Refused(StatusCode::REQUEST_TIMEOUT, _))), "{refused:?}");
    slow.iter().for_each(JoinHandle::abort);
}
