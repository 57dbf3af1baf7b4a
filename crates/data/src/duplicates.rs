//! Duplicates: images with equal pixels, or the same film encoded, resized, cropped or toned again.
//!
//! Chest films are very similar to each other, so 64 bits of a perceptual hash do not distinguish them well. Each image is
//! stored as a [`Thumbnail`] of its local detail, and two images are compared by correlation: first all with all on a coarse
//! grid, then the most similar ones on the full grid, aligned as a crop by a few percent would have shifted them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::DataError;
use crate::groups::Groups;
use crate::progress::{Progress, Stage};
use crate::thumbnail::{Detail, SIDE, Thumbnail};

mod coarse;
mod detail_pyramid;
mod dot_products;

use coarse::{BLOCK, Candidate, Coarse, N_NEAREST, coarse, nearest};
use detail_pyramid::{Cut, DetailPyramid, MAX_GAIN_FULL};
use dot_products::Panels;

/// Most distinct images for which crops are compared too; see [`count_distinct`].
pub(crate) const MAX_FOR_CROPS: usize = 30_000;

/// Most images whose detail is compared; of more, only equal ones are found. The time grows with the square of their number: 200,000
/// take 100 s on one core, and each takes 4 kB of memory.
pub(crate) const MAX_FOR_DETAIL: usize = 500_000;

/// Images without detail that are added to the mean, so that two duplicates do not cancel each other.
const PSEUDO_COUNT: usize = 50;

/// Bounds of the threshold: below the first correlation no two images are duplicates, above the second all are.
const MIN_THRESHOLD: f64 = 0.85;
const MAX_THRESHOLD: f64 = 0.96;
/// How much duplicates may differ, as a fraction of the difference between images that merely resemble each other.
/// Duplicates that were encoded, resized or toned again differ by a hundredth, those cropped by 5 % by a tenth, similar
/// films by a half (tests/planted_duplicates.rs).
const DUPLICATE_DIFFERENCE: f64 = 0.22;

/// Two images that are duplicates of each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DuplicatePair {
    /// The earlier one, by its index.
    pub(crate) a: usize,
    /// The later one.
    pub(crate) b: usize,
    /// 1 for equal pixels; below that the correlation of their detail.
    pub(crate) similarity: f64,
}

/// All pairs of duplicates, sorted. Of more than two equal images, each forms a pair with the first. `progress` receives the
/// number of finished blocks of comparisons and the number of all blocks.
///
/// # Errors
/// [`DataError::Cancelled`].
pub(crate) fn find_duplicates(
    thumbnails: &[&Thumbnail],
    progress: &dyn Progress,
) -> Result<Vec<DuplicatePair>, DataError> {
    let (mut found, is_first) = equal_images(thumbnails);
    let firsts = thumbnails.iter().zip(is_first).enumerate().filter(|(_, (_, is_first))| *is_first);
    let distinct: Vec<(usize, &Detail)> =
        firsts.filter_map(|(index, (thumbnail, _))| Some((index, &**thumbnail.detail.as_ref()?))).collect();
    let common = common_detail(&distinct);
    // Five times as large as the detail, so it is made where it is needed.
    let pyramid = |index: usize| DetailPyramid::of(distinct[index].1, &common);
    let all_coarse = |cut: Cut| -> Result<Vec<Coarse>, DataError> {
        let of_image = |index| check_cancelled(progress).map(|()| coarse(&pyramid(index), cut));
        (0..distinct.len()).into_par_iter().map(of_image).collect()
    };
    let wholes = all_coarse(Cut::default())?;
    let packed = Panels::pack(&wholes);
    let mut near: Vec<Candidate> = Vec::new();
    let n_distinct = thumbnails.len() - found.len();
    let n_blocks = crops(n_distinct).count() * wholes.len().div_ceil(BLOCK);
    progress.report(Stage::Comparing, 0, n_blocks);
    let n_done = AtomicUsize::new(0);
    let block_done =
        || progress.report(Stage::Comparing, n_done.fetch_add(1, Ordering::Relaxed) + 1, n_blocks);
    for cut in crops(n_distinct) {
        near.extend(nearest(&all_coarse(cut)?, &packed, cut, progress, &block_done)?);
    }
    // Of each pair, the crop with the highest correlation.
    near.sort_by_key(|near| (near.pair(), Reverse(near.product)));
    near.dedup_by_key(|near| near.pair());
    let rough = |near: &Candidate| {
        check_cancelled(progress)?;
        Ok(pyramid(near.crop).rough_similarity(&pyramid(near.whole), near.cut, MIN_THRESHOLD))
    };
    let rough: Vec<(f64, Cut)> = near.par_iter().map(rough).collect::<Result<_, DataError>>()?;
    let threshold = threshold(&near, &rough, distinct.len());
    let to_pair = |(near, &(rough, cut)): (&Candidate, &(f64, Cut))| {
        if rough < threshold - MAX_GAIN_FULL {
            return Ok(None);
        }
        check_cancelled(progress)?;
        let similarity = pyramid(near.crop).similarity(&pyramid(near.whole), cut, threshold);
        let (a, b) = near.pair();
        // A similarity of 1 is reserved for equal pixels.
        let pair = ((distinct[a].0, distinct[b].0), similarity.min(0.999_999));
        Ok((similarity >= threshold).then_some(pair))
    };
    let pairs: Vec<_> = near
        .par_iter()
        .zip(&rough)
        .map(to_pair)
        .filter_map(Result::transpose)
        .collect::<Result<_, DataError>>()?;
    found.extend(pairs);
    Ok(found.into_iter().map(|((a, b), similarity)| DuplicatePair { a, b, similarity }).collect())
}

