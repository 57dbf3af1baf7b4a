//! The list of trained models, and the report of each.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use roentgen_data::read_text_file;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::layout::{encoded, page};
use super::problem::Problem;
use super::quality::ListedRun;
use super::runs::RunEntry;
use super::site::Site;
use super::training::{self, Unfinished};
use crate::run_dir::file_names::REPORT;

/// Largest report.
const MAX_REPORT: u64 = 1 << 28;
/// What a report may do in the browser: its own style and pictures, and nothing else. Pages of this server may show it.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-same-origin";

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .route("/", get(list))
        .route("/runs/{run}/report", get(report))
        .routes(routes!(list_for_scripts))
}

/// `GET /`: all runs.
async fn list(State(site): State<Site>) -> Result<Markup, Problem> {
    let trainings = training::unfinished(&site).await?;
    let (mut runs, is_single) = site.beside(|site| Ok((listed(site)?, site.has_single_run()))).await?;
    // A training has a model from its first epoch on; it is listed once.
    runs.retain(|listed| trainings.iter().all(|training| training.name != listed.run.name));
    Ok(page(
        "/",
        "Roentgen",
        Some("runs.js"),
        html! {
            link rel="stylesheet" href="/static/runs.css";
            h1 { "Roentgen" }
            p.verdict { "Trained models" }
            @if runs.is_empty() && !trainings.is_empty() {
                p.remark { "There is no trained model yet." }
            } @else if runs.is_empty() {
                p.remark { "There is no model yet. Choose your images on the page " a href="/data" { "Data" } ", or begin with " a href="/data?data=phantoms" { "example films" } " that the program draws." }
            } @else {
                ul.runs { @for run in &runs { li { (run_line(run, !is_single)) } } }
            }
            @if runs.len() > 1 { (compare_form(&runs)) }
            @if !trainings.is_empty() {
                h2 { "Trainings that have not ended" }
                ul.runs { @for training in &trainings { li { (training_line(training)) } } }
            }
            @if !is_single { (deletion()) }
        },
    ))
}

fn listed(site: &Site) -> Result<Vec<ListedRun>, Problem> {
    Ok(site.runs()?.into_iter().map(ListedRun::new).collect())
}

fn run_line(ListedRun { run, result, .. }: &ListedRun, can_change: bool) -> Markup {
    let RunEntry { name, has_report, .. } = run;
    let of_run = |page: &str| format!("/runs/{}/{page}", encoded(name));
    let export = |format: &str| format!("/api/v1/runs/{}/export?format={format}", encoded(name));
    html! {
        strong { (name) }
        " " a href=(of_run("try")) { "try it on images" }
        @if *has_report { " " a href=(of_run("report")) { "report" } }
        " " a href=(of_run("training")) { "training" }
        @if let Some(time) = run.begun() { " " span.soft { (time) } }
        @if let Some(result) = result { p.soft { (result) } }
        details {
            summary aria-label=(format!("more about {name}")) { "more" }
            p { "Download the model: "
                a href=(export("onnx")) download { "ONNX" } " "
                a href=(export("safetensors")) download { "safetensors" } }
            @if can_change { (change_form(name)) }
        }
    }
}

fn training_line(training: &Unfinished) -> Markup {
    let Unfinished { name, sentence, reason, can_resume, has_model, can_change } = training;
    let page = format!("/runs/{}/training", encoded(name));
    html! {
        strong { (name) }
        " " a href=(page) { (sentence) }
        @if *has_model { " " a href=(format!("/runs/{}/try", encoded(name))) { "try it as it is now" } }
        @if *can_resume {
            " " button.resume type="button" data-page=(page) aria-label=(format!("Resume {name}")) { "Resume" }
            p.remark.bad role="alert" hidden {}
        }
        @if let Some(reason) = reason { p.remark.bad { (reason) } }
        @if *can_change { details { summary aria-label=(format!("more about {name}")) { "more" } (change_form(name)) } }
    }
}

/// Another name for a run, or its end.
fn change_form(name: &str) -> Markup {
    html! {
        form.change data-run=(name) data-api=(format!("/api/v1/runs/{}", encoded(name))) {
            label { "name " input name="name" value=(name) maxlength="100" autocomplete="off" required; }
            button type="submit" { "Rename" }
            button.delete type="button" { "Delete …" }
            p.remark.bad role="alert" hidden {}
        }
    }
}

/// What is asked before a run is deleted.
fn deletion() -> Markup {
    html! {
        dialog #deletion aria-labelledby="question" {
            p #question {}
            p.soft { "Its model, report and checkpoint are removed from the disk. There is no way back." }
            form method="dialog" {
                button value="keep" { "Keep it" }
                button.delete value="delete" { "Delete it" }
            }
        }
    }
}

fn compare_form(runs: &[ListedRun]) -> Markup {
    let choice = |name: &str, chosen: usize| {
        html! {
            label { (name) " " select name=(name) {
                @for (index, ListedRun { run, .. }) in runs.iter().enumerate() {
                    option value=(run.name) selected[index == chosen] { (run.name) }
                }
            } }
        }
    };
    html! {
        h2 { "Which of two is better?" }
        form.compare action="/compare" { (choice("first", 1)) (choice("second", 0)) button { "Compare" } }
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

/// All runs with a model, the latest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", operation_id = "list_runs",
    responses((status = 200, body = Vec<ListedRun>)))]
async fn list_for_scripts(State(site): State<Site>) -> Result<Json<Vec<ListedRun>>, Problem> {
    site.beside(listed).await.map(Json)
}
