//! The evidence in an image for a class, by two independent methods.
//!
//! Grad-CAM uses the inner activations of the network; occlusion sensitivity (Zeiler & Fergus 2014) only its output when a
//! part of the image is hidden. Where both point to the same region, the prediction is based on it.
//!
//! Both look at the same views of the image as the prediction, and average over them: with test-time augmentation, what the
//! plain view alone shows would explain another prediction. Occlusion is measured in log-odds, which go on falling where a
//! probability of nearly 1 does not change visibly.

use ndarray::{Array2, Array4, ArrayView3, ArrayViewMut2, Axis, Slice};
use roentgen_data::{ImageSet, Sample, Transform, TtaView, fill_batch};
use roentgen_layers::{ResNet, Workspace};

use crate::metrics::argmax::argmax;
use crate::model::heat_map::sample;
use crate::model::inference::{Evaluation, evaluation_batch};
use crate::model::model_card::ModelCard;
use crate::model::observation::observe;
use crate::model::ood::{self, RejectReason};
use crate::model::trained_model::Model;

/// The hidden square has one in this many of the sides of the crop.
const PATCH: usize = 4;
/// The step from one square to the next is the side of the crop divided by this.
const STEPS: usize = 12;

/// The prediction for an image, and what it is based on.
pub(crate) struct Explanation<'a> {
    model: &'a Model,
    views: Views,
    /// The class that is explained.
    pub class: usize,
    /// The likeliest one.
    pub predicted: usize,
    /// By class, calibrated.
    pub probabilities: Vec<f64>,
    /// Whether, and why, the prediction is rejected.
    pub reject_reason: Option<RejectReason>,
}

/// What hiding parts of an image does to a class.
#[derive(Clone, Debug)]
pub(crate) struct Occlusion {
    /// The fall of the log-odds of the class when a pixel of the crop is hidden, the mean over the squares that hide it;
    /// negative where they rise.
    pub lost_log_odds: Array2<f32>,
    /// The probability of the class while the square with the greatest effect hides its part.
    pub least_probability: f64,
}

impl<'a> Explanation<'a> {
    /// Explains the prediction of `class`, or of the likeliest class, for one image of a set.
    ///
    /// # Panics
    /// If there is no such image or class.
    #[must_use]
    pub(crate) fn new(model: &'a Model, set: &ImageSet, image: usize, class: Option<usize>) -> Self {
        let Model { network, card } = model;
        let one = set.select(&[image]);
        let observation = observe(network, &one, card.preprocessing()).next().expect("one image");
        let mut evaluation = Evaluation::new(card.class_names.len());
        evaluation.add(0, &observation.logits);
        let reject_reason = ood::reject_reason(card.ood_detector.as_ref(), &observation);
        let predicted = argmax(observation.logits.iter().copied());
        let class = class.unwrap_or(predicted);
        let probabilities = evaluation.predictions(card.temperature).probabilities(0).to_vec();
        let views = Views::of(card, set, image);
        Self { model, views, class, predicted, probabilities, reject_reason }
    }

    /// Grad-CAM of the class for each pixel of the crop, as coarse as the last convolution sees; 0 or more, in units of the
    /// logit.
    #[must_use]
    pub(crate) fn grad_cam(&self) -> Array2<f32> {
        self.views.grad_cam(&self.model.network, self.class)
    }

    /// What hiding parts of the image does to the class.
    #[must_use]
    pub(crate) fn occlusion(&self) -> Occlusion {
        self.views.occlusion(self.model, self.class)
    }
}

/// Where in one image of a set the evidence for `class` is: Grad-CAM over the views of the prediction, for each pixel of the
/// crop, 0 or more.
///
/// # Panics
/// If there is no such image or class.
#[must_use]
pub(crate) fn grad_cam(model: &Model, set: &ImageSet, image: usize, class: usize) -> Array2<f32> {
    Views::of(&model.card, set, image).grad_cam(&model.network, class)
}

