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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Picture;

    fn set(channels: usize, pixels: Vec<u8>) -> ImageSet {
        let width = (pixels.len() / channels) as u32;
        let picture = Picture { width, height: 1, channels, pixels, coloured: channels == 3, small: false };
        ImageSet::pack(channels, vec![(picture, "a".into(), 0)])
    }

    #[test]
    fn channels_have_their_own_statistics() {
        let norm = Normalization::of(&set(3, vec![0, 51, 10, 255, 153, 10]));
        let close = |found: &[f32], expected: [f32; 3]| {
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
        };
        assert!(close(&norm.mean, [0.5, 0.4, 10.0 / 255.0]), "{norm:?}");
        assert!(
            close(&norm.std, [0.5, 0.2, LEAST_STD as f32]),
            "a constant channel gets the floor: {norm:?}"
        );
    }

    #[test]
    fn normalised_training_pixels_have_mean_zero_and_unit_variance() {
        let pixels: Vec<u8> = (0..1000u32).map(|i| (i * i % 251) as u8).collect();
        let table = Normalization::of(&set(1, pixels.clone())).table();
        let values: Vec<f64> = pixels.iter().map(|&p| f64::from(table[0][usize::from(p)])).collect();
        let mean = values.iter().sum::<f64>() / 1000.0;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / 1000.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
    }
}
