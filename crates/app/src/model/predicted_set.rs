//! The predictions of a model for a set whose classes are known, with what else is known of each image.

use roentgen_data::{ImageSet, group_ids};
use roentgen_layers::ResNet9;

use crate::metrics::test_metrics::{TestImages, TestMetrics, main_images};
use crate::metrics::{Predictions, SubsetMetrics};
use crate::model::inference::{Evaluation, predict};
use crate::model::model_card::ModelCard;

/// The predictions for every image of a set.
#[derive(Clone, Debug)]
pub(crate) struct PredictedSet {
    /// Labels and logits.
    pub evaluation: Evaluation,
    /// Labels, predicted classes and calibrated probabilities.
    pub predictions: Predictions,
    /// Of each image, whether it, or its patient, occurs in the training or validation set; of a validation set, none.
    pub is_leaked: Vec<bool>,
    /// Of each image, whether the model rejects it as out of distribution; `None` for a model that rejects nothing.
    pub is_rejected: Option<Vec<bool>>,
    patients: Vec<Option<String>>,
}

impl PredictedSet {
    /// The predictions of `model` for `set`.
    ///
    /// # Panics
    /// If `is_leaked` is not as long as the set.
    pub(crate) fn new(model: &ResNet9, card: &ModelCard, set: &ImageSet, is_leaked: Vec<bool>) -> Self {
        assert_eq!(is_leaked.len(), set.len(), "whether each image leaked");
        let mut evaluation = Evaluation::new(card.class_names.len());
        let mut is_rejected = card.ood_detector.as_ref().map(|_| Vec::with_capacity(set.len()));
        predict(model, set, &card.preprocessing(), |image, prediction| {
            evaluation.add(set.labels()[image], prediction.logits);
            if let Some((detector, is_rejected)) = card.ood_detector.as_ref().zip(is_rejected.as_mut()) {
                is_rejected.push(detector.reject_reason(prediction).is_some());
            }
        });
        let predictions = evaluation.predictions(card.temperature);
        Self { evaluation, predictions, is_leaked, is_rejected, patients: set.patients().to_vec() }
    }

    /// The metrics of a test set.
    pub(crate) fn test_metrics(&self, class_names: &[String]) -> TestMetrics {
        let images = TestImages {
            patients: &self.patients,
            is_leaked: &self.is_leaked,
            is_rejected: self.is_rejected.as_deref(),
        };
        TestMetrics::new(class_names, &self.predictions, &images)
    }

    /// The metrics of all images, with intervals by patient where patients are known.
    pub(crate) fn metrics(&self, class_names: &[String]) -> SubsetMetrics {
        SubsetMetrics::new(class_names.to_vec(), &self.predictions, self.groups().as_deref())
    }

    /// The group of each image, by patient; `None` if no patient is known.
    pub(crate) fn groups(&self) -> Option<Vec<u32>> {
        group_ids(&self.patients)
    }

    /// The predictions for the images that figures are about; see [`main_images`].
    pub(crate) fn main(&self) -> Self {
        let main = main_images(&self.is_leaked);
        Self {
            evaluation: self.evaluation.only(&main),
            predictions: self.predictions.only(&main),
            is_leaked: main.iter().map(|&image| self.is_leaked[image]).collect(),
            is_rejected: self.is_rejected.as_ref().map(|all| main.iter().map(|&image| all[image]).collect()),
            patients: main.iter().map(|&image| self.patients[image].clone()).collect(),
        }
    }

    /// How many images the model rejects; `None` for a model that rejects nothing.
    pub(crate) fn n_rejected(&self) -> Option<usize> {
        self.is_rejected.as_ref().map(|rejected| rejected.iter().filter(|&&is_rejected| is_rejected).count())
    }
}
