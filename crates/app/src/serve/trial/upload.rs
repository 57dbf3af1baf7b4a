//! An image file in the body of a request, for the model of a run.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use roentgen_data::ImageSource;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::serve::bodies::MAX_BYTES;
use crate::serve::problem::Problem;
use crate::serve::site::{LoadedModel, Site};
use crate::terminal::foreign_text::error_line;

/// The parameter with which a page gets the answers of one file of a model alone.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Written {
    /// When the file of the model was written, in nanoseconds since 1970, as the page of the model has it. If it is another file
    /// now, the answer is 409.
    pub(super) written: Option<u64>,
}

/// What `work` makes of the image file in the body of a request with the model of a run, when it is the turn of the request.
/// `name` is what the file is called; no path is made from it.
pub(super) async fn with_image<T: Send + 'static>(
    site: &Site,
    run: &str,
    of_page: Written,
    name: String,
    request: Request,
    work: impl FnOnce(&LoadedModel, ImageSource) -> T + Send + 'static,
) -> Result<T, Problem> {
    let _place = site.place()?;
    read_image(site, run, of_page, name, request, move |loaded, source| work(&loaded, source)).await
}

/// The same for a request that has its place. The turn comes when the file has arrived, so that a slow client keeps no other
/// waiting; until `work` is done the request has its memory and its turn, also if its client goes away.
pub(super) async fn read_image<T: Send + 'static>(
    site: &Site,
    run: &str,
    of_page: Written,
    name: String,
    request: Request,
    work: impl FnOnce(Arc<LoadedModel>, ImageSource) -> T + Send + 'static,
) -> Result<T, Problem> {
    let run = site.run(run)?;
    let reason = format!("the file is larger than {} MiB, or did not arrive", MAX_BYTES >> 20);
    let incomplete = Problem::BadBody(StatusCode::PAYLOAD_TOO_LARGE, reason);
    let (bytes, memory) = site.bodies().read(request.into_body(), incomplete).await?;
    let turn = site.turn().await?;
    let of_site = site.clone();
    let answer = site.compute(move || {
        let _held = (memory, turn);
        let loaded = of_site.model(&run)?;
        loaded.check_written(of_page.written)?;
        Ok(work(loaded, ImageSource::Bytes { name, bytes: bytes.into() }))
    });
    answer.await?
}

/// The answer to a file that cannot be used, with the reason.
pub(super) fn unusable(reason: &str) -> Problem {
    Problem::BadBody(StatusCode::UNPROCESSABLE_ENTITY, error_line(reason))
}
