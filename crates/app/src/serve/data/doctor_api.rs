//! The requests on images to train on wherever they are: the folders of this machine, and what is found in a data set.

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::doctor::{Patient, Status};
use super::folders::{self, Listing};
use super::state::state_of;
use crate::config::TrainConfig;
use crate::serve::data_set::DataSet;
use crate::serve::problem::Problem;
use crate::serve::site::Site;

/// What is answered here.
pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/data/folders", get(list))
        .route("/api/v1/data/inspections", post(inspect))
        .route("/api/v1/data/inspections/{id}", get(status).delete(stop))
        .route("/api/v1/data/inspections/{id}/samples/{index}", get(sample))
}

#[derive(Debug, Deserialize)]
struct OfPath {
    #[serde(default)]
    path: String,
}

#[derive(Debug, Deserialize)]
struct OfData {
    data: String,
}

/// `GET /api/v1/data/folders?path=PATH`
async fn list(
    State(site): State<Site>,
    Query(OfPath { path }): Query<OfPath>,
) -> Result<Json<Listing>, Problem> {
    let listing = tokio::task::spawn_blocking(move || folders::list(site.root(), &path)).await;
    listing.map_err(|_| Problem::Failed)?.map(Json)
}

/// `POST /api/v1/data/inspections?data=NAME`: begins an inspection, unless the files are those of the last one.
async fn inspect(
    State(site): State<Site>,
    Query(OfData { data }): Query<OfData>,
) -> Result<Json<Status>, Problem> {
    let of_site = site.clone();
    let patient = tokio::task::spawn_blocking(move || patient(&of_site, data)).await;
    site.doctor().inspect(patient.map_err(|_| Problem::Failed)??).map(Json)
}

/// The images that a request names, as they are now.
fn patient(site: &Site, data: String) -> Result<Patient, Problem> {
    match DataSet::of(site, &data)? {
        DataSet::Phantoms => Ok(Patient { data, config: TrainConfig::default(), state: blake3::hash(&[]) }),
        DataSet::Path(path) => {
            let state = state_of(&path)?;
            Ok(Patient { data, config: TrainConfig { data: path, ..TrainConfig::default() }, state })
        }
    }
}

/// `GET /api/v1/data/inspections/{id}`
async fn status(State(site): State<Site>, Path(id): Path<u64>) -> Result<Json<Status>, Problem> {
    Ok(Json(site.doctor().job(id)?.status()))
}

/// `DELETE /api/v1/data/inspections/{id}`: stops it.
async fn stop(State(site): State<Site>, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    site.doctor().job(id)?.cancel();
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/data/inspections/{id}/samples/{index}`: an image as a JPEG file.
async fn sample(
    State(site): State<Site>,
    Path((id, index)): Path<(u64, usize)>,
) -> Result<Response, Problem> {
    let picture = site.doctor().job(id)?.picture(index).ok_or(Problem::NoData)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], picture).into_response())
}
