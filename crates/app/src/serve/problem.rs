//! Why a request is not answered with what it asked for.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::NoRun => (StatusCode::NOT_FOUND, "there is no such run").into_response(),
            Self::NoData => (StatusCode::NOT_FOUND, "there are no such images").into_response(),
            Self::Unreadable(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response(),
            Self::BadBody(status, reason) | Self::Refused(status, reason) => (status, reason).into_response(),
            Self::Busy => {
                let text = "too many images wait; send it again in a second";
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response()
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "a fault of the program").into_response(),
        }
    }
}
