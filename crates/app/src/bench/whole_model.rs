//! Whole training steps and forward passes.

use ndarray::Array4;
use roentgen_layers::{LossHead, Pass, ResNet9, ResNet9Config};
use roentgen_optim::{AdamConfig, OneCycle};
use roentgen_tensor::rng::{CounterRng, Purpose};

use super::timing::{Timing, measure};
use crate::step::TrainingStep;

/// Seconds spent on each batch size.
const BUDGET_S: f64 = 6.0;

/// A batch of noise, normalised as images would be.
fn noise(model: &ResNet9Config, size: usize, batch: usize) -> Array4<f32> {
    let mut rng = CounterRng::new(0, Purpose::Synthetic, 1, batch as u64);
    Array4::from_shape_simple_fn((batch, size, size, model.c_in), || rng.normal())
}

/// Seconds of a training step of the recipe: forward, loss, backward, clip, decay, Adam.
pub(super) fn measure_training(model: &ResNet9Config, size: usize, batch: usize) -> Timing {
    let x = noise(model, size, batch);
    let labels: Vec<u32> = (0..batch).map(|image| (image % model.n_classes) as u32).collect();
    let mut step = TrainingStep::new(ResNet9::new(model, 0), LossHead::default(), AdamConfig::default());
    // The rates matter little here; those of a long run's middle.
    let schedule = OneCycle::new(0.001, 1000);
    let mut count = 0;
    measure(BUDGET_S, || {
        step.take(&x, &labels, schedule.at(500), Pass::Train { seed: 0, step: count });
        count += 1;
    })
}

/// Seconds of a forward pass in evaluation mode.
pub(super) fn measure_inference(model: &ResNet9Config, size: usize, batch: usize) -> Timing {
    let x = noise(model, size, batch);
    let mut network = ResNet9::new(model, 0);
    measure(BUDGET_S / 2.0, || {
        network.forward(&x, Pass::Eval);
    })
}
