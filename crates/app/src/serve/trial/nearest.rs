//! The requests on training images that are near to an image.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use roentgen_data::ImageSource;
use serde::Serialize;
use utoipa::ToSchema;

use super::training_images::{NearImage, Progress, TrainingImages};
use super::upload::{Written, unusable, with_image};
use crate::report::picture::to_jpeg;
use crate::serve::openapi::{FileBytes, OfImage, OfRun};
use crate::serve::problem::Problem;
use crate::serve::runs::RunEntry;
use crate::serve::site::{LoadedModel, Site};

/// Whether an image can be compared with the training images.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrainingImages)]
pub(super) struct ProgressAnswer {
    /// `ready`, `working` or `unavailable`.
    state: &'static str,
    /// What to tell the user.
    text: String,
}

/// A run with its model.
pub(super) async fn with_model(site: &Site, run: &str) -> Result<(RunEntry, Arc<LoadedModel>), Problem> {
    let run = site.run(run)?;
    let of_site = site.clone();
    site.compute(move || of_site.model(&run).map(|loaded| (run, loaded))).await?
}

/// Whether the training images of a run can be compared with an image; the first request begins to read them.
#[utoipa::path(get, path = "/api/v1/runs/{run}/training-images", tag = "images", params(OfRun),
    responses((status = 200, body = ProgressAnswer), OfRun))]
pub(super) async fn training_images(
    State(site): State<Site>,
    Path(run): Path<String>,
) -> Result<Json<ProgressAnswer>, Problem> {
    let answer = |state, text| Ok(Json(ProgressAnswer { state, text }));
    let (run, loaded) = with_model(&site, &run).await?;
    match site.training_images().progress(&run, &loaded) {
        Progress::Ready(images) => answer("ready", images.note.clone().unwrap_or_default()),
        Progress::Working(counts) => {
            let [done, all] = [&counts.n_done, &counts.n_all].map(|count| count.load(Ordering::Relaxed));
            answer(
                "working",
                match all {
                    0 => "Reading the training images …".to_owned(),
                    all => format!("Comparing the training images: {done} of {all} …"),
                },
            )
        }
        Progress::Waiting(other) => {
            answer("working", format!("Waiting: the images of {other} are read first …"))
        }
        Progress::Unavailable(reason) => {
            site.training_images().forget(&run, &loaded);
            answer("unavailable", reason)
        }
    }
}

/// The training images of a run, if they are ready.
async fn ready(site: &Site, run: &str) -> Result<Arc<TrainingImages>, Problem> {
    let (run, loaded) = with_model(site, run).await?;
    site.training_images().ready(&run, &loaded).ok_or_else(|| {
        let reason = "the training images are not ready; ask for training-images first";
        Problem::BadBody(StatusCode::CONFLICT, reason.to_owned())
    })
}

/// The training images that look to the model most like an image, when they are ready.
#[utoipa::path(post, path = "/api/v1/runs/{run}/nearest", tag = "images", params(OfRun, Written),
    request_body(content = FileBytes, content_type = "application/octet-stream",
        description = "An image file: png, jpeg, DICOM, tiff, bmp, webp or gif, 64 MiB at most"),
    responses(
        (status = 200, body = Vec<NearImage>),
        OfImage,
        (status = 409, body = String, description = "The training images are not ready, or the model is not of `written`."),
        (status = 422, body = String, description = "The file is no image that can be used."),
    ))]
pub(super) async fn nearest(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(of_page): Query<Written>,
    request: Request,
) -> Result<Json<Vec<NearImage>>, Problem> {
    let images = ready(&site, &run).await?;
    let work = move |_: &LoadedModel, source: ImageSource| images.nearest(source);
    let nearest = with_image(&site, &run, of_page, String::new(), request, work).await?;
    nearest.map(Json).map_err(|reason| unusable(&reason))
}

/// A training image of a run, as a JPEG.
#[utoipa::path(get, path = "/api/v1/runs/{run}/training-images/{image}", tag = "images",
    params(OfRun, ("image" = usize, Path, description = "Its number, which `nearest` gives")),
    responses(
        (status = 200, body = FileBytes, content_type = "image/jpeg"),
        (status = 404, body = String, description = "There is no such run, or no such image."),
        (status = 409, body = String, description = "The training images are not ready."),
    ))]
pub(super) async fn training_image(
    State(site): State<Site>,
    Path((run, image)): Path<(String, usize)>,
) -> Result<impl IntoResponse, Problem> {
    let images = ready(&site, &run).await?;
    let jpeg = site.compute(move || images.thumbnail(image).map(|image| to_jpeg(&image))).await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg.ok_or(Problem::NoData)?))
}
