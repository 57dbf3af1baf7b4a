//! How much a training computes, to compare it with others.

use roentgen_data::Dataset;
use roentgen_layers::Architecture;
use roentgen_tensor::conv2d::TAPS;

use crate::config::TrainConfig;
use crate::config::build::resnet9_config;
use crate::training::hard_examples::n_epoch_images;

/// Multiplications of all steps of a training: the forward pass, and the backward passes to the input and to the weight.
#[must_use]
pub(super) fn multiplications(config: &TrainConfig, data: &Dataset) -> f64 {
    let images = (config.epochs(data.train.len()) * n_epoch_images(config, data)) as f64;
    let architecture = resnet9_config(config, data).architecture();
    images * work_per_pixel(&architecture) * f64::from(config.size).powi(2)
}

/// The multiplications of an image for a pixel of its crop. The first convolution, which reads one or three channels, counts for
/// nothing beside the others.
fn work_per_pixel(architecture: &Architecture) -> f64 {
    let convolutions = architecture.convolutions().into_iter().skip(1);
    let work = convolutions.map(|conv| {
        // Each pool leaves a quarter of the pixels.
        (TAPS * conv.c_in * conv.c_out) as f64 / f64::from(1u32 << (2 * conv.n_pools_before))
    });
    3.0 * work.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use roentgen_data::{LoadOptions, PhantomOptions, phantom_dataset, silent};

    use super::*;

    #[test]
    fn images_that_an_epoch_repeats_are_work() {
        let films = PhantomOptions { train: 60, val: 3, test: 3, ..PhantomOptions::default() };
        let data = phantom_dataset(&films, &LoadOptions::default(), &silent).expect("films");
        let work = |oversample_hard| {
            multiplications(&TrainConfig { oversample_hard, ..TrainConfig::default() }, &data)
        };
        // 2 of the 20 images of each class are used ten times.
        assert_eq!(work(10) * 60.0, work(1) * f64::from(60 + 9 * 3 * 2));
    }
}
