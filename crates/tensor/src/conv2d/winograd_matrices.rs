//! The transforms of Winograd's convolution as matrices, and their application to vectors of channels.
//!
//! Each set comes from the Toom-Cook interpolation at a few points and infinity (Lavin and Gray 2016; Blahut,
//! "Fast Algorithms for Signal Processing", 2010, chapter 5). For a point `a` among the finite points:
//!
//! ```text
//! row of Bt:     coefficients of the product over the other points b of (x - b)
//! row of G:      (1, a, a^2) over the product over the other points b of (a - b)
//! column of At:  (1, a, a^2, ...)
//! ```
//!
//! and for infinity the product over all points, `(0, 0, 1)` and `(..., 0, 1)`. For `M = 4` and 2 a sign and a factor
//! were moved between `Bt` and `G`, as is usual.

use wide::f32x16;

/// The transforms of `M` x `M` outputs from `T` x `T` inputs, `T = M + 2`.
pub(super) trait TileMatrices<const T: usize, const M: usize>: Sync {
    /// `Bt`.
    const INPUT: [[f32; T]; T];
    /// `G`.
    const FILTER: [[f32; 3]; T];
    /// `At`.
    const OUTPUT: [[f32; T]; M];
}

/// F(2x2, 3x3), from the points 0, 1, -1.
#[derive(Debug)]
pub(super) struct F2;

impl TileMatrices<4, 2> for F2 {
    const INPUT: [[f32; 4]; 4] =
        [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]];
    const FILTER: [[f32; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    const OUTPUT: [[f32; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 1.0]];
}

/// F(3x3, 3x3), from the points 0, 1, -1, 2.
#[derive(Debug)]
pub(super) struct F3;

impl TileMatrices<5, 3> for F3 {
    const INPUT: [[f32; 5]; 5] = [
        [2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 1.0, 0.0],
        [0.0, 2.0, -3.0, 1.0, 0.0],
        [0.0, -1.0, 0.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0],
    ];
    const FILTER: [[f32; 3]; 5] = [
        [1.0 / 2.0, 0.0, 0.0],
        [-1.0 / 2.0, -1.0 / 2.0, -1.0 / 2.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0],
        [0.0, 0.0, 1.0],
    ];
    const OUTPUT: [[f32; 5]; 3] =
        [[1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 4.0, 1.0]];
}

/// F(4x4, 3x3), from the points 0, 1, -1, 2, -2.
#[derive(Debug)]
pub(super) struct F4;

impl TileMatrices<6, 4> for F4 {
    const INPUT: [[f32; 6]; 6] = [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ];
    const FILTER: [[f32; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    const OUTPUT: [[f32; 6]; 4] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ];
}

/// The transpose of a matrix.
pub(super) const fn transpose<const R: usize, const C: usize>(matrix: [[f32; C]; R]) -> [[f32; R]; C] {
    let mut out = [[0.0; R]; C];
    let mut i = 0;
    while i < R {
        let mut j = 0;
        while j < C {
            out[j][i] = matrix[i][j];
            j += 1;
        }
        i += 1;
    }
    out
}

/// `matrix * x`, each element of `x` a vector of channels.
///
/// The matrix is a constant and the loops are short: unrolled, zeros cost nothing and ones no multiplication.
#[inline(always)]
fn apply<const R: usize, const C: usize>(matrix: &[[f32; C]; R], x: &[f32x16; C]) -> [f32x16; R] {
    std::array::from_fn(|i| {
        let mut sum: Option<f32x16> = None;
        for (factor, x) in matrix[i].iter().zip(x) {
            sum = match sum {
                _ if *factor == 0.0 => sum,
                None => Some(if *factor == 1.0 { *x } else { f32x16::splat(*factor) * *x }),
                Some(sum) if *factor == 1.0 => Some(sum + *x),
                Some(sum) if *factor == -1.0 => Some(sum - *x),
                Some(sum) => Some(f32x16::splat(*factor).mul_add(*x, sum)),
            };
        }
        sum.unwrap_or(f32x16::ZERO)
    })
}

/// `matrix * x * matrix^T`.
#[inline(always)]
pub(super) fn sandwich<const R: usize, const C: usize>(
    matrix: &[[f32; C]; R],
    x: &[[f32x16; C]; C],
) -> [[f32x16; R]; R] {
    let columns: [[f32x16; R]; C] = std::array::from_fn(|j| apply(matrix, &std::array::from_fn(|i| x[i][j])));
    std::array::from_fn(|i| apply(matrix, &std::array::from_fn(|j| columns[j][i])))
}
