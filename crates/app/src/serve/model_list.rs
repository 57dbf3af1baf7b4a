//! The list of trained models, and the report of each.

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use roentgen_data::read_text_file;

use super::layout::{encoded, page};
use super::problem::Problem;
use super::runs::RunEntry;
use super::site::Site;
use super::training;
use crate::run_dir::file_names::REPORT;

/// Largest report.
const MAX_REPORT: u64 = 1 << 28;
/// What a report may do in the browser: its own style and pictures, and nothing else. Pages of this server may show it.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-same-origin";

/// What is answered here.
pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/", get(list))
        .route("/runs/{run}/report", get(report))
        .route("/api/v1/runs", get(list_for_scripts))
}

/// `GET /`: all runs.
async fn list(State(site): State<Site>) -> Result<Markup, Problem> {
    let runs = site.runs()?;
    let trainings = training::unfinished(&site).await?;
    Ok(page(
        "Roentgen",
        None,
        html! {
            h1 { "Roentgen" }
            p.verdict { "Trained models" }
            @if runs.is_empty() {
                p.remark { "There is no model yet. Train one on the page " a href="/train" { "Train" } ", or with " code { "roentgen train DATA" } "." }
            } @else {
                ul.runs { @for run in &runs { li { (run_line(run)) } } }
            }
            @if !trainings.is_empty() {
                h2 { "Trainings that have not ended" }
                ul.runs { @for (name, sentence) in &trainings { li {
                    strong { (name) }
                    " " a href=(format!("/runs/{}/training", encoded(name))) { (sentence) }
                } } }
            }
        },
    ))
}

fn run_line(RunEntry { name, has_report, .. }: &RunEntry) -> Markup {
    let of_run = |page: &str| format!("/runs/{}/{page}", encoded(name));
    html! {
        strong { (name) }
        " " a href=(of_run("try")) { "try it on images" }
        @if *has_report { " " a href=(of_run("report")) { "report" } }
        " " a href=(of_run("training")) { "training" }
    }
}

/// `GET /runs/{run}/report`: the report of the run, as its file is.
async fn report(State(site): State<Site>, Path(name): Path<String>) -> Result<Response, Problem> {
    let run = site.run(&name)?;
    let path = run.path.join(REPORT);
    let text = site.compute(move || read_text_file(&path, MAX_REPORT)).await?;
    let text = text.map_err(|error| Problem::Unreadable(format!("cannot read the report: {error}")))?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((headers, text).into_response())
}

/// `GET /api/v1/runs`
async fn list_for_scripts(State(site): State<Site>) -> Result<Json<Vec<RunEntry>>, Problem> {
    Ok(Json(site.runs()?))
}
