//! The forward pass of evaluation for few tiles: a single image, or the deep layers of a few.
//!
//! ```text
//! for each share of the panels of output channels, in parallel, for each region:
//!   V of all tiles
//!   for each panel:
//!     product = V U
//!     tiles = epilogue(At product A)
//! y = tiles, their panels side by side
//! ```
//!
//! Each share computes `V` for itself: that takes less time than a thread needs to get it from another.
//!
//! A single image gives the deep layers one to four tiles. Reading a transformed filter from memory would take longer than all
//! else, for it is up to 22 times as large as the filter. So the filter itself is read, and transformed in registers (gathered).

use std::ops::Range;

use rayon::prelude::*;

use super::Layout;
use super::correlate::join_tiles;
use super::tiling::{Region, Tiling};
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Filter, Scratch, TAPS};
use crate::gemm::{NR, multiply_rows};
use crate::lanes::LANES;
use crate::scratch::with_scratch;

/// Most tiles for which each share of the panels computes `V`.
const MAX_TILES: usize = 32;
/// Most tiles for which transforming the filter in registers is faster than reading it transformed.
const MAX_GATHERED_TILES: usize = 4;
/// Rows for the tiles in each block of `V`, most of them empty. Without the gaps the reads of the parts, sixteen or more, would
/// be as many streams to prefetch, and the product of a single tile takes a quarter longer.
const V_ROWS: usize = 12;

/// Whether the batch has few tiles.
pub(super) fn fits(tiling: &Tiling) -> bool {
    tiling.n_tiles() <= MAX_TILES
}

/// Whether evaluation reads the filter itself, in the form of [`gather_vectors`](super::filter::gather_vectors).
pub(in crate::conv2d) fn reads_gathered(tiling: &Tiling) -> bool {
    tiling.n_tiles() <= MAX_GATHERED_TILES
}

/// The layouts of `V` and of the products of one panel.
fn layouts(region: &Region) -> (Layout, Layout) {
    let (n_parts, n_tiles) = (region.tile.n_parts(), region.n_tiles());
    let v_layout = Layout::by_part(n_parts, n_tiles.next_multiple_of(V_ROWS), region.g.c_in, LANES);
    (v_layout, Layout::by_part(n_parts, n_tiles, NR, NR))
}

/// Elements in the finished tiles of a panel; and in `V` and the products of a region.
fn lens(tiling: &Tiling, stride: usize) -> (usize, usize) {
    let own_len = |region| {
        let (v, product) = layouts(&region);
        v.len + product.len
    };
    let finished_len = tiling.regions().map(|region| region.finished_len(stride)).sum();
    (finished_len, tiling.regions().map(own_len).max().unwrap_or(0))
}

/// The scratch memory of [`correlate`].
pub(super) fn scratch(tiling: &Tiling) -> Scratch {
    let (finished_len, own_len) = lens(tiling, 1);
    Scratch { caller: tiling.n_panels() * finished_len, task: own_len, shared: 0 }
}

/// `y = epilogue(x * weight)`.
///
/// # Shapes
/// `filter`: prepared or gathered.
pub(super) fn correlate(tiling: &Tiling, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
    let (finished_len, own_len) = lens(tiling, epilogue.stride());
    let n_panels = tiling.n_panels();
    let task_panels = n_panels.div_ceil(rayon::current_num_threads());
    with_scratch(n_panels * finished_len, |finished| {
        finished.par_chunks_mut(task_panels * finished_len).enumerate().for_each(|(task, finished)| {
            let first = task * task_panels;
            with_scratch(own_len, |own| {
                finish_panels(tiling, x, filter, epilogue, first, (finished, finished_len), own)
            });
        });
        join_tiles(&tiling.g, tiling.regions(), (finished, finished_len), epilogue, y);
    });
}

/// All tiles of the panels from `first` on.
fn finish_panels(
    tiling: &Tiling,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    first: usize,
    (finished, panel_len): (&mut [f32], usize),
    scratch: &mut [f32],
) {
    let (mut offset, mut first_part) = (0, 0);
    for region in tiling.regions() {
        let (v_layout, product_layout) = layouts(&region);
        let (v, product) = scratch.split_at_mut(v_layout.len);
        region.read_ahead(x, tiling.g.c_in, 0..region.n_tiles());
        region.tile.input(&region, x, 0..region.n_tiles(), v_layout, v);
        let finished_len = region.finished_len(epilogue.stride());
        for (panel, finished) in finished.chunks_exact_mut(panel_len).enumerate() {
            let channels = tiling.panel_channels(first + panel);
            match filter {
                Filter::Prepared(u) => {
                    let first_part = (first + panel) * tiling.n_parts() + first_part;
                    multiply_prepared(&region, &u[first_part * tiling.g.c_in * NR..], v, product);
                }
                Filter::Gathered(vectors) => {
                    multiply_gathered(&region, channels.clone(), vectors, v, product)
                }
                Filter::Plain(_) | Filter::Reversed(_) => unreachable!("only in evaluation"),
            }
            let product = (&*product, product_layout.part_stride);
            region.tile.output(product, epilogue, channels, &mut finished[offset..][..finished_len]);
        }
        offset += finished_len;
        first_part += region.tile.n_parts();
    }
}

/// `product = V U` of a panel, where `u` begins with its parts.
fn multiply_prepared(region: &Region, u: &[f32], v: &[f32], product: &mut [f32]) {
    let (v_layout, product_layout) = layouts(region);
    for (part, u) in u.chunks_exact(region.g.c_in * NR).take(region.tile.n_parts()).enumerate() {
        let product = &mut product[part * product_layout.part_stride..][..region.n_tiles() * NR];
        multiply_rows(&v[part * v_layout.part_stride..], v_layout.group_stride, u, product, false);
    }
}

/// `product = V U` of the panel with these channels.
fn multiply_gathered(
    region: &Region,
    channels: Range<usize>,
    vectors: &[f32],
    v: &[f32],
    product: &mut [f32],
) {
    let (v_layout, product_layout) = layouts(region);
    let vector_len = region.g.c_in * TAPS * LANES;
    for (o, c) in channels.step_by(LANES).enumerate() {
        let taps = &vectors[c / LANES * vector_len..][..vector_len];
        let product = (&mut product[o * LANES..], product_layout);
        region.tile.multiply_few(region.n_tiles(), taps, (v, v_layout), product);
    }
}
