//! How much memory a network takes, computed from its table before anything is allocated.

use roentgen_tensor::conv2d::Scratch;

use crate::architecture::BlockSpec;
use crate::{Architecture, ConvSpec};

/// Bytes of a number.
const BYTES: usize = size_of::<f32>();

/// Bytes that one pass takes besides the parameters. They stay allocated for the next pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassMemory {
    /// Images, activations, and in training their gradients.
    pub activations: usize,
    /// Working memory of the kernels, and in evaluation the prepared filters.
    pub kernels: usize,
    /// Working memory that all passes, training and evaluation, have in common.
    pub shared: usize,
}

impl Architecture {
    /// The memory of training steps with batches of `n` images of `size` x `size` on `n_threads` threads.
    #[must_use]
    pub fn training_memory(&self, n: usize, size: usize, n_threads: usize) -> PassMemory {
        let convolutions = self.convolutions();
        let geometry = |conv: &ConvSpec| conv.geometry(n, size, size);
        // The output of every convolution, which becomes its gradient.
        let of_convolutions: usize = convolutions.iter().map(|conv| geometry(conv).y_len()).sum();
        let outputs = self.outputs(n, size);
        // Two arrays hold the gradient of the output of every other block.
        let largest = |first: usize| outputs.iter().skip(first).step_by(2).map(|output| output.len).max();
        let gradients = largest(0).unwrap_or(0) + largest(1).unwrap_or(0);
        // A residual connection also has the activation between its blocks, and the gradient of that.
        let blocks: usize =
            outputs.iter().map(|output| output.len * if output.is_residual { 3 } else { 1 }).sum();
        let scratch = convolutions.iter().map(|conv| geometry(conv).training_scratch());
        let (kernels, shared) = kernels(scratch, n_threads);
        let activations = BYTES * (self.images(n, size) + of_convolutions + blocks + gradients);
        PassMemory { activations, kernels, shared }
    }

    /// The memory of evaluation with batches of `n` images.
    #[must_use]
    pub fn inference_memory(&self, n: usize, size: usize, n_threads: usize) -> PassMemory {
        let convolutions = self.convolutions();
        let geometry = |conv: &ConvSpec| conv.geometry(n, size, size);
        let outputs = self.outputs(n, size);
        let blocks: usize =
            outputs.iter().map(|output| output.len * if output.is_residual { 2 } else { 1 }).sum();
        let filters: usize = convolutions.iter().map(|conv| geometry(conv).prepared_len()).sum();
        let scratch = convolutions.iter().map(|conv| geometry(conv).inference_scratch(conv.pool));
        let (kernels, shared) = kernels(scratch, n_threads);
        let activations = BYTES * (self.images(n, size) + blocks);
        PassMemory { activations, kernels: BYTES * filters + kernels, shared }
    }

    /// Numbers of the input.
    fn images(&self, n: usize, size: usize) -> usize {
        n * size * size * self.c_in
    }

    /// The output of each block.
    fn outputs(&self, n: usize, size: usize) -> Vec<Output> {
        let mut convolutions = self.convolutions().into_iter();
        let output = |block: &BlockSpec| {
            let is_residual = matches!(block, BlockSpec::Residual { .. });
            let last =
                convolutions.by_ref().nth(usize::from(is_residual)).expect("a convolution for each block");
            let g = last.geometry(n, size, size);
            let shrink = if last.pool { 2 } else { 1 };
            Output { len: n * (g.h / shrink) * (g.w / shrink) * g.c_out, is_residual }
        };
        self.blocks.iter().map(output).collect()
    }
}

/// Numbers of the output of a block.
struct Output {
    len: usize,
    is_residual: bool,
}

/// Bytes of scratch memory, and of that which is shared, that are enough for each of several passes.
fn kernels(scratch: impl Iterator<Item = Scratch>, n_threads: usize) -> (usize, usize) {
    let Scratch { caller, task, shared } = scratch.fold(Scratch::default(), Scratch::max);
    (BYTES * (caller + n_threads * task), BYTES * shared)
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use crate::{Pass, ResNet9, ResNet9Config, reshape};

    /// What [`Architecture::training_memory`](crate::Architecture::training_memory) counts: of two arrays, each has the
    /// gradients of every other block, in every step the same.
    #[test]
    fn the_arrays_of_gradients_have_the_same_roles_in_every_step() {
        let mut model = ResNet9::new(&ResNet9Config { width: 8, ..ResNet9Config::new(1, 3) }, 0);
        let x = Array4::from_shape_fn((2, 16, 16, 1), |(n, i, j, _)| (n + i * j) as f32 / 256.0);
        let mut grad_logits = Array4::default((0, 0, 0, 0));
        let addresses: [usize; 4] = std::array::from_fn(|step| {
            model.forward(&x, Pass::Train { seed: 0, step: step as u64, shard: 0 });
            reshape(&mut grad_logits, [2, 1, 1, 3]);
            grad_logits.fill(0.1);
            model.backward(&x, &mut grad_logits);
            grad_logits.as_ptr() as usize
        });
        // The first step allocates.
        assert_eq!(addresses[1..], [addresses[1]; 3]);
    }
}
