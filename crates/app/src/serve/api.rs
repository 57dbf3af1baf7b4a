//! The interface for scripts, which the pages use too.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use roentgen_data::ImageSource;
use serde::{Deserialize, Serialize};

use super::runs::RunEntry;
use super::site::{LoadedModel, Problem, Site};
use crate::commands::predict::{FileResult, predict_files};
use crate::model::batch_summary::BatchSummary;
use crate::terminal::tables::MEDICAL_CAUTION;

/// Largest file.
const MAX_BYTES: usize = 64 << 20;

/// The parameters of the address.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    /// What the file is called in the answer; no path is made from it.
    #[serde(default)]
    name: String,
}

/// The answer for one image.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Answer {
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

/// `GET /api/v1/runs`
pub(super) async fn runs(State(site): State<Site>) -> Result<Json<Vec<RunEntry>>, Problem> {
    Ok(Json(site.runs()?))
}

/// `POST /api/v1/runs/{run}/predict?name=film.png`: the prediction for the image file in the body, as `roentgen predict` makes it.
pub(super) async fn predict(
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
