//! Why a request is not answered with what it asked for: always a sentence.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::layout::page;
use crate::report;

/// Most bytes of a body that is neither an image nor a list of summaries: the default of the library.
const MAX_MIB: usize = 2;
/// Longest reason of the library.
const MAX_REASON: usize = 1 << 16;

/// Why a request has no other answer.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no such run.
    NoRun,
    /// There is no such folder or set of images.
    NoData,
    /// The folder of runs, a model or a report cannot be read; the text says why.
    Unreadable(String),
    /// The image has more bytes than allowed, or did not arrive.
    BadBody(StatusCode, String),
    /// A request that has to be changed, or comes at a wrong time; the text says what to do.
    Refused(StatusCode, String),
    /// Too many requests wait.
    Busy,
    /// A fault of the program.
    Failed,
}

impl Problem {
    /// Of a body of JSON that the library refused, with its reason; `max_bytes` is the limit.
    pub(super) fn bad_json(status: StatusCode, body: &str, max_bytes: usize) -> Self {
        Self::BadBody(status, sentence(status, body, max_bytes >> 20))
    }
}

/// The reason in the answer of a [`Problem`], for [`in_sentences`].
#[derive(Clone)]
struct Reason(String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let is_busy = matches!(self, Self::Busy);
        let (status, reason) = match self {
            Self::NoRun => (StatusCode::NOT_FOUND, "there is no such run".to_owned()),
            Self::NoData => (StatusCode::NOT_FOUND, "there are no such images".to_owned()),
            Self::Unreadable(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason),
            Self::BadBody(status, reason) | Self::Refused(status, reason) => (status, reason),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many images wait; send it again in a second".to_owned(),
            ),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "a fault of the program".to_owned()),
        };
        let mut response = (status, reason.clone()).into_response();
        if is_busy {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Reason(reason));
        response
    }
}

/// Gives every refusal a sentence, also those of the libraries; where a browser opens a page, with the way to the other pages.
pub(super) async fn in_sentences(request: Request, next: Next) -> Response {
    let opens_page = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("text/html")));
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let reason = match head.extensions.get::<Reason>() {
        Some(Reason(reason)) => reason.clone(),
        None => {
            let bytes = to_bytes(body, MAX_REASON).await.unwrap_or_default();
            match status {
                StatusCode::METHOD_NOT_ALLOWED => format!("this address takes no {method} request"),
                _ => sentence(status, &String::from_utf8_lossy(&bytes), MAX_MIB),
            }
        }
    };
    let (kind, text) = if opens_page {
        let sentence = html! { h1 { "Roentgen" } p.verdict { (report::sentence(&reason)) } };
        ("text/html; charset=utf-8", page("", "Roentgen", None, sentence).into_string())
    } else {
        ("text/plain; charset=utf-8", reason)
    };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Response::from_parts(head, Body::from(text))
}

/// In place of what a library says of a request.
fn sentence(status: StatusCode, body: &str, max_mib: usize) -> String {
    // What comes after the first colon has names and values of the request.
    let (of, detail) = body.split_once(": ").unwrap_or((body, ""));
    let what = match status {
        StatusCode::NOT_FOUND => return "there is no such page".to_owned(),
        StatusCode::PAYLOAD_TOO_LARGE => {
            return format!("the request has more than {max_mib} MiB, the limit here");
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            return "this request takes JSON; send the header Content-Type: application/json with it"
                .to_owned();
        }
        _ if of.contains("query string") => "a parameter in the address is missing or wrong",
        _ if of.contains("JSON") && status == StatusCode::BAD_REQUEST => "the request is not JSON",
        _ if of.contains("JSON") => "the request is not the JSON that is expected",
        _ if of.contains("request body") => return "the request did not arrive; send it again".to_owned(),
        StatusCode::BAD_REQUEST => "the address is wrong",
        _ if status.is_client_error() => "the request is wrong",
        _ => return "a fault of the program".to_owned(),
    };
    if detail.is_empty() { what.to_owned() } else { format!("{what}: {detail}") }
}
