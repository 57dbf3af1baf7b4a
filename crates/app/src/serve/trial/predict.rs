//! The prediction for an image file.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use roentgen_data::{ImageSet, ImageSource, LoadedFiles};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::upload::{Written, read_image};
use crate::commands::predict::FileResult;
use crate::model::batch_summary::BatchSummary;
use crate::model::image_prediction::{ImagePrediction, predict_with_summaries};
use crate::serve::openapi::{FileBytes, OfImage, OfRun};
use crate::serve::problem::Problem;
use crate::serve::site::{LoadedModel, Site, WaitingImage};
use crate::terminal::tables::MEDICAL_CAUTION;

/// The parameters of the address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// What the file is called in the answer; no path is made from it.
    #[serde(default)]
    name: String,
    /// Whether the answer is to have a summary of the image.
    #[serde(default)]
    summary: bool,
}

/// The prediction for one image, with what is known of the file.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Prediction {
    #[serde(flatten)]
    result: FileResult,
    /// What is unusual in the file.
    notes: Vec<&'static str>,
    /// Of models of medical images.
    #[serde(skip_serializing_if = "Option::is_none")]
    caution: Option<&'static str>,
    /// What `shift`, a comparison of many images with those of the training, needs of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<BatchSummary>,
}

/// Has the images of a queue predicted, batch by batch, until none waits.
pub(super) async fn serve_queue(site: Site, loaded: Arc<LoadedModel>) {
    while let Some(batch) = loaded.queue.next() {
        let of_batch = Arc::clone(&loaded);
        // A batch that fails is answered as such; the next one may not.
        drop(site.compute(move || batch.answer(|images| predict_together(&of_batch, images))).await);
    }
}

fn predict_together(loaded: &LoadedModel, images: &[WaitingImage]) -> Vec<(ImagePrediction, BatchSummary)> {
    let all = images.iter().fold(ImageSet::default(), |all, waiting| all.concat(&waiting.image));
    predict_with_summaries(&loaded.model, &all)
}

/// The prediction for an image, as `roentgen predict` makes it.
///
/// A file that cannot be read is answered with status 200 and `error`.
#[utoipa::path(post, path = "/api/v1/runs/{run}/predict", tag = "images", params(OfRun, Parameters, Written),
    request_body(content = FileBytes, content_type = "application/octet-stream",
        description = "An image file: png, jpeg, DICOM, tiff, bmp, webp or gif, 64 MiB at most"),
    responses((status = 200, body = Prediction), OfImage))]
pub(super) async fn predict(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(Parameters { name, summary }): Query<Parameters>,
    Query(of_page): Query<Written>,
    request: Request,
) -> Result<Json<Prediction>, Problem> {
    let place = site.place()?;
    let read =
        |loaded: Arc<LoadedModel>, source: ImageSource| (loaded.model.card.read_images(&[source]), loaded);
    let (files, loaded) = read_image(&site, &run, of_page, name.clone(), request, read).await?;
    let LoadedFiles { images: image, mut by_source, counts } = files;
    let card = &loaded.model.card;
    let notes = counts.notes(&card.image_options()).iter().filter_map(|note| note.of_one).collect();
    let class_names = &card.class_names;
    let caution = card.medical.then_some(MEDICAL_CAUTION.trim_end());
    if let Some(Err(reason)) = by_source.pop() {
        let result = FileResult::new(name, class_names, Err(reason));
        return Ok(Json(Prediction { result, notes, caution, summary: None }));
    }
    let added = loaded.queue.add(WaitingImage { image, _place: place });
    if added.needs_task {
        tokio::spawn(serve_queue(site, Arc::clone(&loaded)));
    }
    let (prediction, of_image) = added.result.await.map_err(|_| Problem::Failed)?;
    let result = FileResult::new(name, class_names, Ok(&prediction));
    Ok(Json(Prediction { result, notes, caution, summary: summary.then_some(of_image) }))
}
