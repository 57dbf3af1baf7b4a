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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::Picture;

    /// Pictures of 10 rows whose pixels tell picture, row, column and channel.
    fn set(channels: usize, count: u32) -> ImageSet {
        let picture = |index: u32| {
            let width = 10 + index % 3;
            let pixels = (0..10 * width * channels as u32).map(|place| (place + 7 * index) as u8).collect();
            let picture = Picture { width, height: 10, channels, pixels, coloured: false, small: false };
            (picture, format!("{index}"), index % 2)
        };
        ImageSet::pack(channels, (0..count).map(picture).collect())
    }

    fn plain(channels: usize) -> Normalization {
        Normalization { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] }
    }

    proptest! {
        #[test]
        fn ranges_cover_everything_evenly(n in 0usize..500, batch in 1usize..70) {
            let ranges: Vec<_> = batch_ranges(n, batch).collect();
            prop_assert_eq!(ranges.len(), n.div_ceil(batch));
            let all: Vec<usize> = ranges.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
            if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
                prop_assert!(first.len() <= batch && first.len() - last.len() <= 1);
            }
        }

        #[test]
        fn batches_hold_the_pixels_of_their_windows(channels in prop_oneof![Just(1usize), Just(3)], epoch in 0u64..50) {
            let set = set(channels, 11);
            let indices = [3u32, 10, 0, 7, 7];
            let augment = Augment { crop: 8, flip: true };
            let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
            let view = View::Train { seed: 4, epoch, augment: &augment };
            fill_batch(&set, &indices, view, &plain(channels), &mut x, &mut labels);
            prop_assert_eq!(x.dim(), (5, 8, 8, channels));
            prop_assert_eq!(&labels, &[1, 0, 0, 1, 1]);
            for ((n, row, column, channel), &value) in x.indexed_iter() {
                let image = set.image(indices[n] as usize);
                let window = augment.train_window(4, epoch, u64::from(indices[n]), image.height, image.width);
                let column = if window.flip { 7 - column } else { column };
                let place = ((window.top + row) * image.width + window.left + column) * channels + channel;
                prop_assert!((value - f32::from(image.pixels[place])).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn memory_is_kept_from_batch_to_batch() {
        let (set, norm) = (set(1, 9), plain(1));
        let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
        let mut fill = |indices: &[u32], x: &mut Array4<f32>| {
            fill_batch(&set, indices, View::Center { crop: 9 }, &norm, x, &mut labels);
            x.as_ptr()
        };
        let first = fill(&[0, 1, 2, 3], &mut x);
        assert_eq!(fill(&[4, 5, 6], &mut x), first);
        assert_eq!(x.dim(), (3, 9, 9, 1));
        assert_eq!(fill(&[4, 5, 6, 7], &mut x), first);
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_threads() {
        let (set, norm) = (set(3, 60), plain(3));
        let indices: Vec<u32> = (0..60).collect();
        let augment = Augment { crop: 8, flip: true };
        let filled = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
            let view = View::Train { seed: 0, epoch: 1, augment: &augment };
            pool.install(|| fill_batch(&set, &indices, view, &norm, &mut x, &mut labels));
            x
        };
        assert_eq!(filled(1), filled(3));
    }

    #[test]
    fn epochs_have_orders_of_their_own() {
        let order = |epoch| {
            let mut order = vec![9; 3];
            epoch_order(100, 1, epoch, &mut order);
            order
        };
        assert_eq!(order(0), order(0));
        assert_ne!(order(0), order(1));
        let mut sorted = order(5);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
}
