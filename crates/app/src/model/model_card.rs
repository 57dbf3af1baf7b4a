//! Everything about a model besides its tensors, as the JSON object in the metadata of its file.

use std::collections::BTreeSet;

use roentgen_data::{
    BrightnessPattern, Channels, ImageSource, LoadOptions, LoadedFiles, MAX_CLASSES, Normalization,
    TtaConfig, load_files, silent,
};
use roentgen_layers::ResNet9Config;
use serde::{Deserialize, Serialize};

use super::assumed_prior::AssumedPrior;
use crate::config::{FitChoice, InvertChoice, ViewList};
use crate::model::batch_summary::BatchSummary;
use crate::model::inference::Preprocessing;
use crate::model::instruction_sets::InstructionSets;
use crate::model::observation::vector_length;
use crate::model::ood::OodDetector;
use crate::model::temperature_limits::is_at_limit;
use crate::model::training_digests::TrainingDigests;

/// Version of the layout of the file; a reader rejects others.
pub(crate) const FORMAT: u32 = 2;
/// The placeholder for the digest until it is computed.
pub(crate) const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a model needs besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelCard {
    /// Version of the layout of the file.
    pub format: u32,
    /// BLAKE3 of the file with zeros in the place of the digest: [`to_bytes`](super::model_file::to_bytes) fills it in,
    /// [`read`](super::model_file::read) checks it.
    pub digest: String,
    /// The classes in the order of the outputs.
    pub class_names: Vec<String>,
    /// 1 for grey images, 3 for colour.
    pub channels: usize,
    /// Short side that images are resized to, in pixels.
    pub resize: u32,
    /// Side of the crop, in pixels.
    pub size: u32,
    /// What is done with images that are not square.
    pub fit: FitChoice,
    /// How many bits of 16-bit samples the training images use, if they have such samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_bits: Option<u8>,
    /// What is done with negatives of the training images.
    pub invert: InvertChoice,
    /// The brightness that the training images have in common, if they have: negatives are recognised by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brightness_pattern: Option<BrightnessPattern>,
    /// The views of DICOM images that it was trained on, if they were chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewList>,
    /// Mean and standard deviation of the training images.
    #[serde(flatten)]
    pub normalization: Normalization,
    /// The views of each image that test-time augmentation averages over.
    #[serde(flatten)]
    pub tta: TtaConfig,
    /// What logits are divided by before they become probabilities; fitted on the validation set; 1 without one.
    pub temperature: f64,
    /// The class prior that its probabilities assume.
    pub prior: AssumedPrior,
    /// Channels after the first convolution.
    pub width: usize,
    /// BLAKE3 of the file of weights that the training started from, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<String>,
    /// The seed of the run, which also decides the splits.
    pub seed: u64,
    /// Share that was split off for validation, where the folder had no validation set.
    pub val_fraction: f64,
    /// Share that was split off as the test set.
    pub test_fraction: f64,
    /// The pattern that finds patients in file names, if not the built-in ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_pattern: Option<String>,
    /// New names that its training gave to classes of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_mapping: Option<String>,
    /// Which fold, from 1, of how many it was tested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<[usize; 2]>,
    /// Recognises the data trained on, by their pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Number of phantom films, if it was trained on the phantom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub films: Option<u32>,
    /// Passes over the training set that made these weights.
    pub epoch: usize,
    /// The arithmetic that computed these weights.
    pub instruction_sets: InstructionSets,
    /// What it was trained on, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
    /// Whether it was trained on medical images.
    pub medical: bool,
    /// When to reject a prediction; fitted after training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ood_detector: Option<OodDetector>,
    /// What the model predicts for its validation images, to compare other images with; computed after training.
    #[serde(rename = "validation_summary", default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<BatchSummary>,
    /// Digests of the training and validation images.
    #[serde(rename = "seen")]
    pub training_digests: TrainingDigests,
    /// Those of them that no weight was computed from: validation images that are no training images, also not of the model
    /// that the training started from.
    pub held_out: TrainingDigests,
    /// Whether the training started, itself or through other models, from weights whose training images are not known, so
    /// that the digests are incomplete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unknown_training_images: bool,
}

/// What a model was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrainedOn {
    /// The last component of the path of the data, or a description of the phantom.
    pub data: String,
    /// Training images.
    pub n_train: usize,
    /// Validation images, by which the epoch was chosen.
    pub n_val: usize,
}

/// A condition that a card meets, and the error text if it does not.
type Rule = (bool, String);

