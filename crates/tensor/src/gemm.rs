//! The inner matrix product: a register tile of `MR` x `NR` sums, fed from packed panels.
//!
//! ```text
//! tile[i][j] += sum over k of a(i, k) * b[k][j]      i < MR, j < NR, k < k_len
//! ```
//!
//! This is the micro-kernel of Goto and van de Geijn (2008): the blocking around it, and what its panels
//! hold, belong to each convolution pass. `b` is always packed as `[k][NR]`. `a` comes in the two layouts
//! that NHWC images give by plain copies, so that nothing is ever transposed element by element:
//!
//! - [`multiply_rows`]: `a[i * stride + k]`, a row per output pixel (forward, backward to the input);
//! - [`multiply_columns`]: `a[k * row_len + i]`, a row per summed pixel (backward to the weight).

use wide::f32x16;

/// Rows of the register tile.
///
/// With AVX-512, 12 x 2 registers hold sums and 3 more the operands, of 32; 12 rather than 14 because it
/// divides `9 * c_in` for every channel count of ResNet9, and both run at the same share of the peak.
/// With AVX2, 6 x 2 of 16.
pub const MR: usize = if cfg!(target_feature = "avx512f") { 12 } else { 6 };
/// Columns of the register tile: two registers.
pub const NR: usize = LANES * TILE_VECTORS;
/// Longest `k` of one panel. Its `NR` columns (72 KiB) stream from the second-level cache, where the prefetcher keeps
/// up; shorter panels that fit the first level (256) cost more in reading and writing the sums between them: 151
/// against 137 images/s in the convolutions of a training step on two Zen 4 cores.
pub const KC: usize = 576;
/// Distances between the rows of an `a` panel that [`multiply_rows`] knows. Each is one cache line beyond a usual
/// number of channels, so that the rows of a tile do not all fall into the same set of the first-level cache.
const ROW_STRIDES: [usize; 4] = [64 + 16, 128 + 16, 256 + 16, KC + 16];

/// The distance between the rows of a panel whose rows hold `k_len` numbers.
///
/// # Panics
/// If `k_len` is beyond [`KC`].
#[must_use]
pub fn row_stride(k_len: usize) -> usize {
    let fits = ROW_STRIDES.into_iter().find(|stride| k_len + 16 <= *stride);
    fits.unwrap_or_else(|| panic!("row_stride: {k_len} is beyond {KC}"))
}

const LANES: usize = 16;
/// An `f32x16` is two registers with AVX2, one with AVX-512.
const TILE_VECTORS: usize = if cfg!(target_feature = "avx512f") { 2 } else { 1 };

/// The register tile; rows of `NR` sums.
pub type Tile = [[f32x16; TILE_VECTORS]; MR];

/// `NR` numbers from the front of `row`, zeros where it is shorter.
#[inline(always)]
fn load_row(row: &[f32]) -> [f32x16; TILE_VECTORS] {
    let mut full = [0.0; NR];
    match row.first_chunk::<NR>() {
        Some(chunk) => full = *chunk,
        None => full[..row.len()].copy_from_slice(row),
    }
    std::array::from_fn(|v| {
        f32x16::from(*full[v * LANES..].first_chunk::<LANES>().expect("NR = vectors * LANES"))
    })
}

/// A tile whose every row is `row` (a bias), zero-padded to `NR`.
#[inline(always)]
#[must_use]
pub fn broadcast_tile(row: &[f32]) -> Tile {
    [load_row(row); MR]
}

/// Reads up to `MR` rows of up to `NR` numbers, `stride` apart, from the front of `c`.
#[inline(always)]
#[must_use]
pub fn load_tile(c: &[f32], stride: usize, rows: usize, columns: usize) -> Tile {
    let mut tile = [[f32x16::ZERO; TILE_VECTORS]; MR];
    for (tile_row, row) in tile.iter_mut().zip(c.chunks(stride)).take(rows) {
        *tile_row = load_row(&row[..columns]);
    }
    tile
}

/// Writes the first `rows` rows and `columns` columns of `tile` to the front of `c`, rows `stride` apart.
#[inline(always)]
pub fn store_tile(tile: &Tile, c: &mut [f32], stride: usize, rows: usize, columns: usize) {
    for (tile_row, row) in tile.iter().zip(c.chunks_mut(stride)).take(rows) {
        for (vector, out) in tile_row.iter().zip(row[..columns].chunks_mut(LANES)) {
            let lanes = vector.to_array();
            match out.first_chunk_mut::<LANES>() {
                Some(chunk) => *chunk = lanes,
                None => out.copy_from_slice(&lanes[..out.len()]),
            }
        }
    }
}

/// One step of `k`: adds the outer product of `MR` numbers and one row of `b`.
#[inline(always)]
fn rank_one(tile: &mut Tile, a: impl Fn(usize) -> f32, b_row: &[f32; NR]) {
    let b = load_row(b_row);
    for (i, sums) in tile.iter_mut().enumerate() {
        let a_i = f32x16::splat(a(i));
        for (sum, b_v) in sums.iter_mut().zip(b) {
            *sum = a_i.mul_add(b_v, *sum);
        }
    }
}

/// `tile += a b` with `a` as `MR` rows, `stride` apart.
///
/// # Shapes
/// `a`: at least `MR * stride`; `b`: `k_len * NR`, `k_len` below `stride`.
///
/// # Panics
/// If `stride` is none that [`row_stride`] gives, or a panel is too short.
pub fn multiply_rows(a: &[f32], stride: usize, b: &[f32], tile: &mut Tile) {
    // A stride that the compiler knows makes the addresses of all rows offsets from a single register.
    const S0: usize = ROW_STRIDES[0];
    const S1: usize = ROW_STRIDES[1];
    const S2: usize = ROW_STRIDES[2];
    const S3: usize = ROW_STRIDES[3];
    match stride {
        S0 => multiply_rows_at::<S0>(a, b, tile),
        S1 => multiply_rows_at::<S1>(a, b, tile),
        S2 => multiply_rows_at::<S2>(a, b, tile),
        S3 => multiply_rows_at::<S3>(a, b, tile),
        _ => panic!("multiply_rows: unknown stride {stride}"),
    }
}

#[inline(never)]
fn multiply_rows_at<const STRIDE: usize>(a: &[f32], b: &[f32], tile: &mut Tile) {
    let a = &a[..MR * STRIDE];
    let mut sums = *tile;
    for (k, b_row) in b.as_chunks::<NR>().0.iter().take(STRIDE).enumerate() {
        rank_one(&mut sums, |i| a[i * STRIDE + k], b_row);
    }
    *tile = sums;
}

/// `tile += a b` with `a` as one row of `row_len` numbers per `k`, of which the `MR` from `first` on count.
///
/// # Shapes
/// `a`: `k_len * row_len`; `b`: `k_len * NR`.
#[inline(never)]
pub fn multiply_columns(a: &[f32], row_len: usize, first: usize, b: &[f32], tile: &mut Tile) {
    let mut sums = *tile;
    for (a_row, b_row) in a.chunks_exact(row_len).zip(b.as_chunks::<NR>().0) {
        let a_row: &[f32; MR] =
            a_row[first..].first_chunk().expect("multiply_columns: MR numbers from first on");
        rank_one(&mut sums, |i| a_row[i], b_row);
    }
    *tile = sums;
}
