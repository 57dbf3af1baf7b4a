//! Applying a model to images: centre crops, running statistics, no dropout.

use ndarray::{Array4, ArrayView3};
use roentgen_data::{
    FileFacts, ImageSet, Normalization, Sample, Transform, TtaConfig, batch_ranges, even_ranges, fill_batch,
};
use roentgen_layers::{ResNet9, Workspace};

use crate::metrics::argmax::argmax;
use crate::metrics::{Confusion, Predictions};
use crate::model::error::ModelError;

/// Most images that go through the model together. Only speed and memory depend on it.
const MAX_BATCH: usize = 128;
/// Most numbers in the output of a convolution of these images, 128 MiB: large images keep all cores busy in small batches.
const MAX_NUMBERS: usize = 32 << 20;

/// Images of `size` x `size` that go through a model of this width together.
#[must_use]
pub(crate) fn evaluation_batch(width: usize, size: usize) -> usize {
    // The second convolution has the largest output, before its pooling.
    (MAX_NUMBERS / (2 * width * size * size)).clamp(1, MAX_BATCH)
}

/// How images become the input of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preprocessing<'a> {
    /// Side of the centre crop, in pixels.
    pub crop: usize,
    /// Mean and standard deviation that pixels are normalised by.
    pub normalization: &'a Normalization,
    /// The views of each image, whose logits are averaged.
    pub tta: TtaConfig,
}

/// The labels of the images of a set, and the logits that a model computes for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    n_classes: usize,
    labels: Vec<u32>,
    /// `(n, n_classes)`.
    logits: Vec<f32>,
}

impl Evaluation {
    /// Without images.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, labels: Vec::new(), logits: Vec::new() }
    }

    /// Adds an image.
    ///
    /// # Panics
    /// If there are not as many logits as classes.
    pub fn add(&mut self, label: u32, logits: &[f32]) {
        assert_eq!(logits.len(), self.n_classes, "a logit for each class");
        self.labels.push(label);
        self.logits.extend(logits);
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class and logits of one image.
    ///
    /// # Panics
    /// If there is no image `image`.
    #[must_use]
    pub fn image(&self, image: usize) -> (usize, &[f32]) {
        (self.labels[image] as usize, &self.logits[image * self.n_classes..][..self.n_classes])
    }

    /// Fails if a logit is infinite or NaN.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`].
    pub fn check_finite(&self) -> Result<(), ModelError> {
        let is_finite = self.logits.iter().all(|logit| logit.is_finite());
        if is_finite { Ok(()) } else { Err(ModelError::NotFinite) }
    }

    /// The confusion matrix.
    #[must_use]
    pub fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.n_classes);
        for image in 0..self.len() {
            let (label, logits) = self.image(image);
            confusion.add(label, argmax(logits.iter().copied()));
        }
        confusion
    }

    /// Predicted classes and probabilities, with the logits divided by `temperature`.
    #[must_use]
    pub fn predictions(&self, temperature: f64) -> Predictions {
        self.shifted_predictions(temperature, None)
    }

    /// The same for another class prior: `log_shift` is added to the logits after the division; see
    /// [`ClassPriors`](crate::model::class_priors::ClassPriors).
    #[must_use]
    pub fn shifted_predictions(&self, temperature: f64, log_shift: Option<&[f64]>) -> Predictions {
        let mut predictions = Predictions::with_capacity(self.n_classes, self.len());
        for (image, &label) in self.labels.iter().enumerate() {
            predictions.add(label, self.shifted_logits(image, temperature, log_shift));
        }
        predictions
    }

    /// The logits of an image, divided and shifted as in [`Self::shifted_predictions`].
    pub(super) fn shifted_logits(
        &self,
        image: usize,
        temperature: f64,
        log_shift: Option<&[f64]>,
    ) -> impl Iterator<Item = f64> {
        let (_, logits) = self.image(image);
        logits.iter().enumerate().map(move |(class, &logit)| {
            f64::from(logit) / temperature + log_shift.map_or(0.0, |log_shift| log_shift[class])
        })
    }

    /// The same images with `log_shift` added to their logits.
    #[must_use]
    pub fn shifted(mut self, log_shift: Option<&[f64]>) -> Self {
        if let Some(log_shift) = log_shift {
            for logits in self.logits.chunks_exact_mut(log_shift.len()) {
                logits.iter_mut().zip(log_shift).for_each(|(logit, shift)| *logit += *shift as f32);
            }
        }
        self
    }

    /// The images `chosen`, in order.
    #[must_use]
    pub fn only(&self, chosen: &[usize]) -> Self {
        let mut only = Self::new(self.n_classes);
        for &image in chosen {
            let (label, logits) = self.image(image);
            only.add(label as u32, logits);
        }
        only
    }

    /// Cross-entropy of each image, without weights, smoothing or temperature.
    #[must_use]
    pub fn losses(&self) -> Vec<f64> {
        let loss = |image| {
            let (label, logits) = self.image(image);
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let over = |logit: f32| f64::from(logit) - f64::from(largest);
            libm::log(logits.iter().map(|&logit| libm::exp(over(logit))).sum()) - over(logits[label])
        };
        (0..self.len()).map(loss).collect()
    }

    /// Mean cross-entropy.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.losses().iter().sum::<f64>() / self.len() as f64
    }
}