impl ModelCard {
    /// How images become the input of the model.
    #[must_use]
    pub(crate) fn preprocessing(&self) -> Preprocessing<'_> {
        Preprocessing { crop: self.size as usize, normalization: &self.normalization, tta: self.tta }
    }

    /// Digests of the images that the weights were computed from.
    #[must_use]
    pub(crate) fn fitted_digests(&self) -> TrainingDigests {
        self.training_digests.clone().without(&self.held_out)
    }

    /// What its probabilities are, in plain words.
    #[must_use]
    pub(crate) fn meaning_of_probability(&self) -> &'static str {
        let has_val = self.trained_on.as_ref().is_some_and(|trained_on| trained_on.n_val > 0);
        if has_val && !is_at_limit(self.temperature) {
            self.prior.meaning_of_probability()
        } else {
            "The probabilities are not calibrated: 80 % does not mean that about 80 of 100 such predictions are correct."
        }
    }

    /// What a model without a detector cannot do, and why.
    #[must_use]
    pub(crate) fn missing_detector_in_words(&self) -> Option<String> {
        self.ood_detector.is_none().then(|| {
            format!(
                "this model (epoch {}) rejects no image and compares no batch with its validation images: it is not the final \
                 model of a run, or was trained on too few images",
                self.epoch
            )
        })
    }

    /// How images are loaded for this model.
    #[must_use]
    pub(crate) fn image_options(&self) -> LoadOptions {
        LoadOptions {
            resize: self.resize,
            crop: self.size,
            channels: if self.channels == 1 { Channels::Grey } else { Channels::Rgb },
            fit: self.fit.into(),
            sample_bits: self.sample_bits,
            invert: self.invert.into(),
            views: ViewList::chosen(self.view.as_ref()),
            pattern: self.brightness_pattern.clone(),
            ..LoadOptions::default()
        }
    }

    /// Reads image files for this model.
    #[must_use]
    pub(crate) fn read_images(&self, sources: &[ImageSource]) -> LoadedFiles {
        load_files(sources, self.channels, &self.image_options(), &silent)
    }

    /// The sizes of the network, without dropout: the model is trained already.
    pub(crate) fn config(&self) -> ResNet9Config {
        let n_classes = self.class_names.len();
        ResNet9Config { width: self.width, dropout: 0.0, ..ResNet9Config::new(self.channels, n_classes) }
    }

    /// Rejects numbers that no file of this program has, before memory is allocated for them.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut rules = self.size_rules().into_iter().chain(self.value_rules());
        if let Some((_, text)) = rules.find(|(holds, _)| !holds) {
            return Err(text);
        }
        if let Some(detector) = &self.ood_detector {
            detector.check(self.width, self.size as usize)?;
        }
        let validation = self.validation.as_ref();
        validation.map_or(Ok(()), |summary| summary.check(self.class_names.len(), self.vector_length()))
    }

    /// Numbers in the vector of an image; see [`vector_length`].
    pub(crate) fn vector_length(&self) -> usize {
        vector_length(self.width, self.size as usize)
    }

    fn size_rules(&self) -> [Rule; 6] {
        let Self { format, channels, width, size, resize, .. } = self;
        let n_classes = self.class_names.len();
        [
            (*format == FORMAT, format!("format is {format}, expected {FORMAT}")),
            (matches!(channels, 1 | 3), format!("channels is {channels}, expected 1 or 3")),
            ((1..=256).contains(width), format!("width is {width}, expected 1 to 256")),
            ((8..=512).contains(size), format!("size is {size}, expected 8 to 512")),
            ((*size..=8192).contains(resize), format!("resize is {resize}, expected {size} to 8192")),
            (
                (2..=MAX_CLASSES).contains(&n_classes),
                format!("it has {n_classes} classes, expected 2 to {MAX_CLASSES}"),
            ),
        ]
    }

    fn value_rules(&self) -> [Rule; 7] {
        let Normalization { mean, std, .. } = &self.normalization;
        let (fold, tta, temperature) = (self.fold, self.tta, self.temperature);
        let names: BTreeSet<&str> = self.class_names.iter().map(|name| name.trim()).collect();
        [
            (
                names.len() == self.class_names.len() && !names.contains(""),
                "two of its classes have the same name, or one has none".to_owned(),
            ),
            (
                mean.len() == self.channels && std.len() == self.channels,
                "mean and std don't have one number per channel".to_owned(),
            ),
            (
                std.iter().all(|&std| std > 0.0 && std.is_finite())
                    && mean.iter().all(|mean| mean.is_finite()),
                "mean and std are out of range".to_owned(),
            ),
            (
                fold.is_none_or(|[fold, of]| (2..=100).contains(&of) && (1..=of).contains(&fold)),
                format!("fold is {fold:?}, expected one of 2 to 100 folds"),
            ),
            (
                [tta.zoom, tta.aspect].iter().all(|share| (0.0..=4.0).contains(share)),
                format!("test-time augmentation is {tta:?}, expected zoom and aspect of 0 to 4"),
            ),
            (
                self.sample_bits.is_none_or(|bits| (8..=16).contains(&bits)),
                format!("sample_bits is {:?}, expected 8 to 16", self.sample_bits),
            ),
            (
                temperature > 0.0 && temperature.is_finite(),
                format!("temperature is {temperature}, expected a number above 0"),
            ),
        ]
    }
}
