//! The forward pass for many channels: tasks are panels of output channels, and each reads all tiles.

use rayon::prelude::*;

use super::Layout;
use super::correlate::join_tiles;
use super::filter::{gather_panel, panel_len};
use super::tiling::{Region, Tiling};
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Filter, Scratch};
use crate::gemm::{MR, NR, multiply_rows};
use crate::lanes::LANES;
use crate::scratch::{shared_len, with_scratch, with_shared_scratch};

/// Most elements in the transformed input of a run: 10 MiB, a share of the L3 cache that other data and other programs
/// leave.
const RUN_LEN: usize = 5 << 19;

/// `y = epilogue(x * weight)`.
pub(super) fn correlate(tiling: &Tiling, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
    let g = &tiling.g;
    let (images, image_len) = (run_images(tiling), g.h * g.w * g.c_in);
    let image_out_len = y.len() / g.n;
    for (y, x) in y.chunks_mut(images * image_out_len).zip(x.chunks(images * image_len)) {
        let n = x.len() / image_len;
        correlate_run(&tiling.of_images(n), x, filter, epilogue, y);
    }
}

/// The scratch memory of [`correlate`].
pub(super) fn scratch(tiling: &Tiling) -> Scratch {
    let tiling = tiling.of_images(run_images(tiling));
    let regions = || tiling.regions().map(RunRegion::new);
    let (v_len, finished_len) = run_lens(regions(), 1);
    let shared = shared_len(v_len + tiling.n_panels() * finished_len);
    Scratch { caller: 0, task: PanelLens::new(&tiling).sum(), shared }
}

/// Images in a run.
fn run_images(tiling: &Tiling) -> usize {
    let n = tiling.g.n;
    let most = (RUN_LEN / (tiling.transformed_input_len() / n)).clamp(1, n);
    n.div_ceil(n.div_ceil(most))
}

/// A region in a run.
#[derive(Clone, Copy)]
struct RunRegion {
    region: Region,
    /// Tiles in a block: at most `MR`, and as many in each, since a register tile of a few rows is slower.
    rows: usize,
    /// Of a block of tiles.
    v_layout: Layout,
    product_layout: Layout,
    /// Elements in the transformed input.
    v_len: usize,
}

impl RunRegion {
    fn new(region: Region) -> Self {
        let (n_parts, n_tiles) = (region.tile.n_parts(), region.n_tiles());
        let rows = n_tiles.div_ceil(n_tiles.div_ceil(MR));
        let v_layout = Layout::by_part(n_parts, rows, region.g.c_in, LANES);
        let product_layout = Layout::by_part(n_parts, n_tiles, NR, NR);
        Self { region, rows, v_layout, product_layout, v_len: n_tiles.div_ceil(rows) * v_layout.len }
    }
}

/// Elements in the transformed input of all regions, and in the finished tiles of a panel.
fn run_lens(regions: impl Iterator<Item = RunRegion>, stride: usize) -> (usize, usize) {
    regions.fold((0, 0), |(v, finished), run| (v + run.v_len, finished + run.region.finished_len(stride)))
}

fn correlate_run(tiling: &Tiling, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
    let g = &tiling.g;
    let regions = || tiling.regions().map(RunRegion::new);
    let (v_len, finished_len) = run_lens(regions(), epilogue.stride());
    with_shared_scratch(v_len + tiling.n_panels() * finished_len, |scratch| {
        let (v, finished) = scratch.split_at_mut(v_len);
        let mut rest = &mut *v;
        for RunRegion { region, rows, v_layout, v_len, .. } in regions() {
            let (v, others) = rest.split_at_mut(v_len);
            v.par_chunks_exact_mut(v_layout.len).enumerate().for_each(|(i, v)| {
                let block = i * rows..((i + 1) * rows).min(region.n_tiles());
                region.read_ahead(x, g.c_in, block.clone());
                region.tile.input(&region, x, block, v_layout, v);
            });
            rest = others;
        }
        let v = &*v;
        finished.par_chunks_exact_mut(finished_len).enumerate().for_each(|(panel, finished)| {
            finish_panel(tiling, v, filter, (panel, epilogue), finished);
        });
        let finished = &*finished;
        join_tiles(g, tiling.regions(), (finished, finished_len), epilogue, y);
    });
}

/// Scratch memory of [`finish_panel`].
#[derive(Clone, Copy)]
struct PanelLens {
    taps: usize,
    filter_row: usize,
    product: usize,
}

impl PanelLens {
    fn new(tiling: &Tiling) -> Self {
        let none = Self { taps: panel_len(&tiling.g), filter_row: 0, product: 0 };
        tiling.regions().map(RunRegion::new).fold(none, |lens, run| Self {
            filter_row: lens.filter_row.max(run.region.tile.parts().1 * tiling.g.c_in * NR),
            product: lens.product.max(run.product_layout.len),
            ..lens
        })
    }

    fn sum(&self) -> usize {
        self.taps + self.filter_row + self.product
    }
}

/// All tiles of one panel of output channels, region by region.
fn finish_panel(
    tiling: &Tiling,
    v: &[f32],
    filter: Filter,
    (panel, epilogue): (usize, Epilogue),
    finished: &mut [f32],
) {
    let g = &tiling.g;
    let lens = PanelLens::new(tiling);
    with_scratch(lens.sum(), |scratch| {
        let (taps, scratch) = scratch.split_at_mut(lens.taps);
        let (own, product) = scratch.split_at_mut(lens.filter_row);
        if !matches!(filter, Filter::Prepared(_)) {
            gather_panel::<NR>(g, filter, panel, taps);
        }
        let (mut v, mut finished, mut first_part) = (v, finished, panel * tiling.n_parts());
        for run in tiling.regions().map(RunRegion::new) {
            let RunRegion { region, product_layout, .. } = run;
            let (down, across) = region.tile.parts();
            for i in 0..down {
                let filter = match filter {
                    Filter::Prepared(filter) => {
                        &filter[(first_part + i * across) * g.c_in * NR..][..across * g.c_in * NR]
                    }
                    _ => {
                        region.tile.filter_row(taps, i, own);
                        &own[..across * g.c_in * NR]
                    }
                };
                multiply_row(&run, i, v, filter, &mut product[i * across * product_layout.part_stride..]);
            }
            first_part += region.tile.n_parts();
            let (own, others) = finished.split_at_mut(region.finished_len(epilogue.stride()));
            let product = (&*product, product_layout.part_stride);
            region.tile.output(product, epilogue, tiling.panel_channels(panel), own);
            (v, finished) = (&v[run.v_len..], others);
        }
    });
}

/// `product = V U` for row `i` of the parts, all tiles and one panel; `v` is in blocks of `rows` tiles.
fn multiply_row(run: &RunRegion, i: usize, v: &[f32], filter: &[f32], product: &mut [f32]) {
    let RunRegion { region, rows, v_layout, product_layout, .. } = run;
    let (c_in, across) = (region.g.c_in, region.tile.parts().1);
    let product_part = product_layout.part_stride;
    for (j, filter) in filter.chunks_exact(c_in * NR).enumerate() {
        let products = product[j * product_part..][..region.n_tiles() * NR].chunks_mut(rows * NR);
        for (v, product) in v[..run.v_len].chunks_exact(v_layout.len).zip(products) {
            let v = &v[(i * across + j) * v_layout.part_stride..];
            multiply_rows(v, v_layout.group_stride, filter, product, false);
        }
    }
}
