//! A normal distribution of vectors, and the distance from its centre after Mahalanobis (1936).

use serde::{Deserialize, Serialize};

use crate::model::packed_numbers;

/// How far correlations are shrunk towards zero: a few images are not enough to estimate all of them.
const SHRINKAGE: f64 = 0.1;
/// The smallest deviation: a number that never varies would make every other value infinitely distant.
const MIN_DEVIATION: f64 = 1e-3;

/// A normal distribution, in the form that distances from its centre need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gaussian {
    #[serde(with = "packed_numbers")]
    mean: Vec<f32>,
    #[serde(with = "packed_numbers")]
    deviation: Vec<f32>,
    /// Cholesky factor of the correlations: row `i` of the lower triangle has `i + 1` numbers.
    #[serde(with = "packed_numbers")]
    factor: Vec<f32>,
}

impl Gaussian {
    /// The distribution of `samples`; `None` for fewer than two.
    pub(super) fn fit(samples: &[&[f64]]) -> Option<Self> {
        let n_dimensions = samples.first().filter(|_| samples.len() > 1)?.len();
        let n = samples.len() as f64;
        let mut mean = vec![0.0; n_dimensions];
        for sample in samples {
            mean.iter_mut().zip(*sample).for_each(|(mean, x)| *mean += x / n);
        }
        // The lower triangle, row by row, as the factor.
        let mut covariance = vec![0.0; n_dimensions * (n_dimensions + 1) / 2];
        let mut centred = vec![0.0; n_dimensions];
        for sample in samples {
            centred.iter_mut().zip(*sample).zip(&mean).for_each(|((centred, x), mean)| *centred = x - mean);
            for (i, &x) in centred.iter().enumerate() {
                let row = &mut covariance[i * (i + 1) / 2..][..=i];
                row.iter_mut().zip(&centred).for_each(|(sum, y)| *sum += x * y / n);
            }
        }
        let covariance = |i: usize, j: usize| covariance[i * (i + 1) / 2 + j];
        let deviation: Vec<f64> =
            (0..n_dimensions).map(|i| covariance(i, i).sqrt().max(MIN_DEVIATION)).collect();
        let factor = cholesky(n_dimensions, |i, j| {
            let known = (1.0 - SHRINKAGE) * covariance(i, j) / (deviation[i] * deviation[j]);
            if i == j { 1.0 } else { known }
        });
        let [mean, deviation, factor] =
            [mean, deviation, factor].map(|values| values.into_iter().map(|value| value as f32).collect());
        Some(Self { mean, deviation, factor })
    }

    /// Whether it is one of vectors of `n` numbers, all of them usable.
    pub(super) fn is_valid(&self, n: usize) -> bool {
        let Self { mean, deviation, factor } = self;
        let diagonal = (0..n).filter_map(|i| factor.get(i * (i + 3) / 2));
        mean.len() == n
            && deviation.len() == n
            && factor.len() == n * (n + 1) / 2
            && mean.iter().chain(deviation).chain(factor).all(|x| x.is_finite())
            && deviation.iter().chain(diagonal).all(|&x| x > 0.0)
    }

    /// Squared Mahalanobis distance from the mean, divided by the number of dimensions: about 1 for a usual sample.
    pub(super) fn squared_distance(&self, sample: &[f64]) -> f64 {
        // Forward substitution: `solved` is the inverse of the factor times the standardised sample.
        let mut solved: Vec<f64> = Vec::with_capacity(sample.len());
        for (i, &value) in sample.iter().enumerate() {
            let row = &self.factor[i * (i + 1) / 2..][..=i];
            let known: f64 = row.iter().zip(&solved).map(|(&a, b)| f64::from(a) * b).sum();
            let standardised = (value - f64::from(self.mean[i])) / f64::from(self.deviation[i]);
            solved.push((standardised - known) / f64::from(row[i]));
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
    use super::*;

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
        let mean = samples.iter().map(|s| gaussian.squared_distance(s)).sum::<f64>() / 1000.0;
        // The correlation r = 0.958 counts as 0.9 r: ((1 + r) / (1 + 0.9 r) + (1 - r) / (1 - 0.9 r)) / 2.
        assert!((mean - 0.678).abs() < 0.01, "{mean}");
        assert!(gaussian.squared_distance(&[1.0, 10.0]) < 3.0);
        assert!(gaussian.squared_distance(&[1.0, -10.0]) > 5.0, "against the correlation");
        assert!(Gaussian::fit(&[&[1.0][..]]).is_none());
    }
}
