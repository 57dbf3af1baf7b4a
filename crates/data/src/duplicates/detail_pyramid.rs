//! Similarity of two images if one of them is a crop of the other.

use crate::thumbnail::{Detail, SIDE};

/// Side of the half grid, on which a crop is searched first.
const HALF: usize = SIDE / 2;
/// Number of cells that are added in parallel; both sides are multiples of it.
const LANES: usize = 8;
/// How far the edges of a crop are moved there, as a fraction of the side.
const STEP: f32 = 0.025;
/// How far they are moved on the full grid.
const FINE_STEPS: [f32; 2] = [0.0125, 0.006];
/// Most that moving the edges on the half grid may add to the correlation.
const MAX_GAIN_HALF: f64 = 0.3;
/// Most by which the correlation on the full grid may exceed that on the half grid; up to 0.09 for planted duplicates.
pub(crate) const MAX_GAIN_FULL: f64 = 0.12;
/// Most that the last moves may add; up to 0.034 for planted duplicates.
const MAX_GAIN_LAST: f64 = 0.05;

/// What a crop cuts off, as fractions of the sides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) left: f32,
    pub(crate) right: f32,
    pub(crate) top: f32,
    pub(crate) bottom: f32,
}

impl Cut {
    /// The cuts with one edge moved by `step`, outwards and inwards.
    fn moved(self, step: f32) -> impl Iterator<Item = Self> {
        let of = |edge: f32, by: f32| (edge + by).max(0.0);
        let by = move |by: f32| {
            [
                Self { left: of(self.left, by), ..self },
                Self { right: of(self.right, by), ..self },
                Self { top: of(self.top, by), ..self },
                Self { bottom: of(self.bottom, by), ..self },
            ]
        };
        by(step).into_iter().chain(by(-step))
    }
}

/// An image's detail on the full and the half grid.
#[derive(Clone, Debug)]
pub(crate) struct DetailPyramid {
    full: Vec<f32>,
    half: Vec<f32>,
}

impl DetailPyramid {
    /// From the detail of an image, without what all images have in common.
    pub(crate) fn of(detail: &Detail, common: &[f32]) -> Self {
        let full: Vec<f32> =
            detail.iter().zip(common).map(|(&value, common)| f32::from(value) - common).collect();
        Self { half: averaged_to_side(&full, HALF), full }
    }

    /// The cropped image on a square grid of `N` cells.
    pub(crate) fn averaged<const N: usize>(&self, cut: Cut) -> [f32; N] {
        let mut cropped = Vec::with_capacity(SIDE * SIDE);
        resampled(&self.full, SIDE, cut, |_, row| cropped.extend(row));
        let cells = averaged_to_side(&cropped, N.isqrt());
        std::array::from_fn(|at| cells[at])
    }

    /// On the half grid, the best correlation of `whole` with this image after a cut near `start`, and that cut. If it
    /// cannot reach `least`, some lower value.
    pub(crate) fn rough_similarity(&self, whole: &Self, start: Cut, least: f64) -> (f64, Cut) {
        let rough = |cut: Cut| correlation(&self.half, &whole.half, HALF, cut);
        let found = (rough(start), start);
        if found.0 < least - MAX_GAIN_HALF { found } else { climb(found, STEP, rough) }
    }

    /// On the full grid, the best correlation of `whole` with this image after a cut near `start`. If it cannot reach
    /// `least`, some lower value.
    pub(crate) fn similarity(&self, whole: &Self, start: Cut, least: f64) -> f64 {
        let fine = |cut: Cut| correlation(&self.full, &whole.full, SIDE, cut);
        let found = climb((fine(start), start), FINE_STEPS[0], fine);
        if found.0 < least - MAX_GAIN_LAST { found.0 } else { climb(found, FINE_STEPS[1], fine).0 }
    }
}

/// One pass over the edges (hill climbing): each move that improves the score is accepted.
fn climb(start: (f64, Cut), step: f32, score: impl Fn(Cut) -> f64) -> (f64, Cut) {
    let (mut best, mut cut) = start;
    for at in 0..8 {
        let moved = cut.moved(step).nth(at).expect("four edges, two directions");
        let found = score(moved);
        if found > best {
            (best, cut) = (found, moved);
        }
    }
    (best, cut)
}

/// Averages over squares to a grid of `side` cells a side.
fn averaged_to_side(values: &[f32], side: usize) -> Vec<f32> {
    let from = values.len().isqrt();
    let step = from / side;
    let n = (step * step) as f32;
    let mut means = vec![0.0; side * side];
    for (y, row) in values.chunks_exact(from).enumerate() {
        for (mean, cells) in means[y / step * side..].iter_mut().zip(row.chunks_exact(step)) {
            cells.iter().for_each(|value| *mean += value / n);
        }
    }
    means
}

/// Pearson's correlation of `whole` with `image` after `cut`, both with `side` cells a side.
fn correlation(image: &[f32], whole: &[f32], side: usize, cut: Cut) -> f64 {
    // In lanes, so that the compiler can vectorise.
    let mut lanes = [[0.0f32; LANES]; 5];
    resampled(image, side, cut, |at, row| {
        for (a, b) in row.chunks_exact(LANES).zip(whole[at * side..].chunks_exact(LANES)) {
            for lane in 0..LANES {
                let (a, b) = (a[lane], b[lane]);
                for (sums, term) in lanes.iter_mut().zip([a, b, a * a, b * b, a * b]) {
                    sums[lane] += term;
                }
            }
        }
    });
    let n = (side * side) as f64;
    let [a, b, a_2, b_2, a_b] = lanes.map(|sums| sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / n);
    let variances = (a_2 - a * a) * (b_2 - b * b);
    if variances > 0.0 { (a_b - a * b) / variances.sqrt() } else { 0.0 }
}

/// Calls `each` with the number and the cells of every row of the image after `cut`, resampled to `side` cells a side;
/// bilinear.
fn resampled(image: &[f32], side: usize, cut: Cut, mut each: impl FnMut(usize, &[f32])) {
    let (across, down) = (axis(side, cut.left, cut.right), axis(side, cut.top, cut.bottom));
    let (mut between, mut resampled) = ([0.0; SIDE], [0.0; SIDE]);
    for (row, &(y, down)) in down[..side].iter().enumerate() {
        let (upper, lower) = image[y * side..][..2 * side].split_at(side);
        for (cell, (upper, lower)) in between.iter_mut().zip(upper.iter().zip(lower)) {
            *cell = upper + down * (lower - upper);
        }
        for (cell, &(x, across)) in resampled.iter_mut().zip(&across[..side]) {
            *cell = between[x] + across * (between[x + 1] - between[x]);
        }
        each(row, &resampled[..side]);
    }
}

/// For each cell of a crop along one axis of `side` cells: the preceding cell of the image, and the weight of the next.
fn axis(side: usize, before: f32, after: f32) -> [(usize, f32); SIDE] {
    let scale = 1.0 - before - after;
    std::array::from_fn(|at| {
        let position = (at as f32 + 0.5) * scale + before * side as f32 - 0.5;
        let position = position.clamp(0.0, (side - 1) as f32);
        let cell = usize::min(position as usize, side - 2);
        (cell, position - cell as f32)
    })
}
