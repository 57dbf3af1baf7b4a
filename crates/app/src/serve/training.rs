//! The pages on which a model is trained, and the requests that they make.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use maud::Markup;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::data_set::DataSet;
use super::is_run;
use super::layout::encoded;
use super::openapi::OfRun;
use super::problem::Problem;
use super::site::Site;
use crate::run_dir::file_names::METRICS;
use crate::run_dir::records::LogLine;
use order::Order;
pub(super) use order::free_folder;
use progress::{Progress, read_log};

mod order;
mod page;
pub(super) mod process;
mod progress;
mod samples;

/// How often the files of a run are read for a page that shows it.
const POLL: Duration = Duration::from_millis(500);

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .route("/train", get(start_page))
        .route("/runs/{run}/training", get(run_page))
        .route("/runs/{run}/training/curves", get(curves))
        .route("/runs/{run}/training/samples.png", get(samples))
        .routes(routes!(start))
        .routes(routes!(state))
        .routes(routes!(events))
        .routes(routes!(stop))
        .routes(routes!(resume))
}

/// The parameters of the address of the page.
#[derive(Debug, Deserialize)]
struct Parameters {
    /// See [`DataSet::of`].
    data: Option<String>,
    /// Whether the choice to leave out bad files is made already.
    #[serde(default)]
    skip_bad: bool,
}

/// `GET /train?data=phantoms`; without images, those that were checked last.
async fn start_page(
    State(site): State<Site>,
    Query(Parameters { data, skip_bad }): Query<Parameters>,
) -> Result<Markup, Problem> {
    site.beside(move |site| {
        if site.has_single_run() {
            return Ok(page::of_single_run());
        }
        // They may have been removed.
        let latest = || site.inspections().latest().filter(|text| DataSet::of(site, text).is_ok());
        let Some(text) = data.or_else(latest) else {
            return Ok(page::choice(&site.collection().list()?));
        };
        let data = DataSet::of(site, &text)?;
        let title = data.title(site, &text);
        if !skip_bad && site.inspections().blocks(&text) {
            return Ok(page::to_fix(&text, &title));
        }
        Ok(page::start(&text, &data, &title, site.trainings().at_work().as_deref(), skip_bad))
    })
    .await
}

/// `GET /runs/{run}/training`
async fn run_page(State(site): State<Site>, Path(name): Path<String>) -> Result<Markup, Problem> {
    let (progress, log) = progress_and_log(&site, &name).await?;
    Ok(page::run(&name, &progress, &log, &site.trainings().output(&name)))
}

/// `GET /runs/{run}/training/curves`: the plots of the page.
async fn curves(State(site): State<Site>, Path(name): Path<String>) -> Result<Markup, Problem> {
    let (progress, log) = progress_and_log(&site, &name).await?;
    Ok(page::curves(&progress, &log))
}

/// `GET /runs/{run}/training/samples.png`: images as the network sees them, where that can be shown.
async fn samples(State(site): State<Site>, Path(name): Path<String>) -> Result<Response, Problem> {
    let folder = site.training_run(&name)?;
    let Some(picture) = site.compute(move || samples::picture(&folder)).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    // Not kept by the browser: another run may get the name of one that was deleted.
    Ok(([(header::CONTENT_TYPE, "image/png")], picture).into_response())
}

/// The state of a run, and its epochs.
async fn progress_and_log(site: &Site, name: &str) -> Result<(Progress, Vec<LogLine>), Problem> {
    let name = name.to_owned();
    site.beside(move |site| {
        let path = site.training_run(&name)?;
        let log = read_log(&path);
        Ok((Progress::of(&path, &log, site.trainings().status(&name)), log))
    })
    .await
}

/// A training that has not ended, for the list of runs.
pub(super) struct Unfinished {
    pub(super) name: String,
    /// What it does.
    pub(super) sentence: String,
    /// Why it failed.
    pub(super) reason: Option<String>,
    pub(super) can_resume: bool,
    /// Whether there is a model to try.
    pub(super) has_model: bool,
    /// Whether it can be renamed and deleted.
    pub(super) can_change: bool,
}

/// The trainings that have not ended.
pub(super) async fn unfinished(site: &Site) -> Result<Vec<Unfinished>, Problem> {
    site.beside(|site| {
        let mut runs = site.all_trainings()?;
        let trainings = site.trainings();
        // It has no folder before its images are read. By its name: the paths of the runs have no links, and its own may have some.
        if let Some(own) = trainings.unfinished()
            && runs.iter().all(|(name, _)| *name != own.0)
            && !is_run(&own.1)
        {
            runs.insert(0, own);
        }
        runs.retain(|(_, path)| !path.join(METRICS).is_file());
        let is_single = site.has_single_run();
        let line = |(name, path): (String, PathBuf)| {
            let Progress { sentence, reason, can_resume, has_model, .. } =
                Progress::of(&path, &read_log(&path), trainings.status(&name));
            let can_change = !is_single && path.is_dir();
            Unfinished { name, sentence, reason, can_resume, has_model, can_change }
        };
        Ok(runs.into_iter().map(line).collect())
    })
    .await
}

/// What a training that was started is answered with.
#[derive(Debug, Serialize, ToSchema)]
struct Started {
    /// The name of the run.
    run: String,
    /// The path of its page.
    page: String,
}

