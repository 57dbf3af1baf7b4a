//! How much scratch memory the passes of a convolution take, as [`with_scratch`](crate::scratch::with_scratch) hands it out.
//!
//! Those of im2col are the sizes in its functions `correlate` and `correlate_patches`, without padding; Winograd's modules give theirs.

use super::im2col;
use super::winograd;
use super::{Conv2dGeometry, TAPS, Tiling};
use crate::gemm::{MR, NR};
use crate::lanes::LANES;

/// Numbers of scratch memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    /// Of the thread that calls the pass.
    pub caller: usize,
    /// Of each thread that works on it.
    pub task: usize,
}

impl Scratch {
    /// Enough for both, one after the other.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { caller: self.caller.max(other.caller), task: self.task.max(other.task) }
    }
}

impl Conv2dGeometry {
    /// For the three passes of training.
    #[must_use]
    pub fn training_scratch(&self) -> Scratch {
        let (algorithm, reversed) = (self.algorithm(), self.reversed());
        let to_input = reversed.forward_scratch(algorithm.tiling(&reversed).as_ref(), false);
        let tiling = algorithm.tiling(self);
        let passes = [self.forward_scratch(tiling.as_ref(), false), to_input];
        passes.into_iter().fold(self.weight_scratch(tiling.as_ref()), Scratch::max)
    }

    /// For evaluation.
    #[must_use]
    pub fn inference_scratch(&self) -> Scratch {
        self.forward_scratch(self.inference_algorithm().tiling(self).as_ref(), true)
    }

    /// Numbers of the filter as evaluation reads it.
    #[must_use]
    pub fn prepared_len(&self) -> usize {
        match self.inference_algorithm().tiling(self) {
            None => im2col::packed_len(self),
            Some(tiling) => winograd::transformed_len(&tiling),
        }
    }

    fn forward_scratch(&self, tiling: Option<&Tiling>, is_prepared: bool) -> Scratch {
        let Self { c_in, c_out, .. } = *self;
        let columns = c_out.next_multiple_of(NR);
        let filter = |len: usize| if is_prepared { 0 } else { len };
        let Some(tiling) = tiling else {
            let rows = self.pixels().next_multiple_of(MR);
            let unrolled = if self.pixels() < c_out { (TAPS * c_in + columns) * rows } else { 0 };
            let task = (im2col::KC.min(TAPS * c_in) + columns) * im2col::MAX_TASK_PIXELS;
            return Scratch { caller: filter(im2col::packed_len(self)) + unrolled, task };
        };
        winograd::correlate_scratch(tiling, is_prepared)
    }

    fn weight_scratch(&self, tiling: Option<&Tiling>) -> Scratch {
        let Self { c_out, .. } = *self;
        let Some(tiling) = tiling else {
            let (n_chunks, n_blocks) = im2col::chunks_and_blocks(self);
            return Scratch {
                caller: c_out.next_multiple_of(NR) * (self.pixels() + n_chunks * n_blocks * LANES),
                task: im2col::GROUP_BLOCKS * LANES * im2col::RUN_PIXELS,
            };
        };
        winograd::correlate_patches_scratch(tiling)
    }
}
