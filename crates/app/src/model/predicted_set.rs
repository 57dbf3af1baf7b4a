//! The predictions of a model for a set whose classes are known, with what else is known of each image.

use roentgen_data::{ImageGroups, ImageSet};

use crate::metrics::test_metrics::{TestImages, TestMetrics, main_images};
use crate::metrics::{Predictions, SubsetMetrics};
use crate::model::batch_summary::BatchSummary;
use crate::model::inference::Evaluation;
use crate::model::model_card::ModelCard;
use crate::model::observation::{Observation, observe};
use crate::model::ood::{RejectReason, reject_reason};
use crate::model::trained_model::Model;

/// The predictions for every image of a set.
#[derive(Clone, Debug)]
pub(crate) struct PredictedSet {
    /// Labels and logits.
    pub evaluation: Evaluation,
    /// Labels, predicted classes and calibrated probabilities.
    pub predictions: Predictions,
    /// Whether each image, or its patient, occurs in an earlier set.
    pub is_leaked: Vec<bool>,
    /// Why the model rejects each image, if it does; `None` for a model that rejects nothing.
    pub reject_reasons: Option<Vec<Option<RejectReason>>>,
    groups: ImageGroups,
}

impl PredictedSet {
    /// The predictions of `model` for `set`.
    ///
    /// # Panics
    /// If `is_leaked` is not as long as the set.
    pub(crate) fn new(model: &Model, set: &ImageSet, is_leaked: Vec<bool>) -> Self {
        Self::with_summary(model, set, is_leaked).0
    }

    /// The same, and the summary of all images together.
    ///
    /// # Panics
    /// As [`PredictedSet::new`].
    pub(crate) fn with_summary(model: &Model, set: &ImageSet, is_leaked: Vec<bool>) -> (Self, BatchSummary) {
        let Model { network, card } = model;
        Self::of_observations(card, set, is_leaked, observe(network, set, card.preprocessing()))
    }

    /// The same of images that have gone through the network.
    ///
    /// # Panics
    /// As [`PredictedSet::new`].
    pub(crate) fn of_observations<'a>(
        card: &ModelCard,
        set: &ImageSet,
        is_leaked: Vec<bool>,
        observations: impl Iterator<Item = Observation<'a>>,
    ) -> (Self, BatchSummary) {
        assert_eq!(is_leaked.len(), set.len(), "whether each image leaked");
        let mut evaluation = Evaluation::new(card.class_names.len());
        let mut summary = BatchSummary::new(card.class_names.len());
        let mut reasons = Vec::with_capacity(set.len());
        for (observation, &label) in observations.zip(set.labels()) {
            evaluation.add(label, &observation.logits);
            let reason = reject_reason(card.ood_detector.as_ref(), &observation);
            summary.add(&observation, reason.is_some());
            reasons.push(reason);
        }
        let predictions = evaluation.predictions(card.temperature);
        let reject_reasons = card.ood_detector.is_some().then_some(reasons);
        let groups = set.groups();
        (Self { evaluation, predictions, is_leaked, reject_reasons, groups }, summary)
    }

    /// Whether the model rejects each image; `None` for a model that rejects nothing.
    pub(crate) fn is_rejected(&self) -> Option<Vec<bool>> {
        self.reject_reasons.as_ref().map(|reasons| reasons.iter().map(Option::is_some).collect())
    }

    /// The metrics of a test set.
    pub(crate) fn test_metrics(&self, class_names: &[String]) -> TestMetrics {
        let is_rejected = self.is_rejected();
        let images = TestImages {
            groups: &self.groups,
            is_leaked: &self.is_leaked,
            is_rejected: is_rejected.as_deref(),
        };
        TestMetrics::new(class_names, &self.predictions, &images)
    }

    /// The metrics of all images, with intervals by groups of images that belong together.
    pub(crate) fn metrics(&self, class_names: &[String]) -> SubsetMetrics {
        SubsetMetrics::new(class_names.to_vec(), &self.predictions, self.groups.ids())
    }

    /// The same without the images that leaked; `None` if none leaked, or all did.
    pub(crate) fn deduplicated_metrics(&self, class_names: &[String]) -> Option<SubsetMetrics> {
        let n_main = main_images(&self.is_leaked).len();
        (n_main < self.is_leaked.len()).then(|| self.main().metrics(class_names))
    }

    /// How many images leaked.
    pub(crate) fn n_leaked(&self) -> usize {
        self.is_leaked.iter().filter(|&&is_leaked| is_leaked).count()
    }

    /// Which images belong together: those of a patient, and duplicates.
    pub(crate) fn groups(&self) -> &ImageGroups {
        &self.groups
    }

    /// The predictions for the images that figures are about; see [`main_images`].
    pub(crate) fn main(&self) -> Self {
        let main = main_images(&self.is_leaked);
        Self {
            evaluation: self.evaluation.only(&main),
            predictions: self.predictions.only(&main),
            is_leaked: main.iter().map(|&image| self.is_leaked[image]).collect(),
            reject_reasons: self
                .reject_reasons
                .as_ref()
                .map(|all| main.iter().map(|&image| all[image]).collect()),
            groups: self.groups.select(&main),
        }
    }

    /// How many images the model rejects; `None` for a model that rejects nothing.
    pub(crate) fn n_rejected(&self) -> Option<usize> {
        self.reject_reasons.as_ref().map(|reasons| reasons.iter().flatten().count())
    }
}
