//! What is done with runs besides trying them: two are compared, one is renamed, exported or deleted.

use std::path::PathBuf;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::layout::{encoded, page};
use super::openapi::{FileBytes, OfRun};
use super::problem::Problem;
use super::runs::RunEntry;
use super::site::{SETS, Site};
use super::training::free_folder;
use crate::commands::compare::{Comparisons, compare};
use crate::commands::export::to_onnx;
use crate::error::AppError;
use crate::model::model_file;
use crate::report::sentence;
use crate::run_dir::error::RunDirError;
use crate::run_dir::run_folder::RunFolder;

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .route("/compare", get(compare_page))
        .routes(routes!(compare_for_scripts))
        .routes(routes!(rename, delete))
        .routes(routes!(export))
}

/// Two runs, as parameters of an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Two {
    /// The name of a run.
    first: String,
    /// The name of the run that is compared with it.
    second: String,
}

impl Two {
    async fn compare(&self, site: &Site) -> Result<Comparisons, Problem> {
        let [first, second] = [site.run(&self.first)?.path, site.run(&self.second)?.path];
        site.beside(move |_| compare([&first, &second]).map_err(|error| not_comparable(&error))).await
    }
}

/// Runs that cannot be compared are no fault of the server.
fn not_comparable(error: &AppError) -> Problem {
    Problem::Refused(StatusCode::CONFLICT, error.to_string())
}

/// `GET /compare?first=a&second=b`
async fn compare_page(State(site): State<Site>, Query(two): Query<Two>) -> Result<Markup, Problem> {
    let content = match two.compare(&site).await {
        Ok(comparisons) => comparison(&two, &comparisons),
        Err(Problem::Refused(_, reason)) => html! { p.remark.bad { (reason) } },
        Err(problem) => return Err(problem),
    };
    let content = html! {
        link rel="stylesheet" href="/static/runs.css";
        h1 { "Compare" }
        (content)
        p { a href="/" { "Compare others" } }
    };
    Ok(page("/", "Roentgen: compare", None, content))
}

fn comparison(two: &Two, comparisons: &Comparisons) -> Markup {
    let [headings, rows @ ..] = comparisons.main.rows();
    html! {
        p.verdict { (sentence(&comparisons.main.verdict())) }
        dl {
            dt { "first" } dd { (two.first) }
            dt { "second" } dd { (two.second) }
            dt { "test" } dd { (comparisons.tested()) }
            @if let Some((label, text)) = comparisons.leakage_note() { dt { (label) } dd { (text) } }
        }
        div.scroll tabindex="0" role="region" aria-label="Comparison" { table {
            thead { tr { td {} @for heading in &headings[1..] { th scope="col" { (heading) } } } }
            tbody { @for row in rows { tr { th scope="row" { (row[0]) } @for cell in &row[1..] { td { (cell) } } } } }
        } }
    }
}

/// Compares two runs on the test images, as `roentgen compare --json` does.
#[utoipa::path(get, path = "/api/v1/compare", tag = "runs", operation_id = "compare", params(Two), responses(
    (status = 200, body = Comparisons),
    (status = 404, body = String, description = "One of them is no run."),
    (status = 409, body = String, description = "They were not tested on the same images, or have no predictions."),
))]
async fn compare_for_scripts(
    State(site): State<Site>,
    Query(two): Query<Two>,
) -> Result<Json<Comparisons>, Problem> {
    two.compare(&site).await.map(Json)
}

/// The folder of a run that may get another name or be deleted, also of an interrupted training.
fn changeable(site: &Site, name: &str) -> Result<PathBuf, Problem> {
    let refused = |reason: String| Problem::Refused(StatusCode::CONFLICT, reason);
    if site.trainings().at_work().is_some_and(|at_work| at_work == name) {
        return Err(refused(format!("{name} is in training; stop it first")));
    }
    site.runs_folder().map_err(|_| {
        refused("roentgen serve shows a single run; start it with a folder of runs to change one".to_owned())
    })?;
    let path = site.run(name).map(|run| run.path).or_else(|_| site.training_run(name))?;
    if path.is_dir() { Ok(path) } else { Err(Problem::NoRun) }
}

