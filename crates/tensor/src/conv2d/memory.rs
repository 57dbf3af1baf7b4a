//! How much scratch memory the passes of a convolution take, as [`with_scratch`](crate::scratch::with_scratch) hands it out.
//!
//! These are the sizes in the functions named `correlate` and `correlate_patches`, without padding.

use super::im2col;
use super::winograd::{self, TileCounts};
use super::{Conv2dGeometry, TAPS, Tile};
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
        let tile = self.algorithm().tile();
        let passes = [self.forward_scratch(tile, false), self.reversed().forward_scratch(tile, false)];
        passes.into_iter().fold(self.weight_scratch(tile), Scratch::max)
    }

    /// For evaluation.
    #[must_use]
    pub fn inference_scratch(&self) -> Scratch {
        self.forward_scratch(self.inference_algorithm().tile(), true)
    }

    /// Numbers of the filter as evaluation reads it.
    #[must_use]
    pub fn prepared_len(&self) -> usize {
        match self.inference_algorithm().tile() {
            None => im2col::packed_len(self),
            Some(Tile { t, .. }) => winograd::transformed_len(self, t),
        }
    }

    fn forward_scratch(&self, tile: Option<Tile>, is_prepared: bool) -> Scratch {
        let Self { c_in, c_out, .. } = *self;
        let columns = c_out.next_multiple_of(NR);
        let filter = |len: usize| if is_prepared { 0 } else { len };
        let Some(tile) = tile else {
            let rows = self.pixels().next_multiple_of(MR);
            let unrolled = if self.pixels() < c_out { (TAPS * c_in + columns) * rows } else { 0 };
            let task = (im2col::KC.min(TAPS * c_in) + columns) * im2col::MAX_TASK_PIXELS;
            return Scratch { caller: filter(im2col::packed_len(self)) + unrolled, task };
        };
        let TileCounts { n_tiles, block_tiles, run_tiles, is_wide } = winograd::tile_counts(self, tile);
        let t = tile.t;
        if is_wide {
            let task = t * t * block_tiles.min(n_tiles.next_multiple_of(MR)) * (c_in + NR);
            return Scratch { caller: filter(winograd::transformed_len(self, t)), task };
        }
        let run = run_tiles.min(n_tiles).next_multiple_of(MR);
        let pixels = self.pixels() * run.min(n_tiles) / n_tiles;
        Scratch {
            caller: t * t * run * c_in + pixels * columns,
            task: c_in * (TAPS + t) * NR + t * t * run * NR,
        }
    }

    fn weight_scratch(&self, tile: Option<Tile>) -> Scratch {
        let Self { c_in, c_out, .. } = *self;
        let columns = c_out.next_multiple_of(NR);
        let Some(tile) = tile else {
            let (n_chunks, n_blocks) = im2col::chunks_and_blocks(self);
            return Scratch {
                caller: columns * (self.pixels() + n_chunks * n_blocks * LANES),
                task: im2col::GROUP_BLOCKS * LANES * im2col::RUN_PIXELS,
            };
        };
        let (t, n_tiles) = (tile.t, winograd::tile_counts(self, tile).n_tiles);
        let run = winograd::weight_run_tiles(n_tiles, t);
        let sums = if run >= n_tiles { 0 } else { t * t * (LANES * NR + LANES) };
        let of_panels = columns / NR * (c_in / LANES) * (LANES * TAPS * NR + sums);
        Scratch { caller: t * t * run * c_in + of_panels, task: t * t * (run + LANES) * NR }
    }
}
