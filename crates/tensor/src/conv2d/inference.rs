//! A convolution in evaluation, with what follows it, and the filter in the form that it reads.

use std::sync::{Mutex, OnceLock};

use super::epilogue::Epilogue;
use super::{Conv2dAlgorithm, Conv2dGeometry, Filter, correlate, im2col, winograd};
use crate::aligned::AlignedBuffer;
use crate::batch_norm_max_pool::{MaxPool2dGeometry, max_pool2d};
use crate::scratch::with_scratch;

/// A filter in the form that [`conv2d_inference`] reads, valid as long as the weights do not change. It is prepared once
/// for each algorithm that needs it.
///
/// Any number of threads may share it. It belongs to one filter: every call gets the same weights until
/// [`Self::clear`].
#[derive(Debug, Default)]
pub struct PreparedFilter {
    /// In the order of [`Conv2dAlgorithm::ALL`].
    by_algorithm: [PreparedForm; Conv2dAlgorithm::ALL.len()],
    /// For few tiles of any kind.
    gathered: PreparedForm,
}

/// A filter as one algorithm reads it.
#[derive(Debug, Default)]
struct PreparedForm {
    values: OnceLock<AlignedBuffer>,
    /// The memory of the values before the last change of the weights: a new page costs more than what is written to it.
    spare: Mutex<AlignedBuffer>,
}

impl PreparedForm {
    fn clear(&mut self) {
        if let Some(values) = self.values.take() {
            self.spare = Mutex::new(values);
        }
    }

    /// The values, which `prepare` computes if they are missing.
    ///
    /// Not within `get_or_init`, which could deadlock: while this thread waits for the rayon pool, it may run another task that
    /// needs the same filter, and would then wait for itself. If two threads prepare the filter at the same time, the first result
    /// is kept.
    fn get_or_prepare(&self, prepare: impl FnOnce(&mut AlignedBuffer)) -> &AlignedBuffer {
        self.values.get().unwrap_or_else(|| {
            let spare = self.spare.lock().map(|mut spare| std::mem::take(&mut *spare));
            let mut values = spare.unwrap_or_default();
            prepare(&mut values);
            self.values.get_or_init(|| values)
        })
    }
}

impl PreparedFilter {
    /// Discards what was prepared. Call it when the weights change.
    pub fn clear(&mut self) {
        self.by_algorithm.iter_mut().chain([&mut self.gathered]).for_each(PreparedForm::clear);
    }

    /// Whether nothing is prepared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_algorithm.iter().chain([&self.gathered]).all(|form| form.values.get().is_none())
    }

    /// `weight`, `(c_in, 3, 3, c_out)`, as the algorithm of this geometry reads it.
    fn get_or_prepare(&self, g: &Conv2dGeometry, weight: &[f32]) -> Filter<'_> {
        let algorithm = g.inference_algorithm();
        let tiling = algorithm.tiling(g);
        let is_gathered = tiling.as_ref().is_some_and(winograd::reads_gathered);
        let form = if is_gathered { &self.gathered } else { &self.by_algorithm[algorithm as usize] };
        let prepared = form.get_or_prepare(|prepared| {
            let filter = Filter::Plain(weight);
            match &tiling {
                None => im2col::pack_filter(g, filter, prepared.resize(im2col::packed_len(g))),
                Some(_) if is_gathered => {
                    winograd::gather_vectors(g, filter, prepared.resize(g.weight_len()))
                }
                Some(tiling) => {
                    let transformed = prepared.resize(winograd::transformed_len(tiling));
                    winograd::transform_filter(tiling, filter, transformed);
                }
            }
        });
        if is_gathered {
            Filter::Gathered(prepared.as_slice())
        } else {
            Filter::Prepared(prepared.as_slice())
        }
    }
}

/// What follows a convolution in evaluation: a scale and a shift for each channel, a ReLU, and an optional max pool.
#[derive(Clone, Copy, Debug)]
pub struct AfterConv2d<'a> {
    /// `(c_out)`.
    pub scale: &'a [f32],
    /// `(c_out)`.
    pub shift: &'a [f32],
    /// Whether a 2x2 max pool with stride 2 follows, which ignores an odd last row or column.
    pub is_pooled: bool,
}

/// Convolution and what follows it: `y = pool(relu(scale * (x * weight) + shift))`, where the pool is optional. The result
/// for an image has the same bits in every batch.
///
/// # Shapes
/// As in [`conv2d_forward`](super::conv2d_forward); with a pool, `y`: `(n, h / 2, w / 2, c_out)`.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_inference(
    g: &Conv2dGeometry,
    x: &[f32],
    (weight, prepared): (&[f32], &PreparedFilter),
    AfterConv2d { scale, shift, is_pooled }: AfterConv2d,
    y: &mut [f32],
) {
    assert!(scale.len() == g.c_out && shift.len() == g.c_out, "conv2d: length of scale and shift in {g:?}");
    let filter = prepared.get_or_prepare(g, weight);
    let epilogue = Epilogue { scale, shift, floor: 0.0, is_pooled };
    if g.pools_apart(is_pooled) {
        with_scratch(g.y_len(), |whole| {
            g.check(x, weight, whole);
            correlate(
                g,
                g.inference_algorithm(),
                x,
                filter,
                Epilogue { is_pooled: false, ..epilogue },
                whole,
            );
            max_pool2d(&MaxPool2dGeometry::new(g.n, g.h, g.w, g.c_out), whole, y);
        });
    } else {
        let stride = epilogue.stride();
        let y_len = g.n * (g.h / stride) * (g.w / stride) * g.c_out;
        assert_eq!(
            (x.len(), weight.len(), y.len()),
            (g.x_len(), g.weight_len(), y_len),
            "conv2d: lengths in {g:?}"
        );
        correlate(g, g.inference_algorithm(), x, filter, epilogue, y);
    }
}
