//! A model in memory.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use roentgen_data::ImageSet;
use tokio::sync::OwnedSemaphorePermit;

use super::batching::Queue;
use super::problem::Problem;
use crate::model::batch_summary::BatchSummary;
use crate::model::image_prediction::ImagePrediction;
use crate::model::trained_model::Model;

/// A model, ready to predict.
pub(super) struct LoadedModel {
    pub(super) model: Model,
    /// When its file was written, in nanoseconds since 1970: another file has another time.
    pub(super) written: u64,
    pub(super) queue: Queue<WaitingImage, (ImagePrediction, BatchSummary)>,
}

impl LoadedModel {
    /// The model of a file that was written at this time.
    pub(super) fn new(model: Model, written: Option<SystemTime>) -> Self {
        let since = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        // They fit until the year 2554.
        Self { model, written: since.unwrap_or_default().as_nanos() as u64, queue: Queue::default() }
    }

    /// Fails if a page was loaded with the file of another time, whose answers it shows.
    ///
    /// # Errors
    /// [`Problem::BadBody`].
    pub(super) fn check_written(&self, of_page: Option<u64>) -> Result<(), Problem> {
        if of_page.is_none_or(|written| written == self.written) {
            return Ok(());
        }
        let reason = "the model has changed since this page was loaded; load the page again";
        Err(Problem::BadBody(StatusCode::CONFLICT, reason.to_owned()))
    }
}

/// An image that has been read and waits to be predicted.
#[derive(Debug)]
pub(super) struct WaitingImage {
    /// The image alone.
    pub(super) image: ImageSet,
    /// Its place among the requests.
    pub(super) _place: OwnedSemaphorePermit,
}
