//! Convolution as a matrix product over unrolled patches, the unrolling folded into the packing.
//!
//! ```text
//! correlate (forward, and backward to the input):
//!   for each block of output pixels, in parallel:
//!     for each block of k = (u, v, c):
//!       copy the pixels' patches, as far as they lie in the block, into rows of a panel
//!       for each panel of NR output channels, for each MR rows:  y tile += rows * panel
//!
//! correlate_patches (backward to the weight):
//!   for each chunk of pixels and each block of k, in parallel:
//!     for each run of RUN_PIXELS pixels of the chunk:
//!       copy patches (one row a pixel) and grad_y (in panels of NR channels)
//!       for each panel, for each MR of k:  partial tile += patches transposed * panel
//!   add the partial gradients in the order of their chunks
//! ```
//!
//! The unrolled matrix never exists: a block of it is made where it is used, and stays in the second-level
//! cache. Channels lie next to each other, so a patch is nine copies. All cuts depend on the geometry alone and
//! each sum runs in one fixed order, hence the same bits at any number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::pack::{PackedWeight, pack_weight, packed_len};
use super::{Conv2dGeometry, KERNEL, TAPS};
use crate::gemm::{
    KC, MR, NR, broadcast_tile, load_tile, multiply_columns, multiply_rows, row_stride, store_tile,
};
use crate::reduce::TASK_ELEMENTS;
use crate::scratch::with_scratch;

/// Most output pixels in one task: their patches (222 KiB at `KC`) leave room in a second-level cache of 1 MiB.
const MAX_TASK_PIXELS: usize = 96;
/// Tasks to aim for, so that a small problem still feeds many threads.
const MIN_TASKS: usize = 32;

/// `y = bias + patches(x) * weight`; an empty bias counts as zeros.
pub(super) fn correlate(g: &Conv2dGeometry, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    with_scratch(packed_len(g), |packed| correlate_packed(g, x, pack_weight(g, weight, packed), bias, y));
}

fn correlate_packed(g: &Conv2dGeometry, x: &[f32], weight: PackedWeight, bias: &[f32], y: &mut [f32]) {
    let task_pixels = (g.pixels() / MIN_TASKS).clamp(MR, MAX_TASK_PIXELS).next_multiple_of(MR);
    let stride = row_stride(KC.min(TAPS * g.c_in));
    y.par_chunks_mut(task_pixels * g.c_out).enumerate().for_each(|(task, y)| {
        let first_pixel = task * task_pixels;
        let n_pixels = y.len() / g.c_out;
        with_scratch(task_pixels * stride, |patches| {
            for (k, panels) in weight.blocks() {
                let is_first = k.start == 0;
                copy_patches(g, x, first_pixel..first_pixel + n_pixels, k, patches, stride);
                for (panel_idx, panel) in panels.enumerate() {
                    let o = panel_idx * NR;
                    let columns = NR.min(g.c_out - o);
                    for i in (0..n_pixels).step_by(MR) {
                        let rows = MR.min(n_pixels - i);
                        let out = &mut y[i * g.c_out + o..];
                        let mut tile = if is_first {
                            broadcast_tile(bias.get(o..o + columns).unwrap_or(&[]))
                        } else {
                            load_tile(out, g.c_out, rows, columns)
                        };
                        multiply_rows(&patches[i * stride..], stride, panel, &mut tile);
                        store_tile(&tile, out, g.c_out, rows, columns);
                    }
                }
            }
        });
    });
}

/// Rows `k` of the weight gradient in one task: 24 tiles of 12 (48 of 6), and a divisor of `9 * c_in` from 32
/// channels on. Their patches for `KC` pixels and the panels of `grad_y` share the second-level cache.
const TASK_K: usize = 288;
/// Pixels summed in one run in the pass back to the weight.
const RUN_PIXELS: usize = 288;

