//! Convolution as a matrix product of unrolled patches; the unrolling is part of the packing.
//!
//! ```text
//! correlate (forward, and backward to the input):
//!   many pixels, few channels (by_pixels):         few pixels, many channels (by_panels):
//!     for each block of pixels, in parallel:         patches of all pixels
//!       for each block of k = (u, v, c):             for each panel, in parallel:
//!         patches of the block                         y = epilogue(patches * panel)
//!         for each panel of NR output channels:
//!           sums += patches * panel
//!       y = epilogue(sums)
//!
//! correlate_patches (backward to the weight):
//!   for each chunk of pixels and each group of k, in parallel:
//!     for each run of RUN_PIXELS pixels of the chunk:
//!       for each panel:  partial += patches transposed * grad_y
//!   add the partial gradients in the order of their chunks
//! ```
//!
//! The whole unrolled matrix is never in memory: each block of it is made where it is used. Channels are contiguous, so a
//! patch is nine copies, or three where a row of the filter is within a vector. The division into tasks depends on the geometry
//! alone and the order of each sum is fixed, so the bits are the same with any number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::Epilogue;
use super::{Conv2dGeometry, FILTER_SIDE, Filter, TAPS};
use crate::gemm::{MR, NR, multiply_columns, multiply_rows};
use crate::lanes::{LANES, load_short, store};
use crate::scratch::with_scratch;

/// Longest block of `k`. With [`MAX_TASK_PIXELS`] its patches take 222 KiB, which fits the L2 cache with room to spare.
pub(super) const KC: usize = 576;
/// Most output pixels in one task.
pub(super) const MAX_TASK_PIXELS: usize = 96;
/// Number of tasks to aim for, so that a small problem still keeps many threads busy.
const MIN_TASKS: usize = 32;

/// Elements in the packed filter.
pub(super) fn packed_len(g: &Conv2dGeometry) -> usize {
    TAPS * g.c_in * g.c_out.next_multiple_of(NR)
}

/// Packs the filter as `[panel][k][NR]`, which the product reads; the last panel is padded with zeros.
pub(super) fn pack_filter(g: &Conv2dGeometry, filter: Filter, packed: &mut [f32]) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    packed.par_chunks_exact_mut(c_in * NR).enumerate().for_each(|(index, rows)| {
        let (o, tap) = (index / TAPS * NR, index % TAPS);
        let valid = NR.min(c_out - o);
        for (c, row) in rows.chunks_exact_mut(NR).enumerate() {
            match filter {
                Filter::Plain(weight) => {
                    row[..valid].copy_from_slice(&weight[(c * TAPS + tap) * c_out + o..][..valid]);
                }
                Filter::Reversed(weight) => {
                    for (i, slot) in row[..valid].iter_mut().enumerate() {
                        *slot = weight[((o + i) * TAPS + TAPS - 1 - tap) * c_in + c];
                    }
                }
                Filter::Gathered(_) | Filter::Prepared(_) => {
                    unreachable!("a prepared filter is not packed again")
                }
            }
            row[valid..].fill(0.0);
        }
    });
}

/// `y = epilogue(patches(x) * weight)`.
pub(super) fn correlate(g: &Conv2dGeometry, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
    let mut multiply = |packed: &[f32]| {
        let is_small = g.pixels() < g.c_out;
        if is_small { by_panels(g, x, packed, epilogue, y) } else { by_pixels(g, x, packed, epilogue, y) }
    };
    match filter {
        Filter::Prepared(packed) => multiply(packed),
        _ => with_scratch(packed_len(g), |packed| {
            pack_filter(g, filter, packed);
            multiply(packed);
        }),
    }
}

fn by_pixels(g: &Conv2dGeometry, x: &[f32], packed: &[f32], epilogue: Epilogue, y: &mut [f32]) {
    let k_len = TAPS * g.c_in;
    let task_pixels = (g.pixels() / MIN_TASKS).clamp(MR, MAX_TASK_PIXELS).next_multiple_of(MR);
    let patches_len = KC.min(k_len).next_multiple_of(LANES) * task_pixels;
    y.par_chunks_mut(task_pixels * g.c_out).enumerate().for_each(|(task, y)| {
        let pixels = task * task_pixels..task * task_pixels + y.len() / g.c_out;
        let rows = pixels.len().next_multiple_of(MR);
        with_scratch(patches_len + g.c_out.next_multiple_of(NR) * rows, |scratch| {
            let (patches, sums) = scratch.split_at_mut(patches_len);
            for start in (0..k_len).step_by(KC) {
                let k = start..(start + KC).min(k_len);
                copy_patches(g, x, pixels.clone(), k.clone(), rows, patches);
                for (panel, sums) in packed.chunks_exact(k_len * NR).zip(sums.chunks_exact_mut(rows * NR)) {
                    multiply_rows(patches, rows * LANES, &panel[k.start * NR..k.end * NR], sums, k.start > 0);
                }
            }
            epilogue.finish(sums, rows, 0, g.c_out, y);
        });
    });
}

