//! What a model predicts for many images: how often each class and how many rejections; a sample of their feature vectors
//! (see `ood.rs`); and the facts of their files.

use roentgen_tensor::rng::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

use super::facts_summary::FactsSummary;
use super::observation::Observation;
use super::ood::{OodDetector, reject_reason};
use super::packed_numbers;
use crate::metrics::argmax::argmax;

/// Vectors that are kept, of any number of images.
const MAX_VECTORS: usize = 300;

/// The summary of a batch; that of the validation images is part of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct BatchSummary {
    n_images: usize,
    /// By class, of the images that are not rejected.
    n_predicted: Vec<usize>,
    n_rejected: usize,
    /// Up to 300 vectors, one after the other; in JSON the base64 of their little-endian bytes.
    #[serde(with = "packed_numbers")]
    #[cfg_attr(feature = "serve", schema(value_type = String))]
    vectors: Vec<f32>,
    file_facts: FactsSummary,
}

impl BatchSummary {
    /// Without images.
    pub(crate) fn new(n_classes: usize) -> Self {
        Self {
            n_images: 0,
            n_predicted: vec![0; n_classes],
            n_rejected: 0,
            vectors: Vec::new(),
            file_facts: FactsSummary::default(),
        }
    }

    /// The summary of these images.
    pub(crate) fn of(
        n_classes: usize,
        observations: &[Observation<'_>],
        detector: Option<&OodDetector>,
    ) -> Self {
        let mut summary = Self::new(n_classes);
        for observation in observations {
            summary.add(observation, reject_reason(detector, observation).is_some());
        }
        summary
    }

    /// Adds an image.
    pub(crate) fn add(&mut self, observation: &Observation<'_>, is_rejected: bool) {
        if is_rejected {
            self.n_rejected += 1;
        } else {
            self.n_predicted[argmax(observation.logits.iter().copied())] += 1;
        }
        let vector: Vec<f32> = observation.vector.iter().map(|&x| x as f32).collect();
        self.add_vector(&vector);
        observation.facts.into_iter().for_each(|facts| self.file_facts.add(facts));
    }

    /// Adds the image of a summary of one, to the same result as from its observation.
    ///
    /// # Errors
    /// If it is not of one image, or of a model with other classes or vectors of another length.
    #[cfg(feature = "serve")]
    pub(crate) fn add_one(&mut self, one: &Self, vector_len: usize) -> Result<(), String> {
        one.check(self.n_predicted.len(), vector_len)?;
        if one.n_images != 1 {
            return Err(format!("{} images in a summary, expected one", one.n_images));
        }
        self.n_rejected += one.n_rejected;
        self.n_predicted.iter_mut().zip(&one.n_predicted).for_each(|(sum, n)| *sum += n);
        self.add_vector(&one.vectors);
        self.file_facts.add_one(&one.file_facts);
        Ok(())
    }

    /// Keeps each vector with the same probability, however many follow (Vitter 1985, algorithm R).
    fn add_vector(&mut self, vector: &[f32]) {
        let before = self.n_images;
        self.n_images += 1;
        if before < MAX_VECTORS {
            self.vectors.extend(vector);
            return;
        }
        let mut rng = CounterRng::new(0, Purpose::Reservoir, before as u64, 0);
        let at = rng.below(self.n_images as u32) as usize;
        if at < MAX_VECTORS {
            self.vectors[at * vector.len()..][..vector.len()].copy_from_slice(vector);
        }
    }

    pub(crate) fn n_images(&self) -> usize {
        self.n_images
    }

    /// By class, of the images that are not rejected.
    pub(crate) fn n_predicted(&self) -> &[usize] {
        &self.n_predicted
    }

    pub(crate) fn n_rejected(&self) -> usize {
        self.n_rejected
    }

    pub(super) fn file_facts(&self) -> &FactsSummary {
        &self.file_facts
    }

    /// A sample of the vectors.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        let n = self.n_images.min(MAX_VECTORS);
        self.vectors.chunks_exact((self.vectors.len() / n.max(1)).max(1))
    }

    /// Rejects data that do not fit a model of these sizes.
    pub(super) fn check(&self, n_classes: usize, vector_len: usize) -> Result<(), String> {
        let n_counted = self.n_predicted.iter().try_fold(self.n_rejected, |sum, &n| sum.checked_add(n));
        let is_valid = self.n_predicted.len() == n_classes
            && n_counted == Some(self.n_images)
            && self.vectors.len() == self.n_images.min(MAX_VECTORS) * vector_len
            && self.vectors.iter().all(|x| x.is_finite())
            && self.file_facts.is_valid(self.n_images);
        if is_valid {
            Ok(())
        } else {
            Err("the data of its validation images do not fit the model".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_a_long_batch_is_kept_with_the_same_probability() {
        let mut summary = BatchSummary::new(2);
        for image in 0..3000 {
            summary.add_vector(&[image as f32, 1.0]);
        }
        let kept: Vec<f32> = summary.vectors().map(|vector| vector[0]).collect();
        assert_eq!((summary.n_images(), kept.len()), (3000, MAX_VECTORS));
        // 100 of each thousand expected, with a standard deviation of 8.
        for thousand in 0..3 {
            let n = kept.iter().filter(|&&image| image as usize / 1000 == thousand).count();
            assert!((70..130).contains(&n), "{n} of thousand {thousand}");
        }
    }

    #[test]
    fn data_of_another_model_are_rejected() {
        let mut summary = BatchSummary::new(2);
        assert!(summary.check(2, 5).is_ok(), "no images");
        assert_eq!(summary.vectors().count(), 0);
        summary.add_vector(&[1.0, 2.0]);
        summary.n_rejected = 1;
        assert!(summary.check(2, 2).is_ok());
        assert!(summary.check(3, 2).is_err() && summary.check(2, 3).is_err());
        summary.vectors[0] = f32::NAN;
        assert!(summary.check(2, 2).is_err());
        summary.n_images = usize::MAX;
        assert!(summary.check(2, 2).is_err());
    }
}
