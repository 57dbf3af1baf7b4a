//! A model in memory.

use roentgen_data::ImageSet;
use tokio::sync::OwnedSemaphorePermit;

use super::batching::Queue;
use crate::model::batch_summary::BatchSummary;
use crate::model::image_prediction::ImagePrediction;
use crate::model::trained_model::Model;

/// A model, ready to predict.
pub(super) struct LoadedModel {
    pub(super) model: Model,
    pub(super) queue: Queue<WaitingImage, (ImagePrediction, BatchSummary)>,
}

/// An image that has been read and waits to be predicted.
#[derive(Debug)]
pub(super) struct WaitingImage {
    /// The image alone.
    pub(super) image: ImageSet,
    /// Its place among the requests.
    pub(super) _place: OwnedSemaphorePermit,
}
