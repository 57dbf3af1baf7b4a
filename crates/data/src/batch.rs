//! Batches: the division of an epoch into batches, and the pixels of one batch.

use std::ops::Range;

use ndarray::Array4;
use rayon::prelude::*;

use crate::augment::{Augment, AugmentParams};
use crate::crop_window::{CropWindow, centre_window, mirrored};
use crate::image_set::{ImageSet, ImageView};
use crate::normalize::Normalization;
use crate::sampler::Sample;
use crate::tta::TtaView;

/// Images per parallel task; small enough that two threads share a batch of 32.
const IMAGES_PER_TASK: usize = 8;

/// From an image of a set to an input of the model.
#[derive(Clone, Copy, Debug)]
pub enum Transform<'a> {
    /// Augmentation, determined by seed, epoch and image.
    Augment {
        /// The seed of the run.
        seed: u64,
        /// Counted from 0.
        epoch: u64,
        /// The ranges of the augmentation.
        augment: &'a Augment,
    },
    /// The centre crop.
    Centre {
        /// Side of the square, in pixels.
        crop: usize,
        /// Whether it is mirrored, magnified or stretched.
        view: TtaView,
    },
}

/// Divides `0..n` into `ceil(n / batch)` ranges whose sizes differ by at most one, larger ones first. So no batch is tiny:
/// batch norm would compute its statistics over a handful of images.
///
/// # Panics
/// If `batch` is 0.
pub fn batch_ranges(n: usize, batch: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    assert!(batch > 0, "batch_ranges: batch must be positive");
    even_ranges(n, n.div_ceil(batch))
}

/// Divides `0..n` into `n_parts` ranges whose sizes differ by at most one, larger ones first.
pub fn even_ranges(n: usize, n_parts: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let (size, larger) = (n.checked_div(n_parts).unwrap_or(0), n.checked_rem(n_parts).unwrap_or(0));
    (0..n_parts).map(move |index| {
        let start = index * size + index.min(larger);
        start..start + size + usize::from(index < larger)
    })
}

/// Crops, augments and normalises the images `samples` of a set.
///
/// Allocates no memory for the batch if `x` and `labels` have enough capacity.
///
/// # Shapes
/// `x` becomes `(samples.len(), crop, crop, channels)`, `labels` gets one class index per image.
///
/// # Panics
/// If a sample is not in the set, or `norm` has another number of channels.
pub fn fill_batch(
    set: &ImageSet,
    samples: &[Sample],
    transform: Transform<'_>,
    norm: &Normalization,
    x: &mut Array4<f32>,
    labels: &mut Vec<u32>,
) {
    let channels = set.channels();
    assert_eq!(norm.mean.len(), channels, "fill_batch: channels of the normalisation and of the set");
    let crop = match transform {
        Transform::Augment { augment, .. } => augment.crop,
        Transform::Centre { crop, .. } => crop,
    };
    labels.clear();
    labels.extend(samples.iter().map(|sample| set.labels()[sample.image as usize]));
    reshape(x, (samples.len(), crop, crop, channels));

    let set_table = norm.table();
    let values = x.as_slice_mut().expect("reshape makes a contiguous array");
    values.par_chunks_exact_mut(crop * crop * channels).zip(samples).with_min_len(IMAGES_PER_TASK).for_each(
        |(values, &sample)| {
            let image = set.image(sample.image as usize);
            let own_table = norm.table_of_image(&image);
            let table = own_table.as_ref().unwrap_or(&set_table).rows();
            match transform {
                Transform::Augment { seed, epoch, augment } => {
                    let params = augment.params(seed, epoch, sample.key(), image.height, image.width);
                    write_augmented(&params, &image, table, crop, values);
                }
                Transform::Centre { view, .. } => {
                    let window = centre_window(crop, image.height, image.width);
                    let window = CropWindow { flip: view.flip, ..window };
                    let params = AugmentParams { window, affine: view.affine(), tone: None, erased: None };
                    write_augmented(&params, &image, table, crop, values);
                }
            }
        },
    );
}

/// Writes one image with all its augmentations.
fn write_augmented(
    params: &AugmentParams,
    image: &ImageView<'_>,
    table: &[[f32; 256]],
    crop: usize,
    out: &mut [f32],
) {
    match params.affine {
        Some(affine) => affine.cut(image, params.window, table, crop, out),
        None => cut(image, params.window, table, crop, out),
    }
    if let Some(tone) = params.tone {
        tone.apply(out);
    }
    if let Some(rectangle) = params.erased {
        rectangle.apply(out, crop, table.len());
    }
}

/// The pixels of a window, each as its value in the table of its channel.
fn cut(image: &ImageView<'_>, window: CropWindow, table: &[[f32; 256]], crop: usize, out: &mut [f32]) {
    let channels = table.len();
    for (row, out_row) in out.chunks_exact_mut(crop * channels).enumerate() {
        let row = mirrored(window.top + row as isize, image.height);
        let in_row = &image.pixels[row * image.width * channels..][..image.width * channels];
        for (column, out) in out_row.chunks_exact_mut(channels).enumerate() {
            // The other cut, `AffineTransform::cut`, implements the flip too.
            let column = if window.flip { crop - 1 - column } else { column };
            let column = mirrored(window.left + column as isize, image.width);
            for (channel, out) in out.iter_mut().enumerate() {
                *out = table[channel][usize::from(in_row[column * channels + channel])];
            }
        }
    }
}

