//! Normalisation: mean and standard deviation per channel, of the training images or of each image.

use serde::{Deserialize, Serialize};

use crate::image_set::{ImageSet, ImageView};

/// Smallest standard deviation, to avoid division by zero for a constant channel: half a grey level of 255.
const MIN_STD: f64 = 0.5 / 255.0;

/// Scales pixels to mean 0 and standard deviation 1. Stored with the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean of each channel, in 0-1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in 0-1; never 0.
    pub std: Vec<f32>,
    /// Whether each image is normalised by its own mean and standard deviation, so that its exposure has no effect; `mean`
    /// and `std` are then stored for information only.
    #[serde(default)]
    pub per_image: bool,
}

/// Most channels of an image.
const MAX_CHANNELS: usize = 3;

/// The normalised value of each of the 256 possible values of a channel. On the stack: every batch needs one, and with
/// [`Normalization::per_image`] every image, and a training step allocates nothing.
pub(crate) struct ValueTable {
    rows: [[f32; 256]; MAX_CHANNELS],
    channels: usize,
}

impl ValueTable {
    /// `(value / 255 - mean) / std`.
    fn new(mean: &[f32], std: &[f32]) -> Self {
        let channels = mean.len();
        assert!(channels <= MAX_CHANNELS, "normalisation: {channels} channels");
        let mut rows = [[0.0; 256]; MAX_CHANNELS];
        for ((row, mean), std) in rows.iter_mut().zip(mean).zip(std) {
            *row = std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
        }
        Self { rows, channels }
    }

    /// A row for each channel.
    pub(crate) fn rows(&self) -> &[[f32; 256]] {
        &self.rows[..self.channels]
    }
}

/// Integer sums over pixels, so the result does not depend on the order of the additions.
struct Sums {
    channels: usize,
    sums: [u64; MAX_CHANNELS],
    squares: [u64; MAX_CHANNELS],
    count: u64,
}

impl Sums {
    fn new(channels: usize) -> Self {
        assert!(channels <= MAX_CHANNELS, "normalisation: {channels} channels");
        Self { channels, sums: [0; MAX_CHANNELS], squares: [0; MAX_CHANNELS], count: 0 }
    }

    fn add(&mut self, pixels: &[u8]) {
        for pixel in pixels.chunks_exact(self.channels) {
            for (channel, &value) in pixel.iter().enumerate() {
                self.sums[channel] += u64::from(value);
                self.squares[channel] += u64::from(value) * u64::from(value);
            }
            self.count += 1;
        }
    }

    /// Mean and standard deviation of a channel, in 0-1.
    fn statistics(&self, channel: usize) -> (f32, f32) {
        let count = self.count.max(1) as f64;
        let mean = self.sums[channel] as f64 / count / 255.0;
        let variance = self.squares[channel] as f64 / count / (255.0 * 255.0) - mean * mean;
        (mean as f32, variance.max(0.0).sqrt().max(MIN_STD) as f32)
    }
}

impl Normalization {
    /// Statistics over every pixel of a set, which should be the training set.
    #[must_use]
    pub fn of(set: &ImageSet) -> Self {
        let mut sums = Sums::new(set.channels());
        set.for_each_image(|image| sums.add(&image.pixels));
        let (mean, std) = (0..set.channels()).map(|channel| sums.statistics(channel)).unzip();
        Self { mean, std, per_image: false }
    }

    /// The table of all images.
    pub(crate) fn table(&self) -> ValueTable {
        ValueTable::new(&self.mean, &self.std)
    }

    /// The table of one image, if each image has its own.
    pub(crate) fn table_of_image(&self, image: &ImageView<'_>) -> Option<ValueTable> {
        self.per_image.then(|| {
            let channels = self.mean.len();
            let mut sums = Sums::new(channels);
            sums.add(&image.pixels);
            let (mut mean, mut std) = ([0.0; MAX_CHANNELS], [0.0; MAX_CHANNELS]);
            for channel in 0..channels {
                (mean[channel], std[channel]) = sums.statistics(channel);
            }
            ValueTable::new(&mean[..channels], &std[..channels])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_image::SmallImage;

    fn set(channels: usize, pixels: Vec<u8>) -> ImageSet {
        let width = (pixels.len() / channels) as u32;
        let image = SmallImage::of_pixels((width, 1), channels, pixels);
        ImageSet::pack(channels, vec![(image, "a".into(), 0)])
    }

    #[test]
    fn channels_have_their_own_statistics() {
        let norm = Normalization::of(&set(3, vec![0, 51, 10, 255, 153, 10]));
        let close = |found: &[f32], expected: [f32; 3]| {
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
        };
        assert!(close(&norm.mean, [0.5, 0.4, 10.0 / 255.0]), "{norm:?}");
        assert!(close(&norm.std, [0.5, 0.2, MIN_STD as f32]), "a constant channel gets the floor: {norm:?}");
    }

    #[test]
    fn normalised_training_pixels_have_mean_zero_and_unit_variance() {
        let pixels: Vec<u8> = (0..1000u32).map(|i| (i * i % 251) as u8).collect();
        let table = Normalization::of(&set(1, pixels.clone())).table();
        let table = table.rows();
        let values: Vec<f64> = pixels.iter().map(|&p| f64::from(table[0][usize::from(p)])).collect();
        let mean = values.iter().sum::<f64>() / 1000.0;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / 1000.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
    }
}