fn by_panels(g: &Conv2dGeometry, x: &[f32], packed: &[f32], epilogue: Epilogue, y: &mut [f32]) {
    let k_len = TAPS * g.c_in;
    let rows = g.pixels().next_multiple_of(MR);
    let patches_len = k_len.next_multiple_of(LANES) * rows;
    with_scratch(patches_len + g.c_out.next_multiple_of(NR) * rows, |scratch| {
        let (patches, sums) = scratch.split_at_mut(patches_len);
        let block_k = k_len.div_ceil(MIN_TASKS).next_multiple_of(LANES);
        patches.par_chunks_mut(block_k * rows).enumerate().for_each(|(block, patches)| {
            let k = block * block_k..((block + 1) * block_k).min(k_len);
            copy_patches(g, x, 0..g.pixels(), k, rows, patches);
        });
        let patches = &*patches;
        let panels = packed.par_chunks_exact(k_len * NR);
        sums.par_chunks_exact_mut(rows * NR).zip(panels).for_each(|(sums, panel)| {
            multiply_rows(patches, rows * LANES, panel, sums, false);
        });
        let sums = &*sums;
        y.par_chunks_mut(MR * g.c_out).enumerate().for_each(|(task, y)| {
            epilogue.finish(sums, rows, task * MR, g.c_out, y);
        });
    });
}

/// Blocks of `LANES` rows of the weight gradient in one group. For one run of pixels, their patches, a panel of `grad_y`
/// and the sums fit the L2 cache together.
const GROUP_BLOCKS: usize = 4;
/// Pixels in one run of the backward pass to the weight.
const RUN_PIXELS: usize = 288;
/// Elements in the patches of a group and a panel of `grad_y`, for one run.
pub(super) const WEIGHT_TASK_LEN: usize = (GROUP_BLOCKS * LANES + NR) * RUN_PIXELS;

/// Chunks of pixels, and blocks of `LANES` rows of the weight gradient.
pub(super) fn chunks_and_blocks(g: &Conv2dGeometry) -> (usize, usize) {
    let n_blocks = (TAPS * g.c_in).div_ceil(LANES);
    // Enough chunks of pixels for MIN_TASKS tasks, but no chunk shorter than one run.
    let n_chunks = (MIN_TASKS / n_blocks.div_ceil(GROUP_BLOCKS)).clamp(1, g.pixels().div_ceil(RUN_PIXELS));
    (n_chunks, n_blocks)
}

/// `grad_weight = patches(x)^T * grad_y`.
pub(super) fn correlate_patches(g: &Conv2dGeometry, x: &[f32], grad_y: &[f32], grad_weight: &mut [f32]) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    let (k_len, n_pixels, n_panels) = (TAPS * c_in, g.pixels(), c_out.div_ceil(NR));
    let (n_chunks, n_blocks) = chunks_and_blocks(g);
    let chunk_pixels = n_pixels.div_ceil(n_chunks);
    let n_chunks = n_pixels.div_ceil(chunk_pixels);
    // Sums as [chunk][block of k][panel][LANES][NR].
    let block_len = n_panels * LANES * NR;
    let chunk_len = n_blocks * block_len;
    with_scratch(n_chunks * chunk_len, |partial| {
        let groups = partial.par_chunks_exact_mut(chunk_len).enumerate().flat_map(|(chunk, partial)| {
            let groups = partial.par_chunks_mut(GROUP_BLOCKS * block_len).enumerate();
            groups.map(move |(group, partial)| (chunk, group, partial))
        });
        groups.for_each(|(chunk, group, partial)| {
            let first_k = group * GROUP_BLOCKS * LANES;
            let k = first_k..(first_k + GROUP_BLOCKS * LANES).min(k_len);
            let pixels = chunk * chunk_pixels..((chunk + 1) * chunk_pixels).min(n_pixels);
            with_scratch(WEIGHT_TASK_LEN, |scratch| {
                let (patches, panel) = scratch.split_at_mut(GROUP_BLOCKS * LANES * RUN_PIXELS);
                for start in pixels.clone().step_by(RUN_PIXELS) {
                    let run = start..(start + RUN_PIXELS).min(pixels.end);
                    copy_patches(g, x, run.clone(), k.clone(), run.len(), patches);
                    let panel = &mut panel[..run.len() * NR];
                    for panel_idx in 0..n_panels {
                        pack_panel(&grad_y[run.start * c_out..run.end * c_out], c_out, panel_idx * NR, panel);
                        for (block, sums) in partial.chunks_exact_mut(block_len).enumerate() {
                            let patches = &patches[block * run.len() * LANES..][..run.len() * LANES];
                            let sums = &mut sums[panel_idx * LANES * NR..][..LANES * NR];
                            sum_products(patches, panel, sums, start > pixels.start);
                        }
                    }
                }
            });
        });

        let partial = &*partial;
        grad_weight.par_chunks_exact_mut(c_out).enumerate().for_each(|(index, grad)| {
            let k = index % TAPS * c_in + index / TAPS;
            grad.fill(0.0);
            for chunk in partial.chunks_exact(chunk_len) {
                let sums = chunk[k / LANES * block_len..][..block_len].chunks_exact(LANES * NR);
                for (grad, sums) in grad.chunks_mut(NR).zip(sums) {
                    for (grad, sum) in grad.iter_mut().zip(&sums[k % LANES * NR..]) {
                        *grad += sum;
                    }
                }
            }
        });
    });
}

