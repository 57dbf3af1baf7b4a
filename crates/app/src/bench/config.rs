//! What is measured: the network, and the images.

use roentgen_layers::ResNet9Config;

/// Largest batch size of the tables of layers.
const MAX_LAYER_BATCH: usize = 128;
/// Most pixels of a batch there: of large images, fewer are measured, or the tables would take an hour.
const MAX_LAYER_PIXELS: usize = 1 << 20;

/// The network and the images to measure with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BenchConfig {
    /// Height and width of the images, pixels.
    pub size: usize,
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub n_classes: usize,
    /// Channels of the first convolution.
    pub width: usize,
}

impl BenchConfig {
    /// The network.
    pub(super) fn model(&self) -> ResNet9Config {
        ResNet9Config { width: self.width, ..ResNet9Config::new(self.channels, self.n_classes) }
    }

    /// Batch size of the tables of layers.
    pub(super) fn layer_batch(&self) -> usize {
        let most = (MAX_LAYER_PIXELS / (self.size * self.size)).clamp(1, MAX_LAYER_BATCH);
        1 << most.ilog2()
    }

    /// The same as command-line arguments for another process.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { size, channels, n_classes, width } = *self;
        let flags =
            [("--size", size), ("--channels", channels), ("--classes", n_classes), ("--width", width)];
        flags.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_large_images_are_measured_at_once() {
        let batch = |size| BenchConfig { size, channels: 1, n_classes: 3, width: 64 }.layer_batch();
        assert_eq!([8, 24, 64, 96, 128, 224, 512].map(batch), [128, 128, 128, 64, 64, 16, 4]);
    }
}