/// `grad_weight += patches(x)^T * grad_y`.
pub(super) fn correlate_patches(g: &Conv2dGeometry, x: &[f32], grad_y: &[f32], grad_weight: &mut [f32]) {
    let k_len = TAPS * g.c_in;
    // Enough chunks of pixels for MIN_TASKS tasks, but none shorter than one run.
    let n_chunks = (MIN_TASKS / k_len.div_ceil(TASK_K)).clamp(1, g.pixels().div_ceil(RUN_PIXELS));
    let chunk_pixels = g.pixels().div_ceil(n_chunks);
    let n_chunks = g.pixels().div_ceil(chunk_pixels);
    with_scratch(n_chunks * grad_weight.len(), |partial| {
        let tasks = partial.par_chunks_mut(grad_weight.len()).enumerate().flat_map(|(chunk, partial)| {
            let first_pixel = chunk * chunk_pixels;
            let pixels = first_pixel..(first_pixel + chunk_pixels).min(g.pixels());
            let tasks = partial.par_chunks_mut(TASK_K * g.c_out).enumerate();
            tasks.map(move |(task, partial)| (pixels.clone(), task * TASK_K, partial))
        });
        tasks.for_each(|(pixels, first_k, partial)| {
            let k = first_k..first_k + partial.len() / g.c_out;
            with_scratch(RUN_PIXELS * (TASK_K + g.c_out.next_multiple_of(NR)), |scratch| {
                let (patches, panels) = scratch.split_at_mut(RUN_PIXELS * TASK_K);
                for start in pixels.clone().step_by(RUN_PIXELS) {
                    let run = start..(start + RUN_PIXELS).min(pixels.end);
                    let patches = &mut patches[..run.len() * TASK_K];
                    copy_patches(g, x, run.clone(), k.clone(), patches, TASK_K);
                    let is_first = start == pixels.start;
                    for (panel_idx, panel) in panels.chunks_exact_mut(run.len() * NR).enumerate() {
                        let o = panel_idx * NR;
                        if o >= g.c_out {
                            break;
                        }
                        let columns = NR.min(g.c_out - o);
                        copy_panel(&grad_y[run.start * g.c_out + o..], g.c_out, columns, panel);
                        for i in (0..k.len()).step_by(MR) {
                            let rows = MR.min(k.len() - i);
                            let out = &mut partial[i * g.c_out + o..];
                            let mut tile = if is_first {
                                broadcast_tile(&[])
                            } else {
                                load_tile(out, g.c_out, rows, columns)
                            };
                            multiply_columns(patches, TASK_K, i, panel, &mut tile);
                            store_tile(&tile, out, g.c_out, rows, columns);
                        }
                    }
                }
            });
        });

        grad_weight.par_chunks_mut(TASK_ELEMENTS).enumerate().for_each(|(i, grad)| {
            for chunk in partial.chunks_exact(k_len * g.c_out) {
                for (sum, part) in grad.iter_mut().zip(&chunk[i * TASK_ELEMENTS..]) {
                    *sum += part;
                }
            }
        });
    });
}

/// Copies entries `k` of the patches around `pixels` into rows of `out`, `stride` apart; zeros outside the image.
fn copy_patches(
    g: &Conv2dGeometry,
    x: &[f32],
    pixels: Range<usize>,
    k: Range<usize>,
    out: &mut [f32],
    stride: usize,
) {
    let c = g.c_in;
    for (pixel, row) in pixels.zip(out.chunks_exact_mut(stride)) {
        let (i, j) = (pixel / g.w % g.h, pixel % g.w);
        let mut rest = &mut row[..k.len()];
        for tap in k.start / c..k.end.div_ceil(c) {
            let (u, v) = (tap / KERNEL, tap % KERNEL);
            let channels = k.start.max(tap * c) - tap * c..k.end.min((tap + 1) * c) - tap * c;
            let (patch, tail) = rest.split_at_mut(channels.len());
            rest = tail;
            let inside = (1..=g.h).contains(&(i + u)) && (1..=g.w).contains(&(j + v));
            if inside {
                let source = (pixel + u * g.w + v - g.w - 1) * c;
                patch.copy_from_slice(&x[source + channels.start..source + channels.end]);
            } else {
                patch.fill(0.0);
            }
        }
    }
}

/// Copies `columns` numbers of each row of `source`, `stride` apart, into the rows of a panel; zeros beyond them.
fn copy_panel(source: &[f32], stride: usize, columns: usize, panel: &mut [f32]) {
    for (row, packed) in source.chunks(stride).zip(panel.as_chunks_mut::<NR>().0) {
        match row.first_chunk::<NR>() {
            Some(full) if columns == NR => *packed = *full,
            _ => {
                packed[..columns].copy_from_slice(&row[..columns]);
                packed[columns..].fill(0.0);
            }
        }
    }
}