#[inline(never)]
fn sum_products(patches: &[f32], grad: &[f32], sums: &mut [f32], accumulate: bool) {
    multiply_columns(std::iter::once((patches, grad)), sums, accumulate, &[]);
}

/// Packs `NR` channels of `y`, `(pixels, c)`, from channel `o` on as `[pixel][NR]`, with zeros beyond the channels.
fn pack_panel(y: &[f32], c: usize, o: usize, panel: &mut [f32]) {
    for (row, y) in panel.chunks_exact_mut(NR).zip(y.chunks_exact(c)) {
        for v in (0..NR).step_by(LANES) {
            store(load_short(y.get(o + v..).unwrap_or(&[])), &mut row[v..]);
        }
    }
}

/// Copies the entries `k` of the patches around `pixels` to `[block of k][row][LANES]`, one row for each pixel, with zeros
/// outside the image.
fn copy_patches(
    g: &Conv2dGeometry,
    x: &[f32],
    pixels: Range<usize>,
    k: Range<usize>,
    rows: usize,
    out: &mut [f32],
) {
    for (block, start) in k.clone().step_by(LANES).enumerate() {
        let k = start..(start + LANES).min(k.end);
        for (row, pixel) in pixels.clone().enumerate() {
            let out = &mut out[(block * rows + row) * LANES..];
            if copy_lines(g, x, pixel, k.start, out).is_none() {
                copy_taps(g, x, pixel, k.clone(), out);
            }
        }
    }
}

/// Copies the entries from `k` on of the patch around a pixel, `LANES` or more, as whole vectors; `None` where that is impossible.
/// Only a row of the filter, three taps of few channels, is within a vector. What is behind it is overwritten by the next row and
/// the next patch.
#[inline(always)]
fn copy_lines(g: &Conv2dGeometry, x: &[f32], pixel: usize, k: usize, out: &mut [f32]) -> Option<()> {
    let line_len = FILTER_SIDE * g.c_in;
    let (i, j) = (pixel / g.w % g.h, pixel % g.w);
    if line_len > LANES || j == 0 || j + 1 == g.w {
        return None;
    }
    for u in 0..FILTER_SIDE {
        let line = u * line_len;
        if line + line_len <= k || line >= k + LANES {
            continue;
        }
        let values = if (1..=g.h).contains(&(i + u)) {
            let source = (pixel + u * g.w - g.w - 1) * g.c_in + k.saturating_sub(line);
            *x.get(source..)?.first_chunk::<LANES>()?
        } else {
            [0.0; LANES]
        };
        *out.get_mut(line.saturating_sub(k)..)?.first_chunk_mut()? = values;
    }
    Some(())
}

/// Copies the entries `k` of the patch around a pixel.
fn copy_taps(g: &Conv2dGeometry, x: &[f32], pixel: usize, k: Range<usize>, out: &mut [f32]) {
    let c = g.c_in;
    let (i, j) = (pixel / g.w % g.h, pixel % g.w);
    // The three taps of a row of the filter are contiguous, unless one of them is outside the image.
    let run = if j > 0 && j + 1 < g.w { FILTER_SIDE } else { 1 };
    let mut rest = &mut out[..k.len()];
    for tap in (k.start / c / run * run..k.end.div_ceil(c)).step_by(run) {
        let (u, v) = (tap / FILTER_SIDE, tap % FILTER_SIDE);
        let entries = k.start.max(tap * c) - tap * c..k.end.min((tap + run) * c) - tap * c;
        let (patch, tail) = rest.split_at_mut(entries.len());
        rest = tail;
        let inside = (1..=g.h).contains(&(i + u)) && (run > 1 || (1..=g.w).contains(&(j + v)));
        if inside {
            let source = (pixel + u * g.w + v - g.w - 1) * c;
            copy_short(&x[source + entries.start..source + entries.end], patch);
        } else {
            patch.fill(0.0);
        }
    }
}

/// Copies; for a whole vector, or for single elements, without calling `memcpy`.
#[inline(always)]
fn copy_short(source: &[f32], out: &mut [f32]) {
    match (source.first_chunk::<LANES>(), out.first_chunk_mut::<LANES>()) {
        (Some(source), Some(out)) => *out = *source,
        _ => out.iter_mut().zip(source).for_each(|(out, source)| *out = *source),
    }
}
