//! The sum of the gradients of the shards of a batch, along a fixed binary tree.
//!
//! ```text
//! ((g0 + g1) + (g2 + g3)) + ((g4 + g5) + (g6 + g7))
//! ```
//! Sums of floating-point numbers depend on the order of the additions. In this order, any aligned group of 2^k shards is a
//! subtree: a process that has such a group adds it up by itself, and the sum over all processes is the same to the bit as
//! that of a single one.
//!
//! Shards are batches of their own for batch norm ("ghost" batch norm: Hoffer et al. 2017,
//! <https://arxiv.org/abs/1705.08741>): each starts from the running statistics before the step, and those after it are the
//! mean over the shards.

use roentgen_layers::{Layer, ResNet};
use roentgen_tensor::add::add_assign;

use super::step::ShardOutcome;

/// Sums over the shards of one batch that wait for their other half. The memory is reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct ShardSums {
    /// By level of the tree, the largest subtree first.
    open: Vec<ShardSum>,
    spare: Vec<ShardSum>,
    /// Running statistics before the step.
    start_buffers: Vec<Vec<f32>>,
    n_added: usize,
    n_shards: usize,
}

/// The sum over a subtree.
#[derive(Debug, Default)]
struct ShardSum {
    /// By parameter.
    gradients: Vec<Vec<f32>>,
    /// Running statistics, by buffer.
    buffers: Vec<Vec<f32>>,
    outcome: ShardOutcome,
}

impl ShardSums {
    /// Begins a sum over `n_shards`, with the running statistics of `model`.
    pub(crate) fn begin(&mut self, model: &ResNet, n_shards: usize) {
        (self.n_added, self.n_shards) = (0, n_shards);
        self.spare.append(&mut self.open);
        if n_shards == 1 {
            return; // No shard starts after another.
        }
        if self.start_buffers.is_empty() {
            model.for_each_buffer(&mut |buffer| self.start_buffers.push(buffer.value.clone()));
            return;
        }
        let mut start_buffers = self.start_buffers.iter_mut();
        model.for_each_buffer(&mut |buffer| {
            start_buffers.next().expect("one for each buffer").copy_from_slice(&buffer.value);
        });
    }

    /// Whether the next shard is the last one.
    pub(crate) fn is_last(&self) -> bool {
        self.n_added + 1 == self.n_shards
    }

    /// Adds the gradients and running statistics that `model` has after a shard that is not the last one, and the `outcome` of
    /// that shard.
    pub(crate) fn add(&mut self, model: &mut ResNet, mut outcome: ShardOutcome) {
        // As in a binary counter: each trailing 1 is a subtree that is complete now.
        for _ in 0..self.n_added.trailing_ones() {
            let left = self.open.pop().expect("a sum for each 1 of the counter");
            left.add_to(model);
            outcome = left.outcome.plus(outcome);
            self.spare.push(left);
        }
        self.n_added += 1;
        let mut sum = self.spare.pop().unwrap_or_else(|| ShardSum::like(model));
        sum.outcome = outcome;
        sum.take_from(model, &self.start_buffers);
        self.open.push(sum);
    }

    /// Completes the gradients of a layer in the last shard.
    pub(crate) fn complete_layer(&self, layer: &mut dyn Layer) {
        layer.for_each_parameter_mut(&mut |parameter| {
            // The last shard completes every subtree, the smallest first.
            for left in self.open.iter().rev() {
                add_assign(&mut parameter.grad, &left.gradients[parameter.index]);
            }
        });
    }

    /// Completes the running statistics of `model` after the last shard; returns the sum of the outcomes.
    pub(crate) fn complete(&self, model: &mut ResNet, mut outcome: ShardOutcome) -> ShardOutcome {
        for left in self.open.iter().rev() {
            let mut buffers = left.buffers.iter();
            model.for_each_buffer_mut(&mut |buffer| {
                add_assign(&mut buffer.value, buffers.next().expect("one for each buffer"));
            });
            outcome = left.outcome.plus(outcome);
        }
        outcome
    }
}

impl ShardSum {
    fn like(model: &ResNet) -> Self {
        let mut sum = Self::default();
        model.for_each_parameter(&mut |parameter| sum.gradients.push(vec![0.0; parameter.grad.len()]));
        model.for_each_buffer(&mut |buffer| sum.buffers.push(vec![0.0; buffer.value.len()]));
        sum
    }

    /// Takes the gradients out of `model`, which gets arrays to write those of the next shard to, and the running
    /// statistics, which go back to `start_buffers`.
    fn take_from(&mut self, model: &mut ResNet, start_buffers: &[Vec<f32>]) {
        let mut gradients = self.gradients.iter_mut();
        model.for_each_parameter_mut(&mut |parameter| {
            std::mem::swap(&mut parameter.grad, gradients.next().expect("one for each parameter"));
        });
        let mut buffers = self.buffers.iter_mut().zip(start_buffers);
        model.for_each_buffer_mut(&mut |buffer| {
            let (sum, start) = buffers.next().expect("one for each buffer");
            sum.copy_from_slice(&buffer.value);
            buffer.value.copy_from_slice(start);
        });
    }

