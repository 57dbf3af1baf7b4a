//! How much the passes of a convolution multiply and read: what a benchmark compares their time with.

use super::Conv2dGeometry;
use super::winograd;

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conv2dPass {
    /// [`conv2d_forward`](super::conv2d_forward).
    Forward,
    /// [`conv2d_backward_input`](super::conv2d_backward_input).
    BackwardInput,
    /// [`conv2d_backward_weight`](super::conv2d_backward_weight).
    BackwardWeight,
}

impl Conv2dGeometry {
    /// Multiplications of the algorithm in any pass of training, without those of its transforms.
    #[must_use]
    pub fn products(&self) -> f64 {
        let pairs = self.c_in as f64 * self.c_out as f64;
        match self.algorithm().tiling(self) {
            None => self.flops() / 2.0,
            Some(tiling) => {
                tiling.tiles_and_parts().map(|(tiles, parts)| (tiles * parts) as f64 * pairs).sum()
            }
        }
    }

    /// Bytes that a pass of training reads from beyond the L2 cache if the blocks that should stay there do: each input once,
    /// and the other operand of the products as often as the blocking reads it.
    #[must_use]
    pub fn bytes_read(&self, pass: Conv2dPass) -> f64 {
        let algorithm = self.algorithm();
        let forward = |g: &Self| match algorithm.tiling(g) {
            None => g.x_len() + g.weight_len(),
            Some(tiling) => winograd::correlate_reads(&tiling),
        };
        let elements = match (pass, algorithm.tiling(self)) {
            (Conv2dPass::Forward, _) => forward(self),
            (Conv2dPass::BackwardInput, _) => forward(&self.reversed()),
            (Conv2dPass::BackwardWeight, None) => self.x_len() + self.y_len(),
            (Conv2dPass::BackwardWeight, Some(tiling)) => winograd::correlate_patches_reads(&tiling),
        };
        (elements * size_of::<f32>()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_tiles() {
        // 32 = 4 * 6 + 2 * 4 takes 4 * 8 + 2 * 6 products.
        let g = Conv2dGeometry::new(128, 32, 32, 16, 32);
        assert_eq!(g.products(), 128.0 * 44.0 * 44.0 * 16.0 * 32.0);
        // 16 = 2 * 6 + 4 takes 22, four tiles of 4 take 24, but of one kind.
        let small = Conv2dGeometry::new(32, 16, 16, 16, 32);
        assert_eq!(small.products(), 32.0 * 24.0 * 24.0 * 16.0 * 32.0);
        let direct = Conv2dGeometry::new(2, 8, 8, 3, 5);
        assert_eq!(direct.products(), 2.0 * 64.0 * 9.0 * 15.0);
    }

    #[test]
    fn every_operand_is_read_at_least_once() {
        for g in [(12, 32, 32, 16, 32), (128, 3, 3, 512, 512), (2, 8, 8, 3, 5)] {
            let g = Conv2dGeometry::new(g.0, g.1, g.2, g.3, g.4);
            assert!(g.bytes_read(Conv2dPass::Forward) > 4.0 * g.x_len() as f64);
            assert!(g.bytes_read(Conv2dPass::BackwardInput) > 4.0 * g.y_len() as f64);
            assert!(g.bytes_read(Conv2dPass::BackwardWeight) >= 4.0 * (g.x_len() + g.y_len()) as f64);
        }
    }
}