/// Gives `x` a shape and reuses its memory where that is large enough.
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
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::small_image::SmallImage;
    use crate::tta::TtaConfig;

    /// Images of 10 rows whose pixels differ by image, row, column and channel.
    fn set(channels: usize, count: u32) -> ImageSet {
        let image = |index: u32| {
            let width = 10 + index % 3;
            let pixels = (0..10 * width * channels as u32).map(|at| (at + 7 * index) as u8).collect();
            let image = SmallImage::of_pixels((width, 10), channels, pixels);
            (image, format!("{index}"), index % 2)
        };
        ImageSet::pack(channels, (0..count).map(image).collect())
    }

    fn plain(channels: usize) -> Normalization {
        Normalization { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels], per_image: false }
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
        fn batches_contain_the_pixels_of_their_windows(channels in prop_oneof![Just(1usize), Just(3)], epoch in 0u64..50) {
            let set = set(channels, 11);
            let samples = [3u32, 10, 0, 7, 7].map(Sample::first);
            let augment = Augment::crop_and_flip(8, 13, true);
            let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
            let transform = Transform::Augment { seed: 4, epoch, augment: &augment };
            fill_batch(&set, &samples, transform, &plain(channels), &mut x, &mut labels);
            prop_assert_eq!(x.dim(), (5, 8, 8, channels));
            prop_assert_eq!(&labels, &[1, 0, 0, 1, 1]);
            for ((n, row, column, channel), &value) in x.indexed_iter() {
                let image = set.image(samples[n].image as usize);
                let window = augment.params(4, epoch, samples[n].key(), image.height, image.width).window;
                let column = if window.flip { 7 - column } else { column };
                let row = mirrored(window.top + row as isize, image.height);
                let column = mirrored(window.left + column as isize, image.width);
                let index = (row * image.width + column) * channels + channel;
                prop_assert!((value - f32::from(image.pixels[index])).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn memory_is_reused_from_batch_to_batch() {
        let (set, norm) = (set(1, 9), plain(1));
        let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
        let mut fill = |images: &[u32], x: &mut Array4<f32>| {
            let samples: Vec<Sample> = images.iter().copied().map(Sample::first).collect();
            fill_batch(
                &set,
                &samples,
                Transform::Centre { crop: 9, view: TtaView::PLAIN },
                &norm,
                x,
                &mut labels,
            );
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
        let samples: Vec<Sample> = (0..60).map(Sample::first).collect();
        let augment = Augment::crop_and_flip(8, 13, true);
        let filled = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
            let transform = Transform::Augment { seed: 0, epoch: 1, augment: &augment };
            pool.install(|| fill_batch(&set, &samples, transform, &norm, &mut x, &mut labels));
            x
        };
        assert_eq!(filled(1), filled(3));
    }

    #[test]
    fn a_mirrored_centre_is_the_centre_from_right_to_left() {
        let (set, norm) = (set(3, 2), plain(3));
        let filled = |flip| {
            let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
            let view = TtaView { flip, ..TtaView::PLAIN };
            fill_batch(
                &set,
                &[Sample::first(1)],
                Transform::Centre { crop: 8, view },
                &norm,
                &mut x,
                &mut labels,
            );
            x
        };
        let (mut plain, mirrored) = (filled(false), filled(true));
        plain.invert_axis(ndarray::Axis(2));
        assert_eq!(plain, mirrored);
    }

    #[test]
    fn per_image_normalisation_removes_the_exposure() {
        let film = |gain: u32, offset: u32| {
            let pixels = (0..100u32).map(|i| (offset + gain * (i * i % 37)) as u8).collect();
            SmallImage::of_pixels((10, 10), 1, pixels)
        };
        let films = [(film(2, 10), "a".into(), 0), (film(4, 60), "b".into(), 0)];
        let set = ImageSet::pack(1, films.into());
        let norm = Normalization { per_image: true, ..plain(1) };
        let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
        let samples = [Sample::first(0), Sample::first(1)];
        fill_batch(
            &set,
            &samples,
            Transform::Centre { crop: 10, view: TtaView::PLAIN },
            &norm,
            &mut x,
            &mut labels,
        );
        let (a, b) = x.view().split_at(ndarray::Axis(0), 1);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a} {b}");
        assert!(a.mean().is_some_and(|mean| mean.abs() < 1e-5) && (a.std(1e-9) - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_view_is_the_product_with_two_matrices() {
        let (side, crop) = (13, 10);
        let pixels: Vec<u8> = (0..side * side).map(|place| (place * place % 251) as u8).collect();
        let image = SmallImage::of_pixels((side as u32, side as u32), 1, pixels.clone());
        let set = ImageSet::pack(1, vec![(image, "a".to_owned(), 0)]);
        let norm = Normalization { mean: vec![0.0], std: vec![1.0 / 255.0], per_image: false };
        let image =
            Array2::from_shape_fn((side, side), |(row, column)| f32::from(pixels[row * side + column]));
        let matrix = |weights| Array2::from_shape_vec((crop, side), weights).unwrap();
        for view in (TtaConfig { mirror: true, zoom: 0.5, aspect: 0.6 }).views() {
            let expected =
                matrix(view.rows(crop, side)).dot(&image).dot(&matrix(view.columns(crop, side)).t());
            let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
            fill_batch(
                &set,
                &[Sample::first(0)],
                Transform::Centre { crop, view },
                &norm,
                &mut x,
                &mut labels,
            );
            for (value, expected) in x.iter().zip(&expected) {
                assert!((value - expected).abs() < 2e-3, "{view:?}: {value} for {expected}");
            }
        }
    }
}