/// The views of one image whose logits are averaged for its prediction.
struct Views {
    /// Each view, with its normalised pixels: `(1, size, size, c)`.
    all: Vec<(TtaView, Array4<f32>)>,
}

impl Views {
    fn of(card: &ModelCard, set: &ImageSet, image: usize) -> Self {
        let preprocessing = card.preprocessing();
        let pixels = |view: TtaView| {
            let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
            let transform = Transform::Centre { crop: preprocessing.crop, view };
            let samples = [Sample::first(image as u32)];
            fill_batch(set, &samples, transform, preprocessing.normalization, &mut x, &mut labels);
            x
        };
        Self { all: preprocessing.tta.views().into_iter().map(|view| (view, pixels(view))).collect() }
    }

    /// The mean of the Grad-CAM of every view, each drawn back to where the plain view shows the same part of the image.
    fn grad_cam(&self, network: &ResNet, class: usize) -> Array2<f32> {
        let mut workspace = Workspace::default();
        // The pools reduce an image of this size to one cell.
        let cell = network.architecture().min_size();
        let mut maps = self.all.iter().map(|(view, x)| {
            network.infer(x, &mut workspace);
            let heat = network.grad_cam(workspace.feature_map().index_axis(Axis(0), 0), class);
            in_plain_view(&heat, cell, x.dim().1, *view)
        });
        let first = maps.next().expect("a view");
        maps.fold(first, |sum, heat| sum + heat) / self.all.len() as f32
    }

    /// How much the log-odds of `class` fall with each hidden pixel. The same part of the image is hidden in every view.
    fn occlusion(&self, model: &Model, class: usize) -> Occlusion {
        let Model { network, card } = model;
        let squares = Square::all(card.size as usize);
        let mut logits = Array2::<f32>::zeros((squares.len() + 1, card.class_names.len()));
        let mut workspace = Workspace::default();
        let batch = evaluation_batch(card.width, card.size as usize);
        for (view, x) in &self.all {
            for (chunk_idx, chunk) in squares.chunks(batch).enumerate() {
                let x = with_hidden(x.index_axis(Axis(0), 0), *view, chunk);
                let view_logits = network.infer(&x, &mut workspace);
                let shape = (chunk.len() + 1, logits.ncols());
                let view_logits = view_logits.to_shape(shape).expect("a logit for each class");
                // The first image of each chunk is the whole one, which counts once.
                let first = usize::from(chunk_idx > 0);
                let sums = logits.outer_iter_mut().skip(chunk_idx * batch + first);
                for (mut sum, logits) in sums.zip(view_logits.outer_iter().skip(first)) {
                    sum.zip_mut_with(&logits, |sum, logit| *sum += logit / self.all.len() as f32);
                }
            }
        }
        let log_odds: Vec<f64> =
            logits.outer_iter().map(|logits| log_odds(logits.iter(), class, card.temperature)).collect();
        let least = log_odds.iter().copied().fold(f64::INFINITY, f64::min);
        let losses = log_odds[1..].iter().map(|hidden| (log_odds[0] - hidden) as f32);
        Occlusion {
            lost_log_odds: mean_over_squares(&squares, losses, card.size as usize),
            least_probability: 1.0 / (1.0 + libm::exp(-least)),
        }
    }
}

/// The heat map of a view of `size` pixels, whose cells have `cell` pixels to a side, for each pixel of the plain view; nothing
/// where the view does not show the image.
fn in_plain_view(heat: &Array2<f32>, cell: usize, size: usize, view: TtaView) -> Array2<f32> {
    let side = size as f64;
    // From 0 to 1 over `n` cells. The pools leave out the last pixels that fill no cell: there it is more than 1, and `sample`
    // takes the last cell.
    let share = |place: f64, n: usize| place / (cell * n) as f64;
    Array2::from_shape_fn((size, size), |(row, column)| {
        let place =
            |at: usize, spacing: f32| side / 2.0 + (at as f64 + 0.5 - side / 2.0) / f64::from(spacing);
        let (y, x) = (place(row, view.spacing[0]), place(column, view.spacing[1]));
        let x = if view.flip { side - x } else { x };
        let is_shown = (0.0..=side).contains(&x) && (0.0..=side).contains(&y);
        if is_shown { sample(heat, share(x, heat.ncols()), share(y, heat.nrows())) } else { 0.0 }
    })
}