fn not_changed(name: &str, error: &RunDirError) -> Problem {
    match error {
        RunDirError::InUse { .. } => {
            Problem::Refused(StatusCode::CONFLICT, format!("{name} is in training; wait until it ends"))
        }
        error => Problem::Unreadable(error.to_string()),
    }
}

/// Another name for a run.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
struct NewName {
    /// Letters, digits, spaces, dots, `-` and `_`, at most 100 bytes; it begins with a letter or a digit.
    name: String,
}

/// Gives a run another name.
#[utoipa::path(patch, path = "/api/v1/runs/{run}", tag = "runs", params(OfRun), request_body = NewName, responses(
    (status = 200, body = NewName, description = "The name that it has now"),
    OfRun,
    (status = 400, body = String, description = "The body is not as above, or the name cannot be that of a run."),
    (status = 409, body = String, description = "The run is in training, the name is taken, or the server shows a single run."),
    (status = 413, body = String, description = "The body is larger than 2 MiB."),
))]
async fn rename(
    State(site): State<Site>,
    Path(run): Path<String>,
    body: Bytes,
) -> Result<Json<NewName>, Problem> {
    let NewName { name } = serde_json::from_slice(&body).map_err(|error| {
        Problem::Refused(
            StatusCode::BAD_REQUEST,
            format!("the request is not the JSON that is expected: {error}"),
        )
    })?;
    let name = name.trim().to_owned();
    site.beside(move |site| {
        let path = changeable(site, &run)?;
        let to = free_folder(site, &name)?;
        RunFolder::rename(&path, &to).map_err(|error| not_changed(&run, &error))?;
        site.trainings().renamed(&run, &name, &to);
        Ok(Json(NewName { name }))
    })
    .await
}

/// Deletes a run with all its files.
#[utoipa::path(delete, path = "/api/v1/runs/{run}", tag = "runs", params(OfRun), responses(
    (status = 204, description = "It is deleted."),
    OfRun,
    (status = 409, body = String, description = "The run is in training, its folder has sets of images, or the server shows a single run."),
))]
async fn delete(State(site): State<Site>, Path(run): Path<String>) -> Result<StatusCode, Problem> {
    site.beside(move |site| {
        let path = changeable(site, &run)?;
        if path.join(SETS).is_dir() {
            let reason = format!(
                "the folder of {run} contains sets of images, in its folder {SETS}; move {SETS} to another folder first"
            );
            return Err(Problem::Refused(StatusCode::CONFLICT, reason));
        }
        RunFolder::remove(&path).map_err(|error| not_changed(&run, &error))?;
        site.trainings().removed(&run);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The format of an export.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Onnx,
    Safetensors,
}

/// The parameters of an export.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Export {
    /// The format of the file.
    #[param(inline)]
    format: Format,
}

/// The model of a run as a file.
#[utoipa::path(get, path = "/api/v1/runs/{run}/export", tag = "runs", params(OfRun, Export), responses(
    (status = 200, body = FileBytes, content_type = "application/octet-stream"),
    OfRun,
    (status = 409, body = String, description = "The model cannot be written in this format."),
))]
async fn export(
    State(site): State<Site>,
    Path(name): Path<String>,
    Query(Export { format }): Query<Export>,
) -> Result<Response, Problem> {
    let run = site.run(&name)?;
    let read = |run: &RunEntry| {
        model_file::read_bytes(&run.path).map_err(|error| Problem::Unreadable(error.to_string()))
    };
    let (ending, bytes) = match format {
        Format::Safetensors => ("safetensors", site.beside(move |_| read(&run)).await?),
        Format::Onnx => ("onnx", site.clone().compute(move || onnx(&site, &run)).await??),
    };
    let named = format!("attachment; filename*=UTF-8''{}.{ending}", encoded(&name));
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, named)];
    Ok((headers, bytes).into_response())
}

fn onnx(site: &Site, run: &RunEntry) -> Result<Vec<u8>, Problem> {
    let loaded = site.model(run)?;
    to_onnx(&loaded.model).map_err(|error| Problem::Refused(StatusCode::CONFLICT, error.to_string()))
}