    fn add_to(&self, model: &mut ResNet) {
        let mut gradients = self.gradients.iter();
        model.for_each_parameter_mut(&mut |parameter| {
            add_assign(&mut parameter.grad, gradients.next().expect("one for each parameter"));
        });
        let mut buffers = self.buffers.iter();
        model.for_each_buffer_mut(&mut |buffer| {
            add_assign(&mut buffer.value, buffers.next().expect("one for each buffer"));
        });
    }
}

/// Divides the running statistics, the sum over `n_shards`, by their number: a power of two, so that it is exact.
pub(crate) fn average_buffers(model: &mut ResNet, n_shards: usize) {
    assert!(n_shards.is_power_of_two());
    let share = 1.0 / n_shards as f32;
    model.for_each_buffer_mut(&mut |buffer| buffer.value.iter_mut().for_each(|value| *value *= share));
}

#[cfg(test)]
mod tests {
    use roentgen_layers::{Pass, ResNet9Config};

    use super::*;

    /// A model whose gradients and statistics are all `value`.
    fn set(model: &mut ResNet, value: f32) {
        model.for_each_parameter_mut(&mut |parameter| parameter.grad.fill(value));
        model.for_each_buffer_mut(&mut |buffer| buffer.value.fill(value));
    }

    /// As the backward pass does, layer by layer.
    fn complete_gradients(sums: &ShardSums, model: &mut ResNet) {
        let x = ndarray::Array4::zeros((1, 8, 8, 1));
        let mut gradients = Vec::new();
        model.for_each_parameter(&mut |parameter| gradients.push(parameter.grad.clone()));
        let grad_logits = ndarray::Array4::zeros((1, 1, 1, 2));
        model.forward(&x, Pass::Train { seed: 0, step: 0, shard: 0 });
        model.backward_with(&x, &grad_logits, &mut |layer| {
            layer.for_each_parameter_mut(&mut |parameter| {
                parameter.grad.copy_from_slice(&gradients[parameter.index]);
            });
            sums.complete_layer(layer);
        });
    }

    fn sums(model: &ResNet) -> (f32, f32) {
        let (mut gradient, mut statistic) = (f32::NAN, f32::NAN);
        model.for_each_parameter(&mut |parameter| {
            assert!(parameter.grad.iter().all(|value| *value == parameter.grad[0]));
            gradient = parameter.grad[0];
        });
        model.for_each_buffer(&mut |buffer| statistic = buffer.value[0]);
        (gradient, statistic)
    }

    #[test]
    fn statistics_before_a_step_are_written_to_the_memory_of_the_step_before() {
        let model = ResNet9Config { width: 8, ..ResNet9Config::new(1, 2) }.build(0);
        let mut sums_of_shards = ShardSums::default();
        sums_of_shards.begin(&model, 1);
        assert!(sums_of_shards.start_buffers.is_empty(), "one shard needs none");
        sums_of_shards.begin(&model, 2);
        // Copies in new memory would have no room for more.
        sums_of_shards.start_buffers.iter_mut().for_each(|values| values.reserve(1000));
        sums_of_shards.begin(&model, 2);
        assert!(sums_of_shards.start_buffers.iter().all(|values| values.capacity() >= values.len() + 1000));
        assert!(!sums_of_shards.start_buffers.is_empty());
    }

    #[test]
    fn shards_are_added_in_pairs_and_pairs_of_pairs() {
        let mut model = ResNet9Config { width: 8, ..ResNet9Config::new(1, 2) }.build(0);
        let mut sums_of_shards = ShardSums::default();
        // In any other order these have another sum: 1 is lost beside 2^24.
        let large = (1 << 24) as f32;
        for values in [
            vec![3.0],
            vec![1.0, large],
            vec![1.0, 1.0, large, 1.0],
            vec![1.0, 1.0, 1.0, 1.0, large, 1.0, 1.0, 1.0],
        ] {
            let expected = match values[..] {
                [a] => a,
                [a, b] => a + b,
                [a, b, c, d] => (a + b) + (c + d),
                [a, b, c, d, e, f, g, h] => ((a + b) + (c + d)) + ((e + f) + (g + h)),
                _ => unreachable!("powers of two"),
            };
            set(&mut model, 7.0);
            sums_of_shards.begin(&model, values.len());
            for (shard, &value) in values.iter().enumerate() {
                assert_eq!(sums(&model).1, 7.0, "every shard starts from the same statistics");
                set(&mut model, value);
                let outcome = ShardOutcome { loss: value, n_correct: shard };
                assert_eq!(sums_of_shards.is_last(), shard + 1 == values.len());
                if !sums_of_shards.is_last() {
                    sums_of_shards.add(&mut model, outcome);
                    continue;
                }
                let total = sums_of_shards.complete(&mut model, outcome);
                assert_eq!(total, ShardOutcome { loss: expected, n_correct: (0..values.len()).sum() });
                assert_eq!(sums(&model).1, expected);
                average_buffers(&mut model, values.len());
                assert_eq!(sums(&model).1, expected / values.len() as f32);
                complete_gradients(&sums_of_shards, &mut model);
                assert_eq!(sums(&model).0, expected);
            }
        }
    }
}
