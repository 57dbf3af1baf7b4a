//! The prediction for an image file.

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use roentgen_data::ImageSource;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::upload::with_image;
use crate::commands::predict::{FileResult, predict_files};
use crate::model::batch_summary::BatchSummary;
use crate::serve::openapi::{FileBytes, OfImage, OfRun};
use crate::serve::problem::Problem;
use crate::serve::site::{LoadedModel, Site};
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

/// The answer for one image.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Prediction)]
pub(super) struct Answer {
    #[serde(flatten)]
    result: FileResult,
    /// What is unusual in the file.
    notes: Vec<String>,
    /// Of models of medical images.
    #[serde(skip_serializing_if = "Option::is_none")]
    caution: Option<&'static str>,
    /// What `shift`, a comparison of many images with those of the training, needs of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    summary: Option<BatchSummary>,
}

impl Answer {
    fn new(loaded: &LoadedModel, source: ImageSource, has_summary: bool) -> Self {
        let LoadedModel { model, card } = loaded;
        let mut summary = BatchSummary::new(card.class_names.len());
        let (mut results, notes) = predict_files(model, card, &[source], &mut summary);
        let result = results.pop().expect("a result for each source");
        let caution = card.medical.then_some(MEDICAL_CAUTION.trim_end());
        let summary = (has_summary && summary.n_images() > 0).then_some(summary);
        Self { result, notes, caution, summary }
    }
}

/// The prediction for an image, as `roentgen predict` makes it.
///
/// A file that cannot be read is answered with status 200 and `error`.
#[utoipa::path(post, path = "/api/v1/runs/{run}/predict", tag = "images", params(OfRun, Parameters),
    request_body(content = FileBytes, content_type = "application/octet-stream",
        description = "An image file: png, jpeg, DICOM, tiff, bmp, webp or gif, 64 MiB at most"),
    responses((status = 200, body = Answer), OfImage))]
pub(super) async fn predict(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(Parameters { name, summary }): Query<Parameters>,
    request: Request,
) -> Result<Json<Answer>, Problem> {
    let work = move |loaded: &LoadedModel, source| Answer::new(loaded, source, summary);
    with_image(&site, &run, name, request, work).await.map(Json)
}
