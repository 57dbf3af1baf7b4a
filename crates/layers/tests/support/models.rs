//! Images and models that the tests share.

use ndarray::Array4;
use roentgen_layers::{Pass, ResNet, ResNet9Config, Workspace};
use roentgen_tensor::rng::{CounterRng, Purpose};

pub(crate) const TRAIN: Pass = Pass::Train { seed: 3, step: 0, shard: 0 };

pub(crate) fn random(shape: (usize, usize, usize, usize), seed: u64) -> Array4<f32> {
    let mut rng = CounterRng::new(seed, Purpose::Synthetic, 0, 5);
    Array4::from_shape_simple_fn(shape, || rng.range(-1.0, 1.0))
}

pub(crate) fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// The bits of all parameters and buffers of a model.
pub(crate) fn model_bits(model: &ResNet) -> Vec<u32> {
    let mut all = Vec::new();
    model.for_each_parameter(&mut |parameter| all.extend(bits(&parameter.value)));
    model.for_each_buffer(&mut |buffer| all.extend(bits(&buffer.value)));
    all
}

pub(crate) fn slice(array: &Array4<f32>) -> &[f32] {
    array.as_slice().unwrap()
}

/// The logits of a model in evaluation.
pub(crate) fn logits(model: &ResNet, x: &Array4<f32>) -> Array4<f32> {
    model.infer(x, &mut Workspace::default()).clone()
}

/// A small ResNet9 whose running statistics are no longer the initial ones.
pub(crate) fn used_model(config: &ResNet9Config) -> ResNet {
    let mut model = config.build(1);
    model.forward(&random((6, 11, 9, config.c_in), 2), TRAIN);
    model
}

pub(crate) fn small(width: usize) -> ResNet9Config {
    ResNet9Config { width, ..ResNet9Config::new(1, 3) }
}
