//! What a pass of a convolution has to do.

use roentgen_tensor::conv2d::{Conv2dGeometry, Conv2dPass};
use serde::{Deserialize, Serialize};

/// Multiplications and bytes, as the kernels count them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Work {
    /// Multiplications of the algorithm.
    pub(super) products: f64,
    /// Bytes that are read from beyond the second-level cache.
    pub(super) bytes_read: f64,
}

impl Work {
    /// The work of a pass of a convolution.
    pub(super) fn of(g: &Conv2dGeometry, pass: Conv2dPass) -> Self {
        Self { products: g.products(), bytes_read: g.bytes_read(pass) }
    }

    /// The time of the products where nothing else takes time.
    pub(super) fn ms_at_peak(self, peak_gflops: f64) -> f64 {
        2.0 * self.products / peak_gflops / 1e6
    }
}