/// The output of a model for one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetworkOutput<'a> {
    /// By class; the mean over all views.
    pub logits: &'a [f32],
    /// The output of the first block, `(h, w, c)`, for the plain view.
    pub first_block: ArrayView3<'a, f32>,
    /// The normalised pixels of the plain view, `(size, size, c)`.
    pub pixels: ArrayView3<'a, f32>,
    /// How much the colours vary that a model of one channel does not see; 0 for one that sees them.
    pub unseen_colour: f64,
    /// The facts of its file, if it came from a file.
    pub facts: Option<&'a FileFacts>,
}

/// Applies `model` to every image of `set`, and calls `each` with the index and the output of each, in order.
pub(crate) fn predict(
    model: &ResNet9,
    set: &ImageSet,
    preprocessing: &Preprocessing<'_>,
    each: impl FnMut(usize, &NetworkOutput<'_>),
) {
    predict_share(model, set, preprocessing, (0, 1), each);
}

/// As [`predict`], for the part `share.0` of `share.1` nearly equal parts of the set, which are whole batches.
fn predict_share(
    model: &ResNet9,
    set: &ImageSet,
    preprocessing: &Preprocessing<'_>,
    (part, n_parts): (usize, usize),
    mut each: impl FnMut(usize, &NetworkOutput<'_>),
) {
    let samples: Vec<Sample> = (0..set.len() as u32).map(Sample::first).collect();
    let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
    let mut workspace = Workspace::default();
    let views = preprocessing.tta.views();
    let batch = evaluation_batch(model.architecture().width, preprocessing.crop);
    let batches = batch_ranges(set.len(), batch);
    let own = even_ranges(batches.len(), n_parts).nth(part).expect("one of the parts");
    for range in batches.skip(own.start).take(own.len()) {
        // The plain view is the last: its pixels and activations remain in `x` and the workspace.
        let of_views = views.iter().map(|&view| {
            let transform = Transform::Centre { crop: preprocessing.crop, view };
            fill_batch(
                set,
                &samples[range.clone()],
                transform,
                preprocessing.normalization,
                &mut x,
                &mut labels,
            );
            model.infer(&x, &mut workspace).clone()
        });
        let logits = of_views.reduce(|sum, logits| sum + logits).expect("a view") / views.len() as f32;
        let of_network = workspace.first_block().outer_iter().zip(x.outer_iter());
        for (image, (logits, (first_block, pixels))) in range.zip(logits.outer_iter().zip(of_network)) {
            let logits = logits.to_slice().expect("the logits of an image are contiguous");
            let facts = set.facts(image);
            let unseen = facts.filter(|_| set.channels() == 1);
            let unseen_colour = unseen.map_or(0.0, |facts| f64::from(facts.colour));
            each(image, &NetworkOutput { logits, first_block, pixels, unseen_colour, facts });
        }
    }
}

/// The logits of `model` for each image of a part of `set`; all parts in order are the whole set.
pub(crate) fn logits_of_share(
    model: &ResNet9,
    set: &ImageSet,
    preprocessing: &Preprocessing<'_>,
    share: (usize, usize),
) -> Vec<f32> {
    let mut logits = Vec::new();
    predict_share(model, set, preprocessing, share, |_, output| logits.extend_from_slice(output.logits));
    logits
}

/// The labels of `set`, and the logits of `model` for every image.
#[must_use]
pub(crate) fn evaluate(
    model: &ResNet9,
    set: &ImageSet,
    n_classes: usize,
    preprocessing: &Preprocessing<'_>,
) -> Evaluation {
    let mut evaluation = Evaluation::new(n_classes);
    predict(model, set, preprocessing, |image, output| {
        evaluation.add(set.labels()[image], output.logits);
    });
    evaluation
}
