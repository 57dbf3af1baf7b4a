//! What a configuration builds.

use roentgen_data::{Dataset, ImageSet, Normalization};
use roentgen_layers::ResNet9Config;

use super::{NormalizeBy, TrainConfig};

/// What `config` normalises pictures by, where `train_set` is trained on.
pub(crate) fn normalization(config: &TrainConfig, train_set: &ImageSet) -> Normalization {
    let per_image = config.normalize == NormalizeBy::Image;
    Normalization { per_image, ..Normalization::of(train_set) }
}

/// The sizes of the model that `config` trains on `data`.
pub(crate) fn architecture(config: &TrainConfig, data: &Dataset) -> ResNet9Config {
    ResNet9Config {
        width: config.width,
        dropout: config.dropout as f32,
        conv: config.conv.into(),
        ..ResNet9Config::new(data.channels, data.class_names.len())
    }
}
