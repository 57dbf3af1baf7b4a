//! The requests on images to train on wherever they are: the folders of this machine, and what is found in a data set.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::folders::{self, Listing};
use super::inspections::{InspectionRequest, Status};
use super::state::state_of;
use crate::config::TrainConfig;
use crate::serve::data_set::DataSet;
use crate::serve::openapi::FileBytes;
use crate::serve::problem::Problem;
use crate::serve::site::Site;

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(inspect))
        .routes(routes!(status, stop))
        .routes(routes!(sample))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfPath {
    /// The path below the root of the server, which is the default.
    #[serde(default)]
    path: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfData {
    /// `phantoms`, `folder:PATH` below the root of the server, or `set:NAME`.
    data: String,
}

/// What is in a folder of this machine.
#[utoipa::path(get, path = "/api/v1/data/folders", tag = "data", operation_id = "list_folder", params(OfPath), responses(
    (status = 200, body = Listing),
    (status = 404, body = String, description = "There is no such folder below the root."),
))]
async fn list(
    State(site): State<Site>,
    Query(OfPath { path }): Query<OfPath>,
) -> Result<Json<Listing>, Problem> {
    site.beside(move |site| folders::list(site.root(), &path, site.runs_path())).await.map(Json)
}

/// Begins an inspection of images to train on, unless the files are those of the last one.
#[utoipa::path(post, path = "/api/v1/data/inspections", tag = "data", params(OfData), responses(
    (status = 200, body = Status),
    (status = 404, body = String, description = "There are no such images."),
    (status = 422, body = String, description = "There are more than 200,000 files."),
    (status = 503, body = String, description = "Many inspections wait; try again in a minute."),
))]
async fn inspect(
    State(site): State<Site>,
    Query(OfData { data }): Query<OfData>,
) -> Result<Json<Status>, Problem> {
    let request = site.beside(move |site| inspection_request(site, data)).await?;
    site.inspections().inspect(request).map(Json)
}

/// The images that a request names, as they are now.
fn inspection_request(site: &Site, data: String) -> Result<InspectionRequest, Problem> {
    match DataSet::of(site, &data)? {
        DataSet::Phantoms => {
            Ok(InspectionRequest { data, config: TrainConfig::default(), state: blake3::hash(&[]) })
        }
        DataSet::Path(path) => {
            let state = state_of(&path, site.runs_path())?;
            Ok(InspectionRequest {
                data,
                config: TrainConfig { data: path, ..TrainConfig::default() },
                state,
            })
        }
    }
}

/// How far an inspection is, and what it found.
#[utoipa::path(get, path = "/api/v1/data/inspections/{id}", tag = "data", operation_id = "inspection",
    params(("id" = u64, Path, description = "The number of the inspection")), responses(
        (status = 200, body = Status),
        (status = 404, body = String, description = "There is no such inspection."),
    ))]
async fn status(State(site): State<Site>, Path(id): Path<u64>) -> Result<Json<Status>, Problem> {
    Ok(Json(site.inspections().job(id)?.status()))
}

/// Stops an inspection.
#[utoipa::path(delete, path = "/api/v1/data/inspections/{id}", tag = "data", operation_id = "stop_inspection",
    params(("id" = u64, Path, description = "The number of the inspection")), responses(
        (status = 204, description = "It stops."),
        (status = 404, body = String, description = "There is no such inspection."),
    ))]
async fn stop(State(site): State<Site>, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    site.inspections().job(id)?.cancel();
    Ok(StatusCode::NO_CONTENT)
}

/// One of the images that an inspection shows, as a JPEG.
#[utoipa::path(get, path = "/api/v1/data/inspections/{id}/samples/{index}", tag = "data",
    params(
        ("id" = u64, Path, description = "The number of the inspection"),
        ("index" = usize, Path, description = "Its place in `samples`, from 0"),
    ),
    responses(
        (status = 200, body = FileBytes, content_type = "image/jpeg"),
        (status = 404, body = String, description = "There is no such inspection or image."),
    ))]
async fn sample(
    State(site): State<Site>,
    Path((id, index)): Path<(u64, usize)>,
) -> Result<Response, Problem> {
    let picture = site.inspections().job(id)?.picture(index).ok_or(Problem::NoData)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], picture).into_response())
}
