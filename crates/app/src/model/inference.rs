//! Applying a model to images: centre crops, running statistics, no dropout.

use ndarray::{Array4, ArrayView3};
use roentgen_data::{
    ImageSet, Normalization, Sample, Transform, TtaConfig, batch_ranges, even_ranges, fill_batch,
};
use roentgen_layers::{ResNet, Workspace};

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
pub(crate) struct Evaluation {
    n_classes: usize,
    labels: Vec<u32>,
    /// `(n, n_classes)`.
    logits: Vec<f32>,
}

impl Evaluation {
    /// Without images.
    #[must_use]
    pub(crate) fn new(n_classes: usize) -> Self {
        Self { n_classes, labels: Vec::new(), logits: Vec::new() }
    }

    /// The evaluation of images with these labels; `logits` has those of one image after the other.
    ///
    /// # Panics
    /// If there are not as many logits as classes and images.
    #[must_use]
    pub(crate) fn of(labels: &[u32], n_classes: usize, logits: Vec<f32>) -> Self {
        assert_eq!(logits.len(), labels.len() * n_classes, "a logit for each image and class");
        Self { n_classes, labels: labels.to_vec(), logits }
    }

    /// Adds an image.
    ///
    /// # Panics
    /// If there are not as many logits as classes.
    pub(crate) fn add(&mut self, label: u32, logits: &[f32]) {
        assert_eq!(logits.len(), self.n_classes, "a logit for each class");
        self.labels.push(label);
        self.logits.extend(logits);
    }

    /// Number of images.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class and logits of one image.
    ///
    /// # Panics
    /// If there is no image `image`.
    #[must_use]
    pub(crate) fn image(&self, image: usize) -> (usize, &[f32]) {
        (self.labels[image] as usize, &self.logits[image * self.n_classes..][..self.n_classes])
    }

    /// Number of images of each class.
    #[must_use]
    pub(crate) fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.n_classes];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// Fails if a logit is infinite or NaN.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`].
    pub(crate) fn check_finite(&self) -> Result<(), ModelError> {
        let is_finite = self.logits.iter().all(|logit| logit.is_finite());
        if is_finite { Ok(()) } else { Err(ModelError::NotFinite) }
    }

    /// The confusion matrix.
    #[must_use]
    pub(crate) fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.n_classes);
        for image in 0..self.len() {
            let (label, logits) = self.image(image);
            confusion.add(label, argmax(logits.iter().copied()));
        }
        confusion
    }

    /// Predicted classes and probabilities, with the logits divided by `temperature`.
    #[must_use]
    pub(crate) fn predictions(&self, temperature: f64) -> Predictions {
        self.shifted_predictions(temperature, None)
    }

    /// The same for another class prior: `log_shift` is added to the logits after the division; see
    /// [`ClassPriors`](crate::model::class_priors::ClassPriors).
    #[must_use]
    pub(crate) fn shifted_predictions(&self, temperature: f64, log_shift: Option<&[f64]>) -> Predictions {
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
    pub(crate) fn shifted(mut self, log_shift: Option<&[f64]>) -> Self {
        if let Some(log_shift) = log_shift {
            for logits in self.logits.chunks_exact_mut(log_shift.len()) {
                logits.iter_mut().zip(log_shift).for_each(|(logit, shift)| *logit += *shift as f32);
            }
        }
        self
    }

    /// The images `chosen`, in order.
    #[must_use]
    pub(crate) fn only(&self, chosen: &[usize]) -> Self {
        let mut only = Self::new(self.n_classes);
        for &image in chosen {
            let (label, logits) = self.image(image);
            only.add(label as u32, logits);
        }
        only
    }

    /// Cross-entropy of each image, without weights, smoothing or temperature.
    #[must_use]
    pub(crate) fn losses(&self) -> Vec<f64> {
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
    pub(crate) fn loss(&self) -> f64 {
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
    /// What the classifier reads, for the plain view.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "of the nearest training images"))]
    pub features: &'a [f32],
}

/// One of nearly equal parts of a set; all of them in order are the whole set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetPart {
    /// From 0.
    pub index: usize,
    /// How many parts there are.
    pub of: usize,
}

impl SetPart {
    /// All of the set.
    pub(crate) const WHOLE: Self = Self { index: 0, of: 1 };
}

/// Applies `model` to the images of a part of `set` and maps the output for each image with `each`, in order. Lazy: a batch is
/// computed when its first image is asked for. Parts consist of whole batches.
pub(crate) fn infer_part<'a, T: 'a>(
    model: &'a ResNet,
    set: &'a ImageSet,
    preprocessing: Preprocessing<'a>,
    part: SetPart,
    each: impl Fn(usize, &NetworkOutput<'_>) -> T + 'a,
) -> impl Iterator<Item = T> + 'a {
    let Preprocessing { crop, normalization, tta } = preprocessing;
    let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
    let mut workspace = Workspace::default();
    let views = tta.views();
    let batches = batch_ranges(set.len(), evaluation_batch(model.architecture().width, crop));
    let own = even_ranges(batches.len(), part.of).nth(part.index).expect("one of the parts");
    batches.skip(own.start).take(own.len()).flat_map(move |range| {
        let samples: Vec<Sample> = range.clone().map(|image| Sample::first(image as u32)).collect();
        // The plain view is the last: its pixels and activations remain in `x` and the workspace.
        let view_logits = views.iter().map(|&view| {
            let transform = Transform::Centre { crop, view };
            fill_batch(set, &samples, transform, normalization, &mut x, &mut labels);
            model.infer(&x, &mut workspace).clone()
        });
        let logits = view_logits.reduce(|sum, logits| sum + logits).expect("a view") / views.len() as f32;
        let n_features = workspace.features().len() / range.len();
        let features = workspace.features().as_slice().expect("contiguous").chunks_exact(n_features);
        let network_outputs = workspace.first_block().outer_iter().zip(x.outer_iter()).zip(features);
        let images = range.zip(logits.outer_iter().zip(network_outputs));
        let batch_results: Vec<T> = images
            .map(|(image, (logits, ((first_block, pixels), features)))| {
                let logits = logits.to_slice().expect("the logits of an image are contiguous");
                each(image, &NetworkOutput { logits, first_block, pixels, features })
            })
            .collect();
        batch_results
    })
}

/// The logits of `model` for each image of a part of `set`.
pub(crate) fn logits_of_part(
    model: &ResNet,
    set: &ImageSet,
    preprocessing: &Preprocessing<'_>,
    part: SetPart,
) -> Vec<f32> {
    infer_part(model, set, *preprocessing, part, |_, output| output.logits.to_vec()).flatten().collect()
}

/// The labels of `set`, and the logits of `model` for every image.
#[must_use]
pub(crate) fn evaluate(
    model: &ResNet,
    set: &ImageSet,
    n_classes: usize,
    preprocessing: &Preprocessing<'_>,
) -> Evaluation {
    Evaluation::of(set.labels(), n_classes, logits_of_part(model, set, preprocessing, SetPart::WHOLE))
}