/// A square of the plain view that is hidden, in pixels.
#[derive(Clone, Copy)]
struct Square {
    top: usize,
    left: usize,
    side: usize,
}

impl Square {
    /// Overlapping squares over a crop of `size` pixels. The last ones end where the crop ends, also where that is less than a
    /// step from those before.
    fn all(size: usize) -> Vec<Self> {
        let (side, step) = (size / PATCH, (size / STEPS).max(1));
        let last = size - side;
        let starts: Vec<usize> = (0..last).step_by(step).chain([last]).collect();
        let squares = starts.iter().flat_map(|&top| starts.iter().map(move |&left| Self { top, left, side }));
        squares.collect()
    }

    /// What it holds of a map of the crop.
    fn part_of(self, map: &mut Array2<f32>) -> ArrayViewMut2<'_, f32> {
        let mut part = map.view_mut();
        part.slice_axis_inplace(Axis(0), Slice::from(self.top..self.top + self.side));
        part.slice_axis_inplace(Axis(1), Slice::from(self.left..self.left + self.side));
        part
    }

    fn holds(&self, row: f32, column: f32) -> bool {
        let is_within = |at: f32, start: usize| {
            // A pixel reaches half a pixel to each side of its position.
            (start as f32 - 0.5..(start + self.side) as f32 - 0.5).contains(&at)
        };
        is_within(row, self.top) && is_within(column, self.left)
    }
}

/// A view as it is, then once for each square with what the square holds of the image hidden.
fn with_hidden(pixels: ArrayView3<'_, f32>, view: TtaView, squares: &[Square]) -> Array4<f32> {
    let (size, _, channels) = pixels.dim();
    let centre = (size as f32 - 1.0) / 2.0;
    // The position in the plain view of what a row or a column of this view shows.
    let position = |at: usize, spacing: f32| centre + spacing * (at as f32 - centre);
    let mut x = Array4::zeros((squares.len() + 1, size, size, channels));
    for (index, mut x) in x.outer_iter_mut().enumerate() {
        x.assign(&pixels);
        let Some(square) = index.checked_sub(1).map(|square| squares[square]) else { continue };
        for (row, mut x) in x.outer_iter_mut().enumerate() {
            for (column, mut pixel) in x.outer_iter_mut().enumerate() {
                let column = if view.flip { size - 1 - column } else { column };
                if square.holds(position(row, view.spacing[0]), position(column, view.spacing[1])) {
                    // Zero is the mean that pixels are normalised by: the least informative value.
                    pixel.fill(0.0);
                }
            }
        }
    }
    x
}

/// For each pixel of a crop the mean of the values of the squares that hold it.
fn mean_over_squares(squares: &[Square], values: impl Iterator<Item = f32>, size: usize) -> Array2<f32> {
    let (mut sums, mut counts) = (Array2::<f32>::zeros((size, size)), Array2::<f32>::zeros((size, size)));
    for (&square, value) in squares.iter().zip(values) {
        square.part_of(&mut sums).mapv_inplace(|sum| sum + value);
        square.part_of(&mut counts).mapv_inplace(|count| count + 1.0);
    }
    sums / counts.mapv(|count| count.max(1.0))
}

