//! Batches: the order of an epoch, its cut into batches, and the pixels of one batch.

use std::ops::Range;

use ndarray::Array4;
use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::augment::{Augment, center_window};
use crate::{ImageSet, Normalization};

/// Pictures that one task cuts; small enough that two threads share a batch of 32.
const IMAGES_PER_TASK: usize = 8;

/// How pictures are looked at.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// Random windows, decided by seed, epoch and image.
    Train {
        /// Of the run.
        seed: u64,
        /// From 0.
        epoch: u64,
        /// Crop and flip.
        augment: &'a Augment,
    },
    /// Centre crops.
    Center {
        /// Side of the square, in pixels.
        crop: usize,
    },
}

/// A random order of `0..n`, decided by seed and epoch; `order` is reused.
pub fn epoch_order(n: usize, seed: u64, epoch: u64, order: &mut Vec<u32>) {
    order.clear();
    order.extend(0..n as u32);
    CounterRng::new(seed, Purpose::Shuffle, epoch, 0).shuffle(order);
}

/// Cuts `0..n` into `ceil(n / batch)` ranges whose sizes differ by at most one, larger ones first. So no batch
/// is tiny: batch norm would take its statistics from a handful of images.
///
/// # Panics
/// If `batch` is 0.
pub fn batch_ranges(n: usize, batch: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    assert!(batch > 0, "batch_ranges: batch must be positive");
    let n_batches = n.div_ceil(batch);
    let (size, larger) = (n.checked_div(n_batches).unwrap_or(0), n.checked_rem(n_batches).unwrap_or(0));
    (0..n_batches).map(move |index| {
        let start = index * size + index.min(larger);
        start..start + size + usize::from(index < larger)
    })
}

/// Cuts, flips and normalises the pictures `indices` of a set.
///
/// Allocates nothing of the size of a batch when `x` and `labels` had room for one before.
///
/// # Shapes
/// `x` becomes `(indices.len(), crop, crop, channels)`, `labels` gets one class index per picture.
///
/// # Panics
/// If an index is beyond the set, or `norm` has another number of channels.
pub fn fill_batch(
    set: &ImageSet,
    indices: &[u32],
    view: View<'_>,
    norm: &Normalization,
    x: &mut Array4<f32>,
    labels: &mut Vec<u32>,
) {
    let channels = set.channels();
    assert_eq!(norm.mean.len(), channels, "fill_batch: channels of the normalisation and of the set");
    let crop = match view {
        View::Train { augment, .. } => augment.crop,
        View::Center { crop } => crop,
    };
    labels.clear();
    labels.extend(indices.iter().map(|&index| set.labels()[index as usize]));
    reshape(x, (indices.len(), crop, crop, channels));

    let table = norm.table();
    let values = x.as_slice_mut().expect("reshape makes a contiguous array");
    values.par_chunks_exact_mut(crop * crop * channels).zip(indices).with_min_len(IMAGES_PER_TASK).for_each(
        |(values, &index)| {
            let image = set.image(index as usize);
            let window = match view {
                View::Train { seed, epoch, augment } => {
                    augment.train_window(seed, epoch, u64::from(index), image.height, image.width)
                }
                View::Center { crop } => center_window(crop, image.height, image.width),
            };
            for (row, out_row) in values.chunks_exact_mut(crop * channels).enumerate() {
                let start = ((window.top + row) * image.width + window.left) * channels;
                let in_row = &image.pixels[start..start + crop * channels];
                for (column, out) in out_row.chunks_exact_mut(channels).enumerate() {
                    let column = if window.flip { crop - 1 - column } else { column };
                    for (channel, out) in out.iter_mut().enumerate() {
                        *out = table[channel][usize::from(in_row[column * channels + channel])];
                    }
                }
            }
        },
    );
}

/// Gives `x` a shape; its memory is kept where it suffices.
fn reshape(x: &mut Array4<f32>, shape: (usize, usize, usize, usize)) {
    if x.dim() == shape && x.is_standard_layout() {
        return;
    }
    let (mut values, _) = std::mem::take(x).into_raw_vec_and_offset();
    values.resize(shape.0 * shape.1 * shape.2 * shape.3, 0.0);
    *x = Array4::from_shape_vec(shape, values).expect("as many values as the shape says");
}
