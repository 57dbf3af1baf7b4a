//! From settings to the types of the crates below.

use roentgen_data::{
    Augment, ColumnNames, DataError, Dataset, Fold, ImageSet, LoadOptions, Normalization, PatientPattern,
    TtaConfig,
};
use roentgen_layers::ResNet9Config;

use super::{NormalizeBy, TrainConfig, ViewList};

impl TrainConfig {
    /// How training images are augmented.
    #[must_use]
    pub(crate) fn augment(&self) -> Augment {
        Augment {
            crop: self.size as usize,
            padded_side: self.resize() as usize,
            flip: self.flip,
            rotate: self.rotate as f32,
            zoom: self.zoom as f32,
            aspect: self.aspect as f32,
            jitter: self.jitter as f32,
            erase: self.erase as f32,
        }
    }

    /// The views of an image whose logits are averaged.
    #[must_use]
    pub(crate) fn tta_config(&self) -> TtaConfig {
        if !self.tta {
            return TtaConfig::default();
        }
        TtaConfig { mirror: self.flip, zoom: self.zoom as f32, aspect: self.aspect as f32 }
    }

    /// How images are loaded and split.
    ///
    /// # Errors
    /// If the pattern for patients is not a regular expression.
    pub(crate) fn load_options(&self) -> Result<LoadOptions, DataError> {
        let pattern = self.patient_pattern.as_deref().map(PatientPattern::new).transpose()?;
        let fold = self.fold.zip(self.folds).map(|(fold, of)| Fold { index: fold - 1, of });
        Ok(LoadOptions {
            patient_pattern: pattern,
            fold,
            resize: self.resize(),
            crop: self.size,
            seed: self.seed,
            skip_bad: self.skip_bad,
            val_fraction: self.val_fraction,
            test_fraction: self.test_fraction,
            channels: self.channels.into(),
            fit: self.fit.into(),
            invert: self.invert.into(),
            views: ViewList::chosen(self.view.as_ref()),
            test_dir: self.test.clone(),
            columns: ColumnNames {
                path: self.path_column.clone(),
                label: self.label_column.clone(),
                split: self.split_column.clone(),
                patient: self.patient_column.clone(),
            },
            classes: self.classes.clone().unwrap_or_default(),
            cache: self.cache.clone(),
            ..LoadOptions::default()
        })
    }
}

/// How pixels are normalised, where `train_set` is the training set.
pub(crate) fn normalization(config: &TrainConfig, train_set: &ImageSet) -> Normalization {
    let per_image = config.normalize == NormalizeBy::Image;
    Normalization { per_image, ..Normalization::of(train_set) }
}

/// The sizes of the model for `data`.
pub(crate) fn resnet9_config(config: &TrainConfig, data: &Dataset) -> ResNet9Config {
    ResNet9Config {
        width: config.width,
        dropout: config.dropout as f32,
        conv: config.conv.into(),
        ..ResNet9Config::new(data.channels, data.class_names.len())
    }
}
