//! How much memory a network takes, computed from its table before anything is allocated.

use roentgen_tensor::conv2d::Scratch;

use crate::architecture::BlockSpec;
use crate::{Architecture, ConvSpec};

/// Bytes of an element.
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
        let convolution_outputs: usize = convolutions.iter().map(|conv| geometry(conv).y_len()).sum();
        let outputs = self.outputs(n, size);
        // Two arrays hold the gradient of the output of every other block.
        let largest = |first: usize| outputs.iter().skip(first).step_by(2).map(|output| output.len).max();
        let gradients = largest(0).unwrap_or(0) + largest(1).unwrap_or(0);
        // A residual connection also has the activation between its blocks, and the gradient of that.
        let blocks: usize =
            outputs.iter().map(|output| output.len * if output.is_residual { 3 } else { 1 }).sum();
        let scratch = convolutions.iter().map(|conv| geometry(conv).training_scratch());
        let (kernels, shared) = kernels(scratch, n_threads);
        let activations = BYTES * (self.images(n, size) + convolution_outputs + blocks + gradients);
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

    /// Elements of the input.
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

/// The elements of the output of a block.
struct Output {
    len: usize,
    is_residual: bool,
}

/// Bytes of scratch memory, and of that which is shared, that are enough for each of several passes.
fn kernels(scratch: impl Iterator<Item = Scratch>, n_threads: usize) -> (usize, usize) {
    let Scratch { caller, task, shared } = scratch.fold(Scratch::default(), Scratch::max);
    (BYTES * (caller + n_threads * task), BYTES * shared)
}
