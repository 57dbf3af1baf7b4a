//! Data normalisation: per-channel mean and standard deviation of the training pictures.

use serde::{Deserialize, Serialize};

use crate::ImageSet;

/// Smallest standard deviation, so that a constant channel divides by no zero: half a grey level of 255.
const LEAST_STD: f64 = 0.5 / 255.0;

/// What brings pixels, scaled to 0-1, to mean 0 and standard deviation 1. Stored with the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean of each channel, in 0-1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in 0-1; never 0.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Statistics over every pixel of a set, which should be the training part and nothing else.
    ///
    /// Sums are over integers, so no order of adding shows in the result.
    #[must_use]
    pub fn of(set: &ImageSet) -> Self {
        let channels = set.channels();
        let (mut sums, mut squares, mut count) = (vec![0u64; channels], vec![0u64; channels], 0u64);
        for index in 0..set.len() {
            for pixel in set.image(index).pixels.chunks_exact(channels) {
                for (channel, &value) in pixel.iter().enumerate() {
                    sums[channel] += u64::from(value);
                    squares[channel] += u64::from(value) * u64::from(value);
                }
                count += 1;
            }
        }
        let count = count.max(1) as f64;
        let means: Vec<f64> = sums.iter().map(|&sum| sum as f64 / count / 255.0).collect();
        let stds = squares.iter().zip(&means).map(|(&square, mean)| {
            let variance = square as f64 / count / (255.0 * 255.0) - mean * mean;
            variance.max(0.0).sqrt().max(LEAST_STD) as f32
        });
        Self { std: stds.collect(), mean: means.iter().map(|&mean| mean as f32).collect() }
    }

    /// `(value / 255 - mean) / std` of each possible value, 256 a channel: a picture has no others.
    pub(crate) fn table(&self) -> Vec<[f32; 256]> {
        let row =
            |(mean, std): (&f32, &f32)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
        self.mean.iter().zip(&self.std).map(row).collect()
    }
}
