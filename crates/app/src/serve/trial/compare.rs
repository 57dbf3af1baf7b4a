//! Whether many images, taken together, differ from the validation images of a model.
//!
//! The server keeps nothing of an image: an answer to `predict` has what the comparison needs of it, and the client sends that of all
//! images back.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::upload::Written;
use crate::model::batch_summary::BatchSummary;
use crate::model::model_card::ModelCard;
use crate::model::shift::{MIN_IMAGES, Shift, has_enough_validation_images};
use crate::serve::openapi::{OfImage, OfRun};
use crate::serve::problem::Problem;
use crate::serve::site::Site;

/// Largest body: some 5,000 images.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The comparison.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShiftAnswer)]
pub(super) struct Comparison {
    /// As `roentgen predict` prints it; null where there are too few images.
    shift: Option<Shift>,
    /// The same in words, without figures of statistics.
    text: String,
}

impl Comparison {
    /// Of images, each with its summary, in order.
    fn new(card: &ModelCard, images: &[BatchSummary]) -> Result<Self, String> {
        let mut batch = BatchSummary::new(card.class_names.len());
        images.iter().try_for_each(|image| batch.add_one(image, card.vector_length()))?;
        let shift = Shift::of(&batch, card);
        let text = match &shift {
            Some(shift) => shift.in_plain_words(),
            None if has_enough_validation_images(card) => format!(
                "From {MIN_IMAGES} images on, all of them together are compared with the images that the model was validated with."
            ),
            None => "The model was validated with too few images to compare others with them.".to_owned(),
        };
        Ok(Self { shift, text })
    }
}

/// Whether many images, taken together, differ from the validation images of a model; as `roentgen predict` says at its end.
#[utoipa::path(post, path = "/api/v1/runs/{run}/shift", tag = "images", params(OfRun, Written),
    request_body(content = Vec<BatchSummary>, description = "The `summary` of each image, which `predict` gives; 16 MiB at most"),
    responses(
        (status = 200, body = Comparison),
        OfImage,
        (status = 400, body = String, description = "The body is no JSON, or a summary is not of one image and this model."),
        (status = 413, body = String, description = "The body is larger than 16 MiB."),
        (status = 415, body = String, description = "`Content-Type` is not application/json."),
        (status = 422, body = String, description = "The body is no list of summaries."),
    ))]
pub(super) async fn shift(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(of_page): Query<Written>,
    images: Result<Json<Vec<BatchSummary>>, JsonRejection>,
) -> Result<Json<Comparison>, Problem> {
    let _place = site.place()?;
    let run = site.run(&run)?;
    let bad = |error: JsonRejection| Problem::bad_json(error.status(), &error.body_text(), MAX_BYTES);
    let Json(images) = images.map_err(bad)?;
    let _turn = site.turn().await?;
    let of_site = site.clone();
    let compared = site.compute(move || {
        let loaded = of_site.model(&run)?;
        loaded.check_written(of_page.written)?;
        Comparison::new(&loaded.model.card, &images)
            .map_err(|reason| Problem::BadBody(StatusCode::BAD_REQUEST, reason))
    });
    compared.await?.map(Json)
}
