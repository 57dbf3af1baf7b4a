//! An image as a few numbers, and their distance from the usual ones.
//!
//! The numbers: the [`COARSE`] x [`COARSE`] lowest coefficients of the discrete cosine transform (Ahmed et al. 1974),
//! which describe the coarse layout, and the logarithm of the energy in each octave above them, which describes how much
//! detail of each size there is. A film differs from a flat image in the first, from noise and text in the second.

use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

/// Coefficients along each axis.
const COARSE: usize = 5;
/// Where the first octave begins, in half periods per image.
const FIRST_OCTAVE: f64 = 3.0;
/// Largest side that is transformed; larger images are averaged down to it.
const LARGEST: usize = 32;
/// Added to the energies, in units of the training images' variance: the logarithm of zero energy is undefined.
const LEAST_ENERGY: f64 = 1e-4;
/// How far correlations are shrunk towards zero: a few images are not enough to estimate all of them.
const SHRINKAGE: f64 = 0.1;

/// Numbers in the signature of a crop of `crop` pixels.
pub(super) fn length(crop: usize) -> usize {
    COARSE * COARSE + n_octaves(crop.min(LARGEST))
}

/// Octaves that begin below the highest frequency along an axis.
fn n_octaves(side: usize) -> usize {
    (0..).take_while(|&octave| FIRST_OCTAVE * f64::from(1 << octave) <= side as f64).count()
}

/// The signature of the normalised pixels `(size, size, c)`.
pub(super) fn of(pixels: ArrayView3<'_, f32>) -> Vec<f64> {
    let (size, _, channels) = pixels.dim();
    let side = size.min(LARGEST);
    let range = |at: usize| at * size / side..(at + 1) * size / side;
    let mut grey = vec![0.0; side * side];
    for (at, grey) in grey.iter_mut().enumerate() {
        let (rows, columns) = (range(at / side), range(at % side));
        let count = (rows.len() * columns.len() * channels) as f64;
        let cell = rows.flat_map(|row| columns.clone().map(move |column| (row, column)));
        let sum: f64 = cell
            .flat_map(|(row, column)| (0..channels).map(move |c| f64::from(pixels[[row, column, c]])))
            .sum();
        *grey = sum / count;
    }
    let coefficients = cosine_transform(&grey, side);
    let mut signature = Vec::with_capacity(length(size));
    signature.extend((0..COARSE).flat_map(|u| coefficients[u * side..][..COARSE].to_vec()));
    let mut octaves = vec![(0.0, 0); n_octaves(side)];
    for (at, coefficient) in coefficients.iter().enumerate() {
        let frequency = ((at / side).pow(2) + (at % side).pow(2)) as f64;
        let octave = octaves
            .len()
            .min((0..).take_while(|&o| square(FIRST_OCTAVE * f64::from(1 << o)) <= frequency).count());
        if let Some((energy, count)) = octave.checked_sub(1).and_then(|octave| octaves.get_mut(octave)) {
            *energy += coefficient * coefficient;
            *count += 1;
        }
    }
    signature.extend(
        octaves.into_iter().map(|(energy, count)| libm::log(energy / f64::from(count) + LEAST_ENERGY)),
    );
    signature
}

fn square(x: f64) -> f64 {
    x * x
}

/// The orthonormal type-II transform of a square image along both axes.
fn cosine_transform(pixels: &[f64], side: usize) -> Vec<f64> {
    let n = side as f64;
    let basis: Vec<f64> = (0..side * side)
        .map(|at| {
            let (frequency, position) = ((at / side) as f64, (at % side) as f64);
            let scale = if frequency == 0.0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
            scale * libm::cos(std::f64::consts::PI * (position + 0.5) * frequency / n)
        })
        .collect();
    // Of every row; the result transposed, so that twice is both axes.
    let along = |rows: &[f64]| {
        let mut out = vec![0.0; side * side];
        for (row, values) in rows.chunks_exact(side).enumerate() {
            for (frequency, wave) in basis.chunks_exact(side).enumerate() {
                out[frequency * side + row] = values.iter().zip(wave).map(|(a, b)| a * b).sum();
            }
        }
        out
    };
    along(&along(pixels))
}

/// A normal distribution, in the form that distances from its centre need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gaussian {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// Cholesky factor of the correlations: row `i` of the lower triangle has `i + 1` numbers.
    factor: Vec<f64>,
}

