//! What a pass of a convolution has to do.

use roentgen_tensor::conv2d::{Conv2dAlgorithm, Conv2dGeometry};
use serde::{Deserialize, Serialize};

/// Multiplications and bytes, as far as the kernels give their numbers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Work {
    /// Multiplications of the algorithm.
    pub(super) products: Option<f64>,
    /// Bytes of the operands that are read from beyond the second-level cache.
    pub(super) bytes_beyond_l2: Option<f64>,
}

impl Work {
    /// The work of any pass of a convolution.
    pub(super) fn of(g: &Conv2dGeometry) -> Self {
        // Tiles have fewer products than the definition; the kernels do not say how many.
        let is_direct = g.algorithm() == Conv2dAlgorithm::Im2col;
        Self { products: is_direct.then(|| g.flops() / 2.0), bytes_beyond_l2: None }
    }

    /// The time of the products where nothing else takes time.
    pub(super) fn ms_at_peak(self, peak_gflops: f64) -> Option<f64> {
        Some(2.0 * self.products? / peak_gflops / 1e6)
    }
}
