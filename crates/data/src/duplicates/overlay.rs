//! Two pictures laid over each other: how alike are they if one is a crop of the other?

use super::detail::{Detail, SIDE};

/// Side of the grid on which a crop is first sought.
const HALF: usize = SIDE / 2;
/// Cells that are added up side by side; both sides are multiples of it.
const LANES: usize = 8;
/// How far the edges of a crop are moved there, a share of the side.
const STEP: f32 = 0.025;
/// How far they are moved on the full grid.
const FINE_STEPS: [f32; 2] = [0.0125, 0.006];
/// What moving the edges on the half grid may add to the correlation.
const HALF_ADDS: f64 = 0.3;
/// By how much the correlation on the full grid may be above that on the half one: of planted copies up to 0.09.
pub(crate) const HALF_MISSES: f64 = 0.12;
/// What the last moves may add: of planted copies up to 0.034.
const LAST_ADDS: f64 = 0.05;

/// What a crop cuts off, as shares of the sides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) left: f32,
    pub(crate) right: f32,
    pub(crate) top: f32,
    pub(crate) bottom: f32,
}

impl Cut {
    /// This cut, and those with one edge moved by `step`.
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

/// A picture's detail on the full and the half grid.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    full: Vec<f32>,
    half: Vec<f32>,
}

impl Overlay {
    /// Of a picture's detail without what it has in common with the others.
    pub(crate) fn of(detail: &Detail, common: &[f32]) -> Self {
        let full: Vec<f32> =
            detail.iter().zip(common).map(|(&value, common)| f32::from(value) - common).collect();
        Self { half: averaged(&full, HALF), full }
    }

    /// What a cut leaves, on a square grid of `N` cells.
    pub(crate) fn averaged<const N: usize>(&self, cut: Cut) -> [f32; N] {
        let mut left = Vec::with_capacity(SIDE * SIDE);
        resampled(&self.full, SIDE, cut, |_, row| left.extend(row));
        let cells = averaged(&left, N.isqrt());
        std::array::from_fn(|at| cells[at])
    }

    /// On the half grid, the best correlation of `whole` with what a cut near `start` leaves of this picture, and that cut;
    /// or, if it will not reach `least`, something below that.
    pub(crate) fn rough_similarity(&self, whole: &Self, start: Cut, least: f64) -> (f64, Cut) {
        let rough = |cut: Cut| correlation(&self.half, &whole.half, HALF, cut);
        let found = (rough(start), start);
        if found.0 < least - HALF_ADDS { found } else { climb(found, STEP, rough) }
    }

    /// On the full grid, the best correlation of `whole` with what a cut near `start` leaves of this picture; or, if it
    /// will not reach `least`, something below that.
    pub(crate) fn similarity(&self, whole: &Self, start: Cut, least: f64) -> f64 {
        let fine = |cut: Cut| correlation(&self.full, &whole.full, SIDE, cut);
        let found = climb((fine(start), start), FINE_STEPS[0], fine);
        if found.0 < least - LAST_ADDS { found.0 } else { climb(found, FINE_STEPS[1], fine).0 }
    }
}

/// One pass over the edges: each move that improves the score is kept.
fn climb(start: (f64, Cut), step: f32, score: impl Fn(Cut) -> f64) -> (f64, Cut) {
    let (mut best, mut cut) = start;
    for at in 0..8 {
        let moved = cut.moved(step).nth(at).expect("four edges, two ways");
        let found = score(moved);
        if found > best {
            (best, cut) = (found, moved);
        }
    }
    (best, cut)
}

/// The means over the squares that make a grid of `side` cells a side.
fn averaged(values: &[f32], side: usize) -> Vec<f32> {
    let from = values.len().isqrt();
    let step = from / side;
    let mut means = vec![0.0; side * side];
    for (at, value) in values.iter().enumerate() {
        means[at / from / step * side + at % from / step] += value / (step * step) as f32;
    }
    means
}

/// Pearson's correlation of `whole` with what `cut` leaves of `picture`, both `side` cells a side.
fn correlation(picture: &[f32], whole: &[f32], side: usize, cut: Cut) -> f64 {
    // In lanes, so that the compiler can take several cells at a time.
    let mut lanes = [[0.0f32; LANES]; 5];
    resampled(picture, side, cut, |at, row| {
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

/// Calls `each` with the number and the cells of every row of what `cut` leaves, brought back to `side` cells a side;
/// bilinear.
fn resampled(picture: &[f32], side: usize, cut: Cut, mut each: impl FnMut(usize, &[f32])) {
    let (across, down) = (axis(side, cut.left, cut.right), axis(side, cut.top, cut.bottom));
    let (mut between, mut resampled) = ([0.0; SIDE], [0.0; SIDE]);
    for (row, &(y, down)) in down[..side].iter().enumerate() {
        let (upper, lower) = picture[y * side..][..2 * side].split_at(side);
        for (cell, (upper, lower)) in between.iter_mut().zip(upper.iter().zip(lower)) {
            *cell = upper + down * (lower - upper);
        }
        for (cell, &(x, across)) in resampled.iter_mut().zip(&across[..side]) {
            *cell = between[x] + across * (between[x + 1] - between[x]);
        }
        each(row, &resampled[..side]);
    }
}

/// For each cell of a crop along one axis of `side` cells: the cell of the picture before it, and the share of the one
/// after.
fn axis(side: usize, before: f32, after: f32) -> [(usize, f32); SIDE] {
    let scale = 1.0 - before - after;
    std::array::from_fn(|at| {
        let place = (at as f32 + 0.5) * scale + before * side as f32 - 0.5;
        let place = place.clamp(0.0, (side - 1) as f32);
        let cell = usize::min(place as usize, side - 2);
        (cell, place - cell as f32)
    })
}
