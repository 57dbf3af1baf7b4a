//! The forward pass for many channels: tasks are panels of output channels, and each reads all tiles. Where there are fewer panels
//! than threads, several tasks share the tiles of a panel.

use std::ops::Range;

use rayon::prelude::*;

use super::Layout;
use super::correlate::join_tiles;
use super::filter::{gather_panel, panel_len};
use super::tiling::{Region, Tiling};
use crate::caches::cache_bytes;
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Filter, Scratch};
use crate::gemm::{MR, NR, multiply_rows};
use crate::lanes::LANES;
use crate::scratch::{shared_len, with_scratch, with_shared_scratch};

/// Most elements in the transformed input of a run: at least 10 MiB. Each run transforms the filter again, so runs are as long as
/// the L3 cache allows: an eighth of it, since other data and other programs use it too.
fn run_len() -> usize {
    const SHORTEST: usize = 5 << 19;
    SHORTEST.max(cache_bytes(3) / size_of::<f32>() / 8)
}

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
    let own = regions().map(|run| run.filter_row_len() + run.product_layout.len).max().unwrap_or(0);
    Scratch { caller: 0, task: panel_len(&tiling.g) + own, shared }
}

/// Images in a run.
fn run_images(tiling: &Tiling) -> usize {
    let n = tiling.g.n;
    let most = (run_len() / (tiling.transformed_input_len() / n)).clamp(1, n);
    n.div_ceil(n.div_ceil(most))
}

/// A region in a run.
#[derive(Clone, Copy)]
struct RunRegion {
    region: Region,
    /// Tiles in a block: at most `MR`, and as many in each, since a register tile of a few rows is slower.
    rows: usize,
    /// Blocks in a task.
    task_blocks: usize,
    /// Of a block of tiles.
    v_layout: Layout,
    /// Of a task.
    product_layout: Layout,
    /// Elements in the transformed input.
    v_len: usize,
}

impl RunRegion {
    fn new(region: Region) -> Self {
        let (n_parts, n_tiles) = (region.tile.n_parts(), region.n_tiles());
        let rows = n_tiles.div_ceil(n_tiles.div_ceil(MR));
        let n_blocks = n_tiles.div_ceil(rows);
        let panel_tasks = rayon::current_num_threads().div_ceil(region.g.c_out.div_ceil(NR));
        let task_blocks = n_blocks.div_ceil(panel_tasks);
        let v_layout = Layout::by_part(n_parts, rows, region.g.c_in, LANES);
        let product_layout = Layout::by_part(n_parts, n_tiles.min(task_blocks * rows), NR, NR);
        Self { region, rows, task_blocks, v_layout, product_layout, v_len: n_blocks * v_layout.len }
    }

    /// Elements in a row of parts of the transformed filter of one panel.
    fn filter_row_len(&self) -> usize {
        self.region.tile.parts().1 * self.region.g.c_in * NR
    }