/// The logarithm of the odds of `class`: of its calibrated probability over that of all other classes.
fn log_odds<'a>(logits: impl Iterator<Item = &'a f32> + Clone, class: usize, temperature: f64) -> f64 {
    let of = |logit: &f32| f64::from(*logit) / temperature;
    let others = logits.clone().enumerate().filter(|(other, _)| *other != class).map(|(_, logit)| of(logit));
    let largest = others.clone().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others.map(|logit| libm::exp(logit - largest)).sum();
    let own = logits.clone().nth(class).map_or(0.0, of);
    own - largest - libm::log(sum)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    const MIRRORED: TtaView = TtaView { flip: true, ..TtaView::PLAIN };
    const REDUCED: TtaView = TtaView { flip: false, spacing: [2.0; 2] };

    #[test]
    fn log_odds_do_not_saturate_where_probabilities_do() {
        let odds = |logits: [f32; 3]| log_odds(logits.iter(), 0, 1.0);
        assert!((odds([0.0; 3]) - (0.5f64).ln()).abs() < 1e-12, "a third against two thirds");
        // Both probabilities are 1 in f32, and nearly so in f64.
        assert!((odds([60.0, 0.0, 0.0]) - odds([50.0, 0.0, 0.0]) - 10.0).abs() < 1e-9);
        assert!((log_odds([4.0, 0.0].iter(), 1, 2.0) + 2.0).abs() < 1e-12);
    }

    #[test]
    fn every_pixel_of_a_crop_is_hidden_by_a_square() {
        for size in (8..=512).step_by(7) {
            let mut hidden = Array2::<f32>::zeros((size, size));
            Square::all(size).into_iter().for_each(|square| square.part_of(&mut hidden).fill(1.0));
            assert!(hidden.iter().all(|&value| value == 1.0), "{size}");
        }
    }

    #[test]
    fn every_view_hides_the_same_part_of_the_image() {
        let size = 8;
        let square = [Square { top: 0, left: 0, side: 2 }];
        let ones = Array3::<f32>::ones((size, size, 1));
        let hidden = |view: TtaView| {
            let x = with_hidden(ones.view(), view, &square);
            assert!(x.index_axis(Axis(0), 0).iter().all(|&value| value == 1.0), "first the view as it is");
            let with_square = x.index_axis(Axis(0), 1);
            let zeros = with_square.indexed_iter().filter(|(_, value)| **value == 0.0);
            zeros.map(|((row, column, _), _)| (row, column)).collect::<Vec<_>>()
        };
        assert_eq!(hidden(TtaView::PLAIN), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(hidden(MIRRORED), [(0, 6), (0, 7), (1, 6), (1, 7)]);
        // Half as large, and closer to the centre.
        assert_eq!(hidden(REDUCED), [(2, 2)]);
    }

    #[test]
    fn heat_is_drawn_back_to_the_plain_view() {
        let mut heat = Array2::zeros((3, 3));
        heat[[0, 2]] = 1.0;
        let mirrored = in_plain_view(&heat, 1, 3, MIRRORED);
        assert!((mirrored[[0, 0]] - 1.0).abs() < 1e-6 && mirrored.sum() < 1.0 + 1e-6, "{mirrored}");
        // A magnified view shows the centre alone: nothing is known of the edges.
        let magnified =
            in_plain_view(&Array2::ones((3, 3)), 1, 3, TtaView { flip: false, spacing: [0.5; 2] });
        let centre_alone = |(row, column): (usize, usize)| if (row, column) == (1, 1) { 1.0 } else { 0.0 };
        assert_eq!(magnified, Array2::from_shape_fn((3, 3), centre_alone));
    }

    #[test]
    fn heat_is_drawn_where_its_cell_is_also_where_the_cells_leave_out_the_last_pixels() {
        // The three pools use 24 of 28 pixels: the centre of the last of three cells is at 20.
        let mut heat = Array2::zeros((3, 3));
        heat[[0, 2]] = 1.0;
        let hottest = |view: TtaView| -> Vec<usize> {
            let map = in_plain_view(&heat, 8, 28, view);
            assert_eq!(map.dim(), (28, 28));
            (0..28).filter(|&column| map[[0, column]] > 0.999).collect()
        };
        assert_eq!(hottest(TtaView::PLAIN), (20..28).collect::<Vec<_>>());
        assert_eq!(hottest(MIRRORED), (0..8).collect::<Vec<_>>());
    }
}
