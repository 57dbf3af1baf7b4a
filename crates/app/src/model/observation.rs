//! What is known of an image after its pass through the network: all that its prediction, its rejection and the summary of a
//! set need. Its vector is its [`signature`], and its [`filter_responses`].

use roentgen_data::{FileFacts, ImageSet};
use roentgen_layers::ResNet;

use super::inference::{NetworkOutput, Preprocessing, SetPart, infer_part};

mod filter_responses;
mod signature;

/// What is known of one image of a set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observation<'a> {
    /// By class; the mean over all views.
    pub logits: Vec<f32>,
    /// What the plain view looks like; see [`vector_of`].
    pub vector: Vec<f64>,
    /// How much the colours vary that a model of one channel does not see; 0 for one that sees them.
    pub unseen_colour: f64,
    /// The facts of its file, if it came from a file.
    pub facts: Option<&'a FileFacts>,
}

impl<'a> Observation<'a> {
    fn new(set: &'a ImageSet, image: usize, logits: Vec<f32>, vector: Vec<f64>) -> Self {
        let facts = set.facts(image);
        let unseen = facts.filter(|_| set.channels() == 1);
        Self { logits, vector, unseen_colour: unseen.map_or(0.0, |facts| f64::from(facts.colour)), facts }
    }

    fn of_output(set: &'a ImageSet, image: usize, output: &NetworkOutput<'_>) -> Self {
        Self::new(set, image, output.logits.to_vec(), vector_of(output))
    }
}

/// The features of an image as a vector.
fn vector_of(output: &NetworkOutput<'_>) -> Vec<f64> {
    let mut vector = signature::of(output.pixels);
    vector.append(&mut filter_responses::of(output.first_block));
    vector
}

/// Numbers in a vector of [`vector_of`], of a model whose first block has `width` channels and that sees crops of `crop`
/// pixels.
pub(crate) fn vector_length(width: usize, crop: usize) -> usize {
    signature::length(crop) + 2 * width
}

/// What is known of each image of `set` after its pass through `model`, in order and batch by batch.
pub(crate) fn observe<'a, 'set: 'a>(
    model: &'a ResNet,
    set: &'set ImageSet,
    preprocessing: Preprocessing<'a>,
) -> impl Iterator<Item = Observation<'set>> {
    observe_part(model, set, preprocessing, SetPart::WHOLE)
}

/// The same for a part of the set.
pub(crate) fn observe_part<'a, 'set: 'a>(
    model: &'a ResNet,
    set: &'set ImageSet,
    preprocessing: Preprocessing<'a>,
    part: SetPart,
) -> impl Iterator<Item = Observation<'set>> {
    infer_part(model, set, preprocessing, part, |image, output| Observation::of_output(set, image, output))
}

/// Observations as bytes, for another process that has the same set: what the network computed.
pub(crate) fn to_bytes(observations: &[Observation<'_>]) -> Vec<u8> {
    let numbers = observations.iter().flat_map(|observation| {
        let logits = observation.logits.iter().map(|&logit| f64::from(logit));
        logits.chain(observation.vector.iter().copied())
    });
    numbers.flat_map(f64::to_le_bytes).collect()
}

/// The observations of all images of `set` in the bytes of all its parts.
///
/// # Errors
/// If they are not as many as a model with `n_classes` classes and these vectors computes for the set.
pub(crate) fn from_bytes<'a>(
    bytes: &[u8],
    set: &'a ImageSet,
    n_classes: usize,
    vector_length: usize,
) -> Result<Vec<Observation<'a>>, String> {
    let (numbers, rest) = bytes.as_chunks();
    let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let numbers_per_image = n_classes + vector_length;
    if !rest.is_empty() || numbers.len() != set.len() * numbers_per_image {
        return Err(format!("{} bytes for {} images of {numbers_per_image} numbers", bytes.len(), set.len()));
    }
    let images = numbers.chunks_exact(numbers_per_image).enumerate();
    Ok(images
        .map(|(image, numbers)| {
            let (logits, vector) = numbers.split_at(n_classes);
            let logits = logits.iter().map(|&logit| logit as f32).collect();
            Observation::new(set, image, logits, vector.to_vec())
        })
        .collect())
}
