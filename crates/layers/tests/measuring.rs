//! The passes that measure the running statistics of batch norm.

use roentgen_layers::{Pass, ResNet};
use roentgen_tensor::parameter::Buffer;

use crate::models::{model_bits, random, small, used_model};

#[test]
fn a_measuring_pass_sets_the_running_statistics_to_their_mean_over_the_batches() {
    let buffers = |model: &ResNet| {
        let mut all: Vec<Buffer> = Vec::new();
        model.for_each_buffer(&mut |buffer| all.push(buffer.clone()));
        all
    };
    let mut model = used_model(&small(16));
    let batches = [1, 2, 3].map(|seed| random((6, 16, 16, 1), seed));
    // Statistics of each batch alone, then of all three; they depend on images and weights only.
    let alone = batches.each_ref().map(|x| {
        model.forward(x, Pass::Measure { batch: 0 });
        buffers(&model)
    });
    for (batch, x) in batches.iter().enumerate() {
        model.forward(x, Pass::Measure { batch: batch as u64 });
    }
    for (index, buffer) in buffers(&model).iter().enumerate() {
        for (channel, &value) in buffer.value.iter().enumerate() {
            let mean = alone.iter().map(|buffers| buffers[index].value[channel]).sum::<f32>() / 3.0;
            assert!(
                (value - mean).abs() <= 1e-5 * mean.abs().max(1.0),
                "{}: {value} for {mean}",
                buffer.name
            );
        }
    }
}

#[test]
fn a_measuring_pass_depends_on_no_running_statistics_before_it() {
    let mut model = used_model(&small(16));
    let x = random((6, 16, 16, 1), 1);
    model.forward(&x, Pass::Measure { batch: 0 });
    let expected = model_bits(&model);
    for before in [0.1, f32::INFINITY] {
        model.for_each_buffer_mut(&mut |buffer| buffer.value.fill(before));
        model.forward(&x, Pass::Measure { batch: 0 });
        assert!(model_bits(&model) == expected, "with {before} before it");
    }
}