/// How many of `n` images, with all `pairs` of duplicates among them, have pixels that no earlier one has.
pub(crate) fn count_distinct(n: usize, pairs: &[DuplicatePair]) -> usize {
    n - pairs.iter().filter(|pair| pair.similarity >= 1.0).count()
}

/// The pairs of images with equal pixels, and of each image whether it is the first of its pixels.
fn equal_images(thumbnails: &[&Thumbnail]) -> (BTreeMap<(usize, usize), f64>, Vec<bool>) {
    let mut found = BTreeMap::new();
    // Equal images beside each other, the first of them first.
    let mut by_digest: Vec<u32> = (0..thumbnails.len() as u32).collect();
    by_digest.sort_unstable_by_key(|&index| (thumbnails[index as usize].digest, index));
    let mut is_first = vec![false; thumbnails.len()];
    for equal in by_digest.chunk_by(|&a, &b| thumbnails[a as usize].digest == thumbnails[b as usize].digest) {
        let first = equal[0] as usize;
        is_first[first] = true;
        found.extend(equal[1..].iter().map(|&index| ((first, index as usize), 1.0)));
    }
    (found, is_first)
}

/// Fails where the caller wants no result any more.
fn check_cancelled(progress: &dyn Progress) -> Result<(), DataError> {
    if progress.is_cancelled() { Err(DataError::Cancelled) } else { Ok(()) }
}

/// Groups of `n` images: duplicates, duplicates of duplicates and so on are in one group.
pub(crate) fn group_duplicates(n: usize, pairs: &[DuplicatePair]) -> Groups {
    let mut groups = Groups::new(n);
    pairs.iter().for_each(|pair| groups.join(pair.a, pair.b));
    groups
}

/// The mean detail, which all images have in common.
fn common_detail(distinct: &[(usize, &Detail)]) -> Vec<f32> {
    let mut sums = vec![0i32; SIDE * SIDE];
    for (_, detail) in distinct {
        sums.iter_mut().zip(detail.iter()).for_each(|(sum, &value)| *sum += i32::from(value));
    }
    let n = distinct.len() + PSEUDO_COUNT;
    sums.into_iter().map(|sum| sum as f32 / n as f32).collect()
}

