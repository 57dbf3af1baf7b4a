//! The files that pages load, which are in the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::report;

const TRY: &str = include_str!("static/try.js");
const ICON: &str = include_str!("static/icon.svg");
const STYLE: &str = include_str!("static/style.css");

/// `GET /static/{name}`
pub(super) async fn file(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "try.js" => ("text/javascript; charset=utf-8", TRY.to_owned()),
        "style.css" => ("text/css; charset=utf-8", format!("{}{STYLE}", report::STYLE)),
        "icon.svg" => ("image/svg+xml", ICON.to_owned()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
