//! `/metrics`: what the server does, in the text format of Prometheus. No name of a run or of a file is in it.

use std::fmt::Write as _;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

use super::site::Site;

/// The route of what is not there.
const NO_ROUTE: &str = "none";

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default().route("/metrics", get(metrics))
}

/// Counts a request by its route, which has placeholders in the place of names.
pub(super) async fn count(State(site): State<Site>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let start = Instant::now();
    let response = next.run(request).await;
    let route = route.as_deref().unwrap_or(NO_ROUTE);
    site.counters().add(route, response.status().as_u16(), start.elapsed());
    response
}

/// `GET /metrics`
async fn metrics(State(site): State<Site>) -> impl IntoResponse {
    let gauges = [
        ("roentgen_queue_length", "Images that wait or are predicted.", site.n_waiting()),
        (
            "roentgen_training_running",
            "Whether a training runs.",
            usize::from(site.trainings().at_work().is_some()),
        ),
    ];
    let mut text = site.counters().text();
    for (name, help, value) in gauges {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
