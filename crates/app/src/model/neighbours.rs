//! The images that look most alike to a model: those with the most similar features, which are what its classifier reads.

use roentgen_data::{ImageSet, TtaConfig};

use super::inference::{Preprocessing, SetPart, infer_part};
use super::trained_model::Model;

/// The features of many images.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    /// The features of one image after the other, as unit vectors.
    features: Vec<f32>,
    n_features: usize,
}

/// An image that is similar to another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Neighbour {
    /// Its index in the set.
    pub image: usize,
    /// The cosine of the angle between the features: 1 for the same image.
    pub similarity: f32,
}

impl Neighbours {
    /// Computes the features of a set. Calls `on_image` with each image that is done, and stops where it returns false.
    pub(crate) fn new(model: &Model, set: &ImageSet, on_image: impl Fn(usize) -> bool) -> Self {
        let mut features = Vec::new();
        let mut n_features = 1;
        for (image, image_features) in features_of(model, set).enumerate() {
            n_features = image_features.len();
            features.extend(image_features);
            if !on_image(image) {
                break;
            }
        }
        Self { features, n_features }
    }

    /// The `n` images whose features are most similar to those of the first image of `set`, the most similar first.
    ///
    /// # Panics
    /// If the set is empty, or the model another one.
    #[must_use]
    pub(crate) fn nearest(&self, model: &Model, set: &ImageSet, n: usize) -> Vec<Neighbour> {
        let own = features_of(model, &set.select(&[0])).next().expect("one image");
        self.most_similar(&own, n)
    }

    /// The same for features.
    fn most_similar(&self, own: &[f32], n: usize) -> Vec<Neighbour> {
        let similarity = |of: &[f32]| of.iter().zip(own).map(|(a, b)| a * b).sum::<f32>();
        let all = self.features.chunks_exact(self.n_features).map(similarity).enumerate();
        let mut all: Vec<Neighbour> =
            all.map(|(image, similarity)| Neighbour { image, similarity }).collect();
        all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        all.truncate(n);
        all
    }
}

/// The features of each image of a set, scaled to length 1.
fn features_of<'a>(model: &'a Model, set: &'a ImageSet) -> impl Iterator<Item = Vec<f32>> + 'a {
    // Features are those of the plain view.
    let preprocessing = Preprocessing { tta: TtaConfig::default(), ..model.card.preprocessing() };
    infer_part(&model.network, set, preprocessing, SetPart::WHOLE, |_, output| {
        let length = output.features.iter().map(|x| x * x).sum::<f32>().sqrt();
        // An image without any feature is like no other.
        let scale = if length > 0.0 && length.is_finite() { 1.0 / length } else { 0.0 };
        output.features.iter().map(|x| x * scale).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_come_first() {
        let features = vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8, -1.0, 0.0];
        let neighbours = Neighbours { features, n_features: 2 };
        let of = |own: [f32; 2], n| {
            neighbours.most_similar(&own, n).into_iter().map(|near| near.image).collect::<Vec<_>>()
        };
        assert_eq!(of([1.0, 0.0], 4), [0, 2, 1, 3]);
        assert_eq!(of([0.0, 1.0], 2), [1, 2]);
        assert_eq!(of([0.0, 1.0], 9).len(), 4);
    }
}