impl Gaussian {
    /// The distribution of `samples`; `None` for fewer than two.
    pub(super) fn fit(samples: &[&[f64]]) -> Option<Self> {
        let n_dimensions = samples.first().filter(|_| samples.len() > 1)?.len();
        let n = samples.len() as f64;
        let mean: Vec<f64> =
            (0..n_dimensions).map(|i| samples.iter().map(|s| s[i]).sum::<f64>() / n).collect();
        let covariance =
            |i: usize, j: usize| samples.iter().map(|s| (s[i] - mean[i]) * (s[j] - mean[j])).sum::<f64>() / n;
        // A number that never varies would make every other value infinitely distant.
        let deviation: Vec<f64> = (0..n_dimensions).map(|i| covariance(i, i).sqrt().max(1e-3)).collect();
        let correlation = |i: usize, j: usize| {
            let known = (1.0 - SHRINKAGE) * covariance(i, j) / (deviation[i] * deviation[j]);
            if i == j { 1.0 } else { known }
        };
        let factor = cholesky(n_dimensions, correlation);
        Some(Self { mean, deviation, factor })
    }

    pub(super) fn has_dimensions(&self, n: usize) -> bool {
        self.mean.len() == n && self.deviation.len() == n && self.factor.len() == n * (n + 1) / 2
    }

    /// Mahalanobis distance from the mean, squared, by dimension: about 1 for a usual sample.
    pub(super) fn distance(&self, sample: &[f64]) -> f64 {
        // Forward substitution: `solved` is the inverse of the factor times the standardised sample.
        let mut solved: Vec<f64> = Vec::with_capacity(sample.len());
        for (i, &value) in sample.iter().enumerate() {
            let row = &self.factor[i * (i + 1) / 2..][..=i];
            let known: f64 = row.iter().zip(&solved).map(|(a, b)| a * b).sum();
            solved.push(((value - self.mean[i]) / self.deviation[i] - known) / row[i]);
        }
        solved.iter().map(|x| x * x).sum::<f64>() / sample.len() as f64
    }
}

/// The lower triangle whose product with its transpose is the symmetric, positive definite `of` (Golub & Van Loan 2013,
/// algorithm 4.2.1).
fn cholesky(n: usize, of: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut factor: Vec<f64> = Vec::with_capacity(n * (n + 1) / 2);
    for i in 0..n {
        for j in 0..=i {
            let (row_i, row_j) = (i * (i + 1) / 2, j * (j + 1) / 2);
            let known: f64 = (0..j).map(|k| factor[row_i + k] * factor[row_j + k]).sum();
            let rest = of(i, j) - known;
            factor.push(if i == j { rest.max(1e-12).sqrt() } else { rest / factor[row_j + j] });
        }
    }
    factor
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn the_transform_keeps_energy_and_finds_a_wave() {
        let side = 8;
        let wave: Vec<f64> = (0..64)
            .map(|at| libm::cos(std::f64::consts::PI * ((at % side) as f64 + 0.5) * 3.0 / 8.0))
            .collect();
        let coefficients = cosine_transform(&wave, side);
        let energy = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        assert!((energy(&coefficients) - energy(&wave)).abs() < 1e-9);
        assert!((coefficients[3].powi(2) - energy(&wave)).abs() < 1e-9, "all of it at frequency (0, 3)");
    }

    #[test]
    fn signatures_have_their_length_at_every_size() {
        for size in [8, 24, 31, 32, 33, 100] {
            let signature = of(Array3::<f32>::ones((size, size, 3)).view());
            assert_eq!(signature.len(), length(size), "{size}");
            assert!(signature[1..COARSE * COARSE].iter().all(|x| x.abs() < 1e-9), "nothing but the mean");
        }
        assert_eq!(length(24), 25 + 4);
    }

    #[test]
    fn distances_follow_spread_and_correlation() {
        // Two numbers that go together, the second ten times as large.
        let samples: Vec<[f64; 2]> = (0..1000)
            .map(|i| {
                let (a, b) = (libm::sin(f64::from(i)), libm::sin(1.7 * f64::from(i)));
                [a, 10.0 * (a + 0.3 * b)]
            })
            .collect();
        let gaussian = Gaussian::fit(&samples.iter().map(|s| &s[..]).collect::<Vec<_>>()).expect("samples");
        let mean = samples.iter().map(|s| gaussian.distance(s)).sum::<f64>() / 1000.0;
        // The correlation r = 0.958 counts as 0.9 r: ((1 + r) / (1 + 0.9 r) + (1 - r) / (1 - 0.9 r)) / 2.
        assert!((mean - 0.678).abs() < 0.01, "{mean}");
        assert!(gaussian.distance(&[1.0, 10.0]) < 3.0);
        assert!(gaussian.distance(&[1.0, -10.0]) > 5.0, "against the correlation");
        assert!(Gaussian::fit(&[&[1.0][..]]).is_none());
    }
}
