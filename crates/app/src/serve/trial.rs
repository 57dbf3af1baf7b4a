//! The page on which a model is tried, and the predictions that it asks for.

use axum::body::to_bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use maud::{Markup, html};
use roentgen_data::ImageSource;
use serde::{Deserialize, Serialize};

use super::layout::{encoded, page};
use super::problem::Problem;
use super::site::{LoadedModel, Site};
use crate::commands::predict::{FileResult, predict_files};
use crate::model::batch_summary::BatchSummary;
use crate::terminal::tables::MEDICAL_CAUTION;

/// Largest file.
const MAX_BYTES: usize = 64 << 20;

/// The parameters of the address.
#[derive(Debug, Deserialize)]
struct Parameters {
    /// What the file is called in the answer; no path is made from it.
    #[serde(default)]
    name: String,
}

/// The answer for one image.
#[derive(Debug, PartialEq, Serialize)]
struct Answer {
    #[serde(flatten)]
    result: FileResult,
    /// What is unusual in the file.
    notes: Vec<String>,
    /// Of models of medical images.
    #[serde(skip_serializing_if = "Option::is_none")]
    caution: Option<&'static str>,
}

impl Answer {
    fn new(loaded: &LoadedModel, name: String, bytes: Vec<u8>) -> Self {
        let LoadedModel { model, card } = loaded;
        let sources = [ImageSource::Bytes { name, bytes }];
        let mut summary = BatchSummary::new(card.class_names.len());
        let (mut results, notes) = predict_files(model, card, &sources, &mut summary);
        let result = results.pop().expect("a result for each source");
        Self { result, notes, caution: card.medical.then_some(MEDICAL_CAUTION.trim_end()) }
    }
}

/// What is answered here.
pub(super) fn routes() -> Router<Site> {
    Router::new().route("/runs/{run}/try", get(try_images)).route("/api/v1/runs/{run}/predict", post(predict))
}

/// `GET /runs/{run}/try`: predictions for images that the user drops.
async fn try_images(State(site): State<Site>, Path(name): Path<String>) -> Result<Markup, Problem> {
    let run = site.run(&name)?;
    let (of_site, of_model) = (site.clone(), run.clone());
    let loaded = site.compute(move || of_site.model(&of_model)).await??;
    let LoadedModel { card, .. } = &*loaded;
    Ok(page(
        &format!("{name}: try"),
        Some("try.js"),
        html! {
            div #trial data-predict=(format!("/api/v1/runs/{}/predict", encoded(&name))) {
                h1 { (name) }
                p.verdict { "Which class is an image?" }
                p.soft { "Classes: " (card.class_names.join(", ")) "." }
                @if card.medical { p.caution { "Not a medical device." } }
                @if card.ood_detector.is_none() { p.remark { "This model rejects no image, however unlike its training images." } }
                label.drop for="files" {
                    span { "Drop images here, or choose them" }
                    span.soft { "png, jpeg, DICOM, tiff, bmp, webp or gif; they stay on this machine" }
                    input #files type="file" multiple;
                }
                p #status role="status" aria-live="polite" {}
                div.scroll { table #results hidden {
                    thead { tr { th { "image" } th { "answer" } th { "probability" } th { "remark" } } }
                    tbody {}
                } }
                button #save hidden { "Save as CSV" }
            }
        },
    ))
}

/// `POST /api/v1/runs/{run}/predict?name=film.png`: the prediction for the image file in the body, as `roentgen predict` makes it.
async fn predict(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(Parameters { name }): Query<Parameters>,
    request: Request,
) -> Result<Json<Answer>, Problem> {
    let _place = site.place()?;
    let run = site.run(&run)?;
    let _turn = site.turn().await?;
    let too_large = || format!("the file is larger than {} MiB, or did not arrive", MAX_BYTES >> 20);
    let bytes = to_bytes(request.into_body(), MAX_BYTES).await;
    let bytes = bytes.map_err(|_| Problem::BadBody(StatusCode::PAYLOAD_TOO_LARGE, too_large()))?;
    let of_site = site.clone();
    let answer = site.compute(move || {
        let loaded = of_site.model(&run)?;
        Ok(Answer::new(&loaded, name, bytes.into()))
    });
    answer.await?.map(Json)
}
