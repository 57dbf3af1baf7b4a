//! How much scratch memory the passes of a convolution take, as [`with_scratch`](crate::scratch::with_scratch) hands it out.
//!
//! Those of im2col are the sizes in its functions `correlate` and `correlate_patches`, without padding; Winograd's modules give theirs.

use super::im2col;
use super::winograd;
use super::{Conv2dGeometry, TAPS, Tiling};
use crate::gemm::{MR, NR};
use crate::lanes::LANES;

/// Elements of scratch memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    /// Of the thread that calls the pass.
    pub caller: usize,
    /// Of each thread that works on it.
    pub task: usize,
    /// Of all threads together, the same for all passes: [`with_shared_scratch`](crate::scratch::with_shared_scratch).
    pub shared: usize,
}

impl Scratch {
    /// Enough for both, one after the other.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            caller: self.caller.max(other.caller),
            task: self.task.max(other.task),
            shared: self.shared.max(other.shared),
        }
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

    /// For evaluation, where a max pool may follow.
    #[must_use]
    pub fn inference_scratch(&self, is_pooled: bool) -> Scratch {
        let scratch = self.forward_scratch(self.inference_algorithm().tiling(self).as_ref(), true);
        let before_pool = if self.pools_apart(is_pooled) { self.y_len() } else { 0 };
        Scratch { caller: before_pool + scratch.caller, ..scratch }
    }

    /// Elements of the filter as evaluation reads it: in the form for this batch, and in that for a last batch of few images.
    #[must_use]
    pub fn prepared_len(&self) -> usize {
        let gathered = |tiling: &Tiling| if winograd::reads_gathered(tiling) { self.weight_len() } else { 0 };
        match self.inference_algorithm().tiling(self) {
            None => im2col::packed_len(self),
            Some(tiling) if winograd::reads_gathered(&tiling) => self.weight_len(),
            Some(tiling) => winograd::transformed_len(&tiling) + gathered(&tiling.of_images(1)),
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
            return Scratch { caller: filter(im2col::packed_len(self)) + unrolled, task, shared: 0 };
        };
        winograd::correlate_scratch(tiling, is_prepared)
    }

    fn weight_scratch(&self, tiling: Option<&Tiling>) -> Scratch {
        let Some(tiling) = tiling else {
            let (n_chunks, n_blocks) = im2col::chunks_and_blocks(self);
            let caller = self.c_out.next_multiple_of(NR) * n_chunks * n_blocks * LANES;
            return Scratch { caller, task: im2col::WEIGHT_TASK_LEN, shared: 0 };
        };
        winograd::correlate_patches_scratch(tiling)
    }
}