/// Starts a training.
#[utoipa::path(post, path = "/api/v1/training", tag = "training", operation_id = "start_training",
    request_body(content = Order, description = "What to train, and on which images; 2 MiB at most"),
    responses(
        (status = 201, body = Started, headers(("Location" = String, description = "The path of its page"))),
        (status = 400, body = String, description = "The body is not as above, or a value is out of its range."),
        (status = 404, body = String, description = "There are no such images."),
        (status = 409, body = String, description = "A training runs, the name is taken, or the server shows a single run."),
        (status = 413, body = String, description = "The body is larger than 2 MiB."),
        (status = 503, body = String, description = "The server ends."),
    ))]
async fn start(State(site): State<Site>, body: Bytes) -> Result<Response, Problem> {
    let order = Order::read(&body)?;
    let start = move |site: &Site| {
        let plan = order.plan(site)?;
        site.trainings().start(&plan.name, &plan.folder, &plan.arguments)?;
        Ok(plan.name)
    };
    let run = site.beside(start).await?;
    let page = format!("/runs/{}/training", encoded(&run));
    let headers = [(header::LOCATION, page.clone())];
    Ok((StatusCode::CREATED, headers, Json(Started { run, page })).into_response())
}

/// How far a training is, with its epochs.
#[derive(Debug, Serialize, ToSchema)]
struct TrainingState {
    #[serde(flatten)]
    progress: Progress,
    /// The epochs.
    log: Vec<LogLine>,
    /// The last lines that the training printed.
    output: Vec<String>,
}

/// How far a training is, with its epochs.
#[utoipa::path(get, path = "/api/v1/runs/{run}/training", tag = "training", operation_id = "training_state",
    params(OfRun), responses((status = 200, body = TrainingState), OfRun))]
async fn state(State(site): State<Site>, Path(name): Path<String>) -> Result<Json<TrainingState>, Problem> {
    let (progress, log) = progress_and_log(&site, &name).await?;
    Ok(Json(TrainingState { progress, log, output: site.trainings().output(&name) }))
}

/// Stops a training that this server started, with a checkpoint.
#[utoipa::path(post, path = "/api/v1/runs/{run}/training/stop", tag = "training", operation_id = "stop_training",
    params(OfRun), responses(
        (status = 202, description = "It stops as soon as it can."),
        OfRun,
        (status = 409, body = String, description = "It does not run, or was started elsewhere."),
    ))]
async fn stop(State(site): State<Site>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    site.training_run(&name)?;
    site.trainings().stop(&name)?;
    Ok(StatusCode::ACCEPTED)
}

/// Goes on with a training that was stopped.
#[utoipa::path(post, path = "/api/v1/runs/{run}/training/resume", tag = "training", operation_id = "resume_training",
    params(OfRun), responses(
        (status = 202, description = "It goes on."),
        OfRun,
        (status = 409, body = String, description = "It is not an interrupted training, its images or settings have changed, or another training runs."),
        (status = 503, body = String, description = "The server ends."),
    ))]
async fn resume(State(site): State<Site>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let (progress, _) = progress_and_log(&site, &name).await?;
    if !progress.can_resume {
        let why = progress.reason.unwrap_or_else(|| "it is not an interrupted training".to_owned());
        let reason = format!("{name}: {why}");
        return Err(Problem::Refused(StatusCode::CONFLICT, reason));
    }
    let path = site.training_run(&name)?;
    site.trainings().start(&name, &path, &["--resume".into(), path.clone().into()])?;
    Ok(StatusCode::ACCEPTED)
}

/// A page that shows a run as it goes on.
struct Viewer {
    site: Site,
    name: String,
    seen: Option<Progress>,
    closing: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    /// The next state that is another one; `None` if the server ends, or the run was removed.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let is_first = self.seen.is_none();
            if !is_first && timeout(POLL, self.closing.wait_for(|is_closing| *is_closing)).await.is_ok() {
                return None;
            }
            let (progress, _) = progress_and_log(&self.site, &self.name).await.ok()?;
            if self.seen.as_ref() != Some(&progress) {
                let event = Event::default().json_data(&progress).ok()?;
                self.seen = Some(progress);
                return Some(event);
            }
        }
    }
}

/// How far a training is, now and when it changes, as server-sent events.
///
/// The data of each event is a `Progress`, as JSON. Events go on until the client or the server ends.
// The limit on the time of a request is for the beginning of an answer and does not end these; a client that went away is found
// when a sign of life cannot be sent.
#[utoipa::path(get, path = "/api/v1/runs/{run}/training/events", tag = "training", operation_id = "training_events",
    params(OfRun), responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        OfRun,
        (status = 503, body = String, description = "Others follow trainings already, as many as can.",
            headers(("Retry-After" = u32, description = "Seconds to wait"))),
    ))]
async fn events(
    State(site): State<Site>,
    Path(name): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    site.training_run(&name)?;
    let (closing, place) = site.trainings().viewer()?;
    let viewer = Viewer { site, name, seen: None, closing, _place: place };
    let events =
        stream::unfold(viewer, |mut viewer| async { viewer.next().await.map(|event| (Ok(event), viewer)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
