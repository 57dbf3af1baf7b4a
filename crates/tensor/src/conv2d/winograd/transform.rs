//! A small constant matrix applied to vectors of channels; sums that its rows or columns share are computed once.

use wide::f32x16;

/// A matrix of Winograd's convolution, and which of its rows and columns share sums.
///
/// A pair of interpolation points `a`, `-a` gives two neighbouring rows in `Bt`, `G` and `A` that differ in the sign of
/// every other element, so that their results are `(even + odd, even - odd)`. Their transposes have such columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transform<const R: usize, const C: usize> {
    /// The matrix itself.
    pub(super) matrix: [[f32; C]; R],
    rows: [PairRole; R],
    columns: [PairRole; C],
}

/// The role of a row or column in a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PairRole {
    Alone,
    First,
    /// The first of the pair with its odd elements negated.
    Second,
}

impl<const R: usize, const C: usize> Transform<R, C> {
    pub(super) const fn new(matrix: [[f32; C]; R]) -> Self {
        Self { matrix, rows: row_pairs(&matrix), columns: row_pairs(&transpose(matrix)) }
    }
}

/// A transform as a type, so that the compiler knows its elements where it is applied.
pub(super) trait Constant<const R: usize, const C: usize> {
    const TRANSFORM: Transform<R, C>;
}

/// Finds the pairs of rows.
const fn row_pairs<const R: usize, const C: usize>(matrix: &[[f32; C]; R]) -> [PairRole; R] {
    let mut roles = [PairRole::Alone; R];
    let mut i = 0;
    while i + 1 < R {
        let (mut alike, mut n_odd, mut j) = (true, 0, 0);
        while j < C {
            let mirrored = if j % 2 == 0 { matrix[i][j] } else { -matrix[i][j] };
            alike = alike && matrix[i + 1][j] == mirrored;
            n_odd += (j % 2 == 1 && matrix[i][j] != 0.0) as usize;
            j += 1;
        }
        if alike && n_odd > 0 {
            (roles[i], roles[i + 1]) = (PairRole::First, PairRole::Second);
            i += 1;
        }
        i += 1;
    }
    roles
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

/// Repeats a block for each index from 0 to 7 that is below the limit. The compiler does not unroll two nested loops of
/// this size by itself, and then multiplications by 0 and 1 would not be removed.
macro_rules! unrolled {
    ($i:ident < $limit:expr, $body:block) => {
        unrolled!(@ $i, $limit, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $i:ident, $limit:expr, $body:block, $($index:literal)*) => {
        $(if $index < $limit { const $i: usize = $index; $body })*
    };
}

/// `factor * x + sum`, for a factor that the compiler knows.
#[inline(always)]
fn add_product(sum: Option<f32x16>, factor: f32, x: f32x16) -> Option<f32x16> {
    match sum {
        _ if factor == 0.0 => sum,
        None if factor == 1.0 => Some(x),
        None => Some(f32x16::splat(factor) * x),
        Some(sum) if factor == 1.0 => Some(sum + x),
        Some(sum) if factor == -1.0 => Some(sum - x),
        Some(sum) => Some(f32x16::splat(factor).mul_add(x, sum)),
    }
}

/// `K * x`, each element of `x` a vector of channels.
#[inline(always)]
pub(super) fn apply<K: Constant<R, C>, const R: usize, const C: usize>(x: &[f32x16; C]) -> [f32x16; R] {
    let Transform { matrix, rows, columns } = const { &K::TRANSFORM };
    // For a pair of columns: their sum, used in even rows, and their difference, used in odd rows.
    let mut combined = [*x, *x];
    unrolled!(J < C, {
        if columns[J] == PairRole::First {
            combined[0][J] = x[J] + x[J + 1];
            combined[1][J] = x[J] - x[J + 1];
        }
    });
    let mut out = [f32x16::ZERO; R];
    unrolled!(I < R, {
        if rows[I] != PairRole::Second {
            let (mut even, mut odd) = (None, None);
            unrolled!(J < C, {
                if columns[J] != PairRole::Second {
                    let sum = if rows[I] == PairRole::First && J % 2 == 1 { &mut odd } else { &mut even };
                    *sum = add_product(*sum, matrix[I][J], combined[I % 2][J]);
                }
            });
            let even = even.unwrap_or(f32x16::ZERO);
            out[I] = even;
            if rows[I] == PairRole::First {
                let odd = odd.unwrap_or(f32x16::ZERO);
                (out[I], out[I + 1]) = (even + odd, even - odd);
            }
        }
    });
    out
}

/// `KD * x * KA^T`: `load` returns the rows of `x`, and `store(i, j, _)` gets the elements of the result. `between` is for the
/// intermediate result; callers reuse one, because clearing it takes as long as a transform.
#[inline(always)]
pub(super) fn sandwich<KD, KA, const RD: usize, const CD: usize, const RA: usize, const CA: usize>(
    between: &mut [[f32x16; RA]; CD],
    load: impl Fn(usize) -> [f32x16; CA],
    mut store: impl FnMut(usize, usize, f32x16),
) where
    KD: Constant<RD, CD>,
    KA: Constant<RA, CA>,
{
    for (i, row) in between.iter_mut().enumerate() {
        *row = apply::<KA, RA, CA>(&load(i));
    }
    // Not `between.map`, which would copy the rows first.
    #[expect(clippy::needless_range_loop, reason = "a column has no iterator")]
    for j in 0..RA {
        let column = apply::<KD, RD, CD>(&std::array::from_fn(|i| between[i][j]));
        for (i, vector) in column.into_iter().enumerate() {
            store(i, j, vector);
        }
    }
}