/// The correlation above which two images are duplicates. It depends on how similar the images of this data set are: films
/// of one projection resemble each other more than photographs do.
fn threshold(near: &[Candidate], rough: &[(f64, Cut)], n: usize) -> f64 {
    let mut of_each = vec![Vec::new(); n];
    for (near, &(similarity, _)) in near.iter().zip(rough) {
        of_each[near.crop].push(similarity);
        of_each[near.whole].push(similarity);
    }
    // An image with fewer comparisons may have mostly duplicates among them.
    let resembling =
        of_each.into_iter().filter(|similarities| similarities.len() >= 2 * N_NEAREST).map(median);
    let resemblance = median(resembling.collect());
    (1.0 - DUPLICATE_DIFFERENCE * (1.0 - resemblance)).clamp(MIN_THRESHOLD, MAX_THRESHOLD)
}

/// The median, the upper one of two middle values; 0 without values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The crops that a duplicate may be: none, 5 % off every side, and 5 % off two adjacent sides. With very many distinct images
/// only the whole image, because the time grows with the square of their number.
fn crops(n_distinct: usize) -> impl Iterator<Item = Cut> {
    const OFF: f32 = 0.05;
    const CROPS: [[f32; 4]; 6] = [
        [0.0; 4],
        [OFF; 4],
        [OFF, 0.0, OFF, 0.0],
        [OFF, 0.0, 0.0, OFF],
        [0.0, OFF, OFF, 0.0],
        [0.0, OFF, 0.0, OFF],
    ];
    let crops = if n_distinct > MAX_FOR_CROPS { &CROPS[..1] } else { &CROPS };
    crops.iter().map(|&[left, right, top, bottom]| Cut { left, right, top, bottom })
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, imageops};

    use super::*;
    use crate::decode::Decoded;
    use crate::file_facts::FileFacts;
    use crate::options::LoadOptions;
    use crate::progress::silent;

    /// An image of smooth noise, determined by `seed`.
    fn blobs(seed: u32, side: u32) -> GrayImage {
        let random = |x: u32, y: u32| {
            let mixed = (seed * 64 * 64 + y * 64 + x + 1).wrapping_mul(2_654_435_761);
            ((mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
        };
        let lattice = GrayImage::from_fn(10, 10, |x, y| Luma([random(x, y)]));
        imageops::resize(&lattice, side, side, imageops::FilterType::CatmullRom)
    }

    fn thumbnails(images: impl IntoIterator<Item = DynamicImage>) -> Vec<Thumbnail> {
        images.into_iter().map(|image| Thumbnail::of(&image, 16)).collect()
    }

    fn find_duplicates_of(thumbnails: Vec<Thumbnail>) -> Vec<DuplicatePair> {
        find_duplicates(&thumbnails.iter().collect::<Vec<_>>(), &silent).expect("nobody cancels it")
    }

    #[test]
    fn equal_pixels_are_duplicates_of_the_first_with_similarity_one() {
        let image = |seed: u32| DynamicImage::ImageLuma8(blobs(seed, 60));
        let found = find_duplicates_of(thumbnails([image(1), image(2), image(1), image(1)]));
        assert_eq!(
            found,
            [DuplicatePair { a: 0, b: 2, similarity: 1.0 }, DuplicatePair { a: 0, b: 3, similarity: 1.0 }]
        );
        assert_eq!(count_distinct(4, &found), 2);
    }

    #[test]
    fn the_same_image_in_colour_or_16_bit_is_equal() {
        let grey = blobs(3, 80);
        let rgb = RgbImage::from_fn(80, 80, |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
        let deep = DynamicImage::ImageLuma8(grey.clone()).to_luma16();
        let found = find_duplicates_of(thumbnails([
            DynamicImage::ImageLuma8(grey),
            DynamicImage::ImageRgb8(rgb),
            DynamicImage::ImageLuma16(deep),
        ]));
        assert_eq!(found.iter().map(|pair| (pair.a, pair.b)).collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        assert!(found.iter().all(|pair| pair.similarity == 1.0));
    }

    fn decoded(images: impl IntoIterator<Item = DynamicImage>) -> Vec<Thumbnail> {
        let options = LoadOptions::default();
        let decoded = |image| Decoded::new(&image, FileFacts::default(), &options).thumbnail;
        images.into_iter().map(decoded).collect()
    }

    /// A film of so many bits in 16-bit samples, with noise of one level.
    fn narrow(seed: u32, bits: u16, noise: u32) -> DynamicImage {
        let levels = (1u32 << bits) - 1;
        let grey = blobs(seed, 80);
        let sample = |x, y| {
            let noise = (x * 7 + y * 13 + noise * (x + y)) % 3;
            Luma([(u32::from(grey.get_pixel(x, y).0[0]) * (levels - 2) / 255 + noise) as u16])
        };
        DynamicImage::ImageLuma16(ImageBuffer::from_fn(80, 80, sample))
    }

    #[test]
    fn a_film_of_few_bits_and_its_encoded_copy_are_duplicates() {
        for bits in [8, 9, 10, 12, 16] {
            let others = (10..50).map(|seed| narrow(seed, bits, 0));
            let copy = narrow(1, bits, 1);
            let eight_bit = DynamicImage::ImageLuma8(blobs(1, 80));
            let all = [narrow(1, bits, 0), copy, eight_bit].into_iter().chain(others);
            let found = find_duplicates_of(decoded(all));
            let pairs: Vec<(usize, usize)> = found.iter().map(|pair| (pair.a, pair.b)).collect();
            assert!(pairs.contains(&(0, 1)) && pairs.contains(&(0, 2)), "{bits} bits: {pairs:?}");
        }
    }

    #[test]
    fn the_noise_of_a_flat_image_is_no_detail() {
        let flat = |level: u32| {
            let sample = |x: u32, y: u32| Luma([(level + (x * 7_919 + y * 104_729) % 5) as u16]);
            DynamicImage::ImageLuma16(ImageBuffer::from_fn(400, 400, sample))
        };
        assert!(decoded([0, 300, 1_000, 60_000].map(flat)).iter().all(|flat| flat.detail.is_none()));
        let mut one_level = GrayImage::from_pixel(400, 400, Luma([7]));
        one_level.enumerate_pixels_mut().for_each(|(x, _, pixel)| pixel.0[0] += u8::from(x > 200));
        assert!(decoded([DynamicImage::ImageLuma8(one_level)])[0].detail.is_none());
    }

    #[test]
    fn flat_images_are_duplicates_only_if_they_are_equal() {
        let flat = |value: u8| DynamicImage::ImageLuma8(GrayImage::from_pixel(50, 50, Luma([value])));
        let found = find_duplicates_of(thumbnails([flat(10), flat(11), flat(10)]));
        assert_eq!(found, [DuplicatePair { a: 0, b: 2, similarity: 1.0 }]);
    }

    #[test]
    fn the_pairs_do_not_depend_on_the_number_of_threads() {
        let cropped = |seed: u32| DynamicImage::ImageLuma8(blobs(seed, 64)).crop_imm(1, 2, 61, 61);
        let all: Vec<Thumbnail> =
            thumbnails((0..40).map(|seed| blobs(seed, 64).into()).chain((0..20).map(cropped)));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all: Vec<&Thumbnail> = all.iter().collect();
            pool.install(|| find_duplicates(&all, &silent)).expect("nobody cancels it")
        };
        assert_eq!(on(1), on(5));
        assert_eq!(on(1).len(), 20, "{:?}", on(1));
    }

    /// Cancels after this many reports.
    struct CancelAfter(usize, AtomicUsize);

    impl Progress for CancelAfter {
        fn report(&self, _: Stage, _: usize, _: usize) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }

        fn is_cancelled(&self) -> bool {
            self.1.load(Ordering::Relaxed) >= self.0
        }
    }

    #[test]
    fn a_search_that_is_cancelled_ends_at_once() {
        let all = thumbnails((0..40).map(|seed| blobs(seed, 64).into()));
        let all: Vec<&Thumbnail> = all.iter().collect();
        // The first report comes before the first of six blocks, one for each crop, and the last one when all are compared.
        for n in [0, 1, 3, 7] {
            let progress = CancelAfter(n, AtomicUsize::new(0));
            let error = find_duplicates(&all, &progress).expect_err("it is cancelled");
            assert!(matches!(error, DataError::Cancelled), "{error}");
            assert_eq!(progress.1.into_inner(), n, "nothing more is compared");
        }
    }
}
