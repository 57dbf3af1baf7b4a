//! A model in memory.

use roentgen_layers::ResNet9;

use crate::model::model_card::ModelCard;

/// A model, ready to predict.
pub(super) struct LoadedModel {
    pub(super) model: ResNet9,
    pub(super) card: ModelCard,
}
