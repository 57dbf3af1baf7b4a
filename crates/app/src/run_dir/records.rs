//! The records of a run: the lines of its logs, and `metrics.json`.

use serde::{Deserialize, Serialize};

use crate::metrics::shortcut_audit::{Audit, NoAudit};
use crate::metrics::test_metrics::TestMetrics;
use crate::metrics::{MajorityBaseline, SubsetMetrics};
use crate::model::calibration::Calibration;
use crate::model::class_priors::ClassPriors;
use crate::model::instruction_sets::InstructionSets;
use crate::model::shift::Shift;

/// Largest log that is read: 100,000 epochs, the most that there can be, have 30 MB.
pub(crate) const MAX_LOG_BYTES: u64 = 1 << 28;
/// Largest `metrics.json` that is read: 10,000 classes.
pub(crate) const MAX_METRICS_BYTES: u64 = 1 << 26;
/// The key in `metrics.json` of the validation images.
pub(crate) const VAL: &str = "val";
/// The key in `metrics.json` of the validation images that did not leak.
pub(crate) const VAL_WITHOUT_LEAKAGE: &str = "val_deduplicated";

/// A line of `log.jsonl`. It holds no times, so that it is the same whenever and wherever the run is repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct LogLine {
    pub epoch: usize,
    pub train_loss: f64,
    pub train_accuracy: f64,
    pub val_loss: Option<f64>,
    pub val_accuracy: Option<f64>,
    /// The score that `--select` chooses by; larger is better.
    pub val_score: Option<f64>,
    pub lr: f64,
    /// Whether the weights of this epoch replaced the saved ones.
    pub saved: bool,
    /// The arithmetic of the run so far: more than one if it was resumed on another kind of CPU.
    pub instruction_sets: InstructionSets,
}

/// A line of `times.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TimeLine {
    pub epoch: usize,
    /// Seconds of the training steps.
    pub seconds: f64,
    /// Seconds of the validation, and of saving the model.
    pub val_seconds: f64,
    pub images_per_s: f64,
}

/// `metrics.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Metrics {
    /// The result in one or two sentences, as the report begins.
    pub verdict: String,
    /// A sentence if the training loss of the last epoch is no better than guessing; absent if it is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The model against always predicting the most frequent class, on the images of the verdict; null without such images.
    pub majority_baseline: Option<MajorityBaseline>,
    pub val: Option<SubsetMetrics>,
    /// The same without the images that leaked; absent if none leaked, or all did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_deduplicated: Option<SubsetMetrics>,
    /// Validation images that leaked.
    pub n_leaked_val: usize,
    /// The validation figures of the saved epoch; null without a validation set.
    pub selection: Option<Selection>,
    /// Absent without a test set.
    #[serde(flatten)]
    pub test: Option<TestMetrics>,
    /// For which class prior the figures hold.
    pub class_prior: ClassPriors,
    pub calibration: Option<Calibration>,
    pub n_rejected: Rejected,
    /// Whether the test images differ from the validation images; absent where there are too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// Whether the classes can be predicted without what the images are about; absent if it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Why it was not measured.
    #[serde(skip)]
    pub no_audit: Option<NoAudit>,
    pub train_images_per_s: f64,
    pub train_seconds: f64,
    /// Share of the training steps spent on making their batches.
    pub data_loading_fraction: f64,
    pub epochs: usize,
    pub saved_epoch: usize,
    pub n_parameters: usize,
    /// The version of the program.
    pub version: &'static str,
    /// BLAKE3 of the file of `--init`; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<String>,
    /// Whether these weights were trained on images that no file lists, which may be among those of the run; absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_unknown_training_images: bool,
    pub seed: u64,
    pub threads: usize,
}

impl Metrics {
    /// The metrics that the verdict quotes: of the test set, or else of the validation set, without leakage where that makes
    /// a difference.
    #[must_use]
    pub(crate) fn main(&self) -> Option<&SubsetMetrics> {
        let val = self.val_deduplicated.as_ref().or(self.val.as_ref());
        self.test.as_ref().map(TestMetrics::main).or(val)
    }

    /// Whether images of the validation set leaked.
    pub(crate) fn has_leaky_val(&self) -> bool {
        self.n_leaked_val > 0
    }
}

/// The figures of the saved epoch by which the trainings of a sweep are compared: those of `log.jsonl`, by which epochs are
/// selected, but without the images that leaked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Selection {
    /// [`VAL_WITHOUT_LEAKAGE`] if some images leaked and others did not, otherwise [`VAL`].
    pub set: &'static str,
    /// As [`LogLine::val_score`].
    pub val_score: f64,
    /// As [`LogLine::val_loss`].
    pub val_loss: f64,
}

/// For how many images of the data `predict` would reject its prediction.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Rejected {
    /// Validation images that are rejected.
    pub val: Option<usize>,
    /// Test images that are rejected, also among those that leaked.
    pub test: Option<usize>,
}
