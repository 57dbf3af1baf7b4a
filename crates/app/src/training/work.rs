//! How much a training computes, to compare it with others.

use roentgen_data::Dataset;
use roentgen_layers::Architecture;
use roentgen_tensor::conv2d::TAPS;

use crate::config::TrainConfig;
use crate::config::build::resnet9_config;

/// Multiplications of all steps of a training: the forward pass, and the backward passes to the input and to the weight.
#[must_use]
pub(super) fn multiplications(config: &TrainConfig, data: &Dataset) -> f64 {
    let images = (config.epochs(data.train.len()) * data.train.len()) as f64;
    let architecture = resnet9_config(config, data).architecture();
    images * work_per_pixel(&architecture) * f64::from(config.size).powi(2)
}

/// Those of an image for a pixel of its crop. The first convolution, which reads one or three channels, counts for nothing beside
/// the others.
fn work_per_pixel(architecture: &Architecture) -> f64 {
    let convolutions = architecture.convolutions().into_iter().skip(1);
    let work = convolutions.map(|conv| {
        // Each pool leaves a quarter of the pixels.
        (TAPS * conv.c_in * conv.c_out) as f64 / f64::from(1u32 << (2 * conv.n_pools_before))
    });
    3.0 * work.sum::<f64>()
}