    /// Elements in the finished tiles of a task, unless it is the last one of the panel.
    fn task_finished_len(&self, stride: usize) -> usize {
        let (down, across) = self.region.finished(stride);
        self.task_blocks * self.rows * down * across * NR
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

/// All tiles of one panel of output channels, region by region.
fn finish_panel(
    tiling: &Tiling,
    v: &[f32],
    filter: Filter,
    (panel, epilogue): (usize, Epilogue),
    finished: &mut [f32],
) {
    let g = &tiling.g;
    with_scratch(panel_len(g), |taps| {
        if !matches!(filter, Filter::Prepared(_)) {
            gather_panel::<NR>(g, filter, panel, taps);
        }
        let (mut v, mut finished, mut first_part) = (v, finished, panel * tiling.n_parts());
        for run in tiling.regions().map(RunRegion::new) {
            let n_parts = run.region.tile.n_parts();
            let filter = match filter {
                Filter::Prepared(u) => {
                    PanelFilter::Transformed(&u[first_part * g.c_in * NR..][..n_parts * g.c_in * NR])
                }
                _ => PanelFilter::Taps(taps),
            };
            let stride = epilogue.stride();
            let (own, others) = finished.split_at_mut(run.region.finished_len(stride));
            let tasks = own.par_chunks_mut(run.task_finished_len(stride));
            tasks.zip(v[..run.v_len].par_chunks(run.task_blocks * run.v_layout.len)).for_each(
                |(finished, v)| {
                    finish_tiles(&run, v, filter, (tiling.panel_channels(panel), epilogue), finished);
                },
            );
            first_part += n_parts;
            (v, finished) = (&v[run.v_len..], others);
        }
    });
}

/// The filter of one panel and region.
#[derive(Clone, Copy)]
enum PanelFilter<'a> {
    /// `[part][c_in][NR]`.
    Transformed(&'a [f32]),
    /// `[c_in][tap][NR]`.
    Taps(&'a [f32]),
}

/// The tiles of one task, whose transformed input is `v`.
fn finish_tiles(
    run: &RunRegion,
    v: &[f32],
    filter: PanelFilter,
    (channels, epilogue): (Range<usize>, Epilogue),
    finished: &mut [f32],
) {
    let RunRegion { region, product_layout, .. } = run;
    let ((down, across), row_len) = (region.tile.parts(), run.filter_row_len());
    let (finished_down, finished_across) = region.finished(epilogue.stride());
    let n_tiles = finished.len() / (finished_down * finished_across * NR);
    with_scratch(row_len + product_layout.len, |scratch| {
        let (own, product) = scratch.split_at_mut(row_len);
        for i in 0..down {
            let filter = match filter {
                PanelFilter::Transformed(u) => &u[i * row_len..][..row_len],
                PanelFilter::Taps(taps) => {
                    region.tile.filter_row(taps, i, own);
                    &*own
                }
            };
            let product = &mut product[i * across * product_layout.part_stride..];
            multiply_row(run, i, (v, n_tiles), filter, product);
        }
        let product = (&*product, product_layout.part_stride);
        region.tile.output(product, epilogue, channels, finished);
    });
}

/// `product = V U` for row `i` of the parts and one panel; `v` has `n_tiles` tiles, in blocks of `rows`.
fn multiply_row(
    run: &RunRegion,
    i: usize,
    (v, n_tiles): (&[f32], usize),
    filter: &[f32],
    product: &mut [f32],
) {
    let RunRegion { region, rows, v_layout, product_layout, .. } = run;
    let (c_in, across) = (region.g.c_in, region.tile.parts().1);
    let product_part = product_layout.part_stride;
    for (j, filter) in filter.chunks_exact(c_in * NR).enumerate() {
        let products = product[j * product_part..][..n_tiles * NR].chunks_mut(rows * NR);
        for (v, product) in v.chunks_exact(v_layout.len).zip(products) {
            let v = &v[(i * across + j) * v_layout.part_stride..];
            multiply_rows(v, v_layout.group_stride, filter, product, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::Conv2dGeometry;
    use crate::conv2d::winograd::F6;
    use crate::conv2d::winograd::correlate::tests::numbers;

    #[test]
    fn several_runs_have_the_same_bits_as_single_images() {
        let of = |n| Tiling::of(&Conv2dGeometry::new(n, 6, 6, 64, 16), F6);
        let n = run_len() / of(1).transformed_input_len() + 1;
        let tiling = of(n);
        assert!(run_images(&tiling) < n, "one run");
        let (x, weight) = (numbers(tiling.g.x_len()), numbers(tiling.g.weight_len()));
        let correlate = |tiling: &Tiling, x: &[f32], y: &mut [f32]| {
            super::correlate(tiling, x, Filter::Plain(&weight), Epilogue::NONE, y);
        };
        let (mut in_runs, mut single) = (vec![f32::NAN; tiling.g.y_len()], vec![f32::NAN; tiling.g.y_len()]);
        correlate(&tiling, &x, &mut in_runs);
        let images = x.chunks(x.len() / n).zip(single.chunks_mut(tiling.g.y_len() / n));
        images.for_each(|(x, y)| correlate(&of(1), x, y));
        assert!(in_runs.iter().all(|y| y.is_finite()));
        assert!(in_runs.iter().map(|y| y.to_bits()).eq(single.iter().map(|y| y.to_bits())));
    }

    #[test]
    fn the_small_maps_of_a_resnet9_give_every_one_of_16_threads_a_task() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(16).build().expect("a thread pool");
        for (width, n) in [(32, 128), (64, 128), (64, 32)] {
            let conv4 = Conv2dGeometry::new(n, 6, 6, 4 * width, 8 * width);
            let res2 = Conv2dGeometry::new(n, 3, 3, 8 * width, 8 * width);
            for g in [conv4, conv4.reversed(), res2] {
                let tiling = g.algorithm().tiling(&g).expect("an algorithm by tiles");
                let run = pool.install(|| RunRegion::new(tiling.regions().next().expect("a region")));
                let n_blocks = run.v_len / run.v_layout.len;
                let n_tasks = tiling.n_panels() * n_blocks.div_ceil(run.task_blocks);
                let threads = 16.min(tiling.n_panels() * n_blocks);
                assert!(n_tasks >= threads, "{g:?}: {n_tasks} tasks");
            }
        }
    }
}
