//! Pictures that show the same: equal pixels, or one film encoded, resized, cropped or toned anew.
//!
//! Chest films all look alike, so that 64 bits of a perceptual hash tell them apart badly. Each picture is kept as a
//! [`Thumbnail`] of its local detail, and two of them are compared by correlation: first all with all on a coarse grid,
//! then the nearest few on the full one, laid over each other as a crop of a few percent would have shifted them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::DynamicImage;
use rayon::prelude::*;

use crate::groups::Groups;

use detail::Detail;
pub(crate) use detail::{SMALLEST_WITH_DETAIL, is_tiny};
use overlay::{Cut, HALF_MISSES, Overlay};

mod detail;
mod overlay;

/// Side of the grid on which all pictures are compared with all.
const COARSE_SIDE: usize = 12;
/// Cells of a coarse grid.
const COARSE: usize = COARSE_SIDE * COARSE_SIDE;
/// A coarse grid, rows from the top.
type Coarse = [i16; COARSE];
/// Length of a coarse grid as a vector of integers: the product of two is the cosine times its square.
const COARSE_LENGTH: f32 = 4096.0;
/// Coarse correlation from which a pair is looked at more closely. A crop by 5 % on every side leaves more.
const COARSE_LEAST: f32 = 0.35;
/// How many of its nearest a picture is compared with closely, in each view.
const KEPT: usize = 8;
/// Crops that pass over all pictures together, so that the grids of those come from memory once for each block.
const BLOCK: usize = 16;

/// Most pictures among which crops are sought.
pub(crate) const MOST_FOR_CROPS: usize = 30_000;

/// Pictures without detail that are counted into the mean, so that two copies do not cancel each other.
const NO_DETAIL: usize = 50;

/// Correlation of the detail under which no two pictures are called the same, and over which any are, where either would
/// otherwise be asked of them.
const LEAST: f64 = 0.85;
const ENOUGH: f64 = 0.96;
/// Of what the pictures of a set differ from those they resemble, the share in which copies may differ. Copies that were
/// encoded, resized or toned anew differ by a hundredth, those cropped by 5 % by a tenth; chest films that merely
/// resemble each other by a half (tests/planted_copies.rs).
const COPY_DIFFERS: f64 = 0.22;

/// What is kept of a picture to find its copies.
#[derive(Clone, Debug)]
pub(crate) struct Thumbnail {
    /// Of the decoded pixels and their layout.
    pub(crate) digest: [u8; 32],
    /// Its local detail; `None` for a flat or tiny picture, which has none that could be compared.
    detail: Option<Box<Detail>>,
}

impl Thumbnail {
    /// Of a picture as decoded.
    pub(crate) fn of(image: &DynamicImage) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&image.width().to_le_bytes());
        hasher.update(&[image.color().bytes_per_pixel()]);
        hasher.update(image.as_bytes());
        Self { digest: *hasher.finalize().as_bytes(), detail: detail::of(image).map(Box::new) }
    }
}

/// Two pictures that show the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DuplicatePair {
    /// The earlier one, by its index.
    pub(crate) a: usize,
    /// The later one.
    pub(crate) b: usize,
    /// 1 for equal pixels; below that the correlation of their detail.
    pub(crate) similarity: f64,
}

/// All pairs that show the same, sorted; of more than two equal ones each with the first. `progress` gets the blocks of
/// comparisons done, and all.
pub(crate) fn find_duplicates(
    thumbnails: &[Thumbnail],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<DuplicatePair> {
    let mut found: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut first_with: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    let mut distinct = Vec::new();
    for (index, thumbnail) in thumbnails.iter().enumerate() {
        let first = *first_with.entry(thumbnail.digest).or_insert(index);
        if first != index {
            found.insert((first, index), 1.0);
        } else if let Some(detail) = &thumbnail.detail {
            distinct.push((index, &**detail));
        }
    }
    let common = common_detail(&distinct);
    let overlays: Vec<Overlay> =
        distinct.par_iter().map(|(_, detail)| Overlay::of(detail, &common)).collect();
    let wholes: Vec<Coarse> = overlays.par_iter().map(|overlay| coarse(overlay, Cut::default())).collect();
    let mut near: Vec<Near> = Vec::new();
    let n_blocks = views(wholes.len()).count() * wholes.len().div_ceil(BLOCK);
    progress(0, n_blocks);
    let n_done = AtomicUsize::new(0);
    let block_done = || progress(n_done.fetch_add(1, Ordering::Relaxed) + 1, n_blocks);
    for cut in views(wholes.len()) {
        let crops: Vec<Coarse> = overlays.par_iter().map(|overlay| coarse(overlay, cut)).collect();
        near.extend(nearest(&crops, &wholes, cut, &block_done));
    }
    // Of each pair, the view in which it is most alike.
    near.sort_by_key(|near| (near.pair(), Reverse(near.product)));
    near.dedup_by_key(|near| near.pair());
    let rough = |near: &Near| overlays[near.crop].rough_similarity(&overlays[near.whole], near.cut, LEAST);
    let rough: Vec<(f64, Cut)> = near.par_iter().map(rough).collect();
    let cut_off = cut_off(&near, &rough, distinct.len());
    let twins = |(near, &(rough, cut)): (&Near, &(f64, Cut))| {
        let may_be = rough >= cut_off - HALF_MISSES;
        let similarity =
            may_be.then(|| overlays[near.crop].similarity(&overlays[near.whole], cut, cut_off))?;
        let (a, b) = near.pair();
        // Different pixels are never called equal.
        (similarity >= cut_off).then(|| ((distinct[a].0, distinct[b].0), similarity.min(0.999_999)))
    };
    found.par_extend(near.par_iter().zip(&rough).filter_map(twins));
    found.into_iter().map(|((a, b), similarity)| DuplicatePair { a, b, similarity }).collect()
}

/// DuplicatePair, twins of twins and so on of `n` pictures in one group each.
pub(crate) fn group_duplicates(n: usize, twins: &[DuplicatePair]) -> Groups {
    let mut groups = Groups::new(n);
    twins.iter().for_each(|twins| groups.join(twins.a, twins.b));
    groups
}

/// The mean detail, which tells no two pictures apart.
fn common_detail(distinct: &[(usize, &Detail)]) -> Vec<f32> {
    let mut sums = vec![0i32; detail::SIDE * detail::SIDE];
    for (_, detail) in distinct {
        sums.iter_mut().zip(detail.iter()).for_each(|(sum, &value)| *sum += i32::from(value));
    }
    let n = distinct.len() + NO_DETAIL;
    sums.into_iter().map(|sum| sum as f32 / n as f32).collect()
}

/// The correlation from which two pictures show the same: films of one view resemble each other more than snapshots
/// do, so it is set by how much the pictures of this set do.
fn cut_off(near: &[Near], rough: &[(f64, Cut)], n: usize) -> f64 {
    let mut of_each = vec![Vec::new(); n];
    for (near, &(similarity, _)) in near.iter().zip(rough) {
        of_each[near.crop].push(similarity);
        of_each[near.whole].push(similarity);
    }
    // Of a picture with fewer, most may be copies.
    let resembling = of_each.into_iter().filter(|similarities| similarities.len() >= 2 * KEPT).map(median);
    let resemblance = median(resembling.collect());
    (1.0 - COPY_DIFFERS * (1.0 - resemblance)).clamp(LEAST, ENOUGH)
}

/// The upper one of two middle values; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Two pictures that are alike on the coarse grid.
#[derive(Clone, Copy, Debug)]
struct Near {
    /// The one that is cut.
    crop: usize,
    cut: Cut,
    /// The one that may be what the cut leaves.
    whole: usize,
    /// Of their coarse grids.
    product: i32,
}

impl Near {
    fn pair(&self) -> (usize, usize) {
        (usize::min(self.crop, self.whole), usize::max(self.crop, self.whole))
    }
}

/// The whole picture, and the crops of it that a copy may be: 5 % off every side, and off two that meet. Of very many
/// pictures the whole alone: the time grows with the square of their number.
fn views(n: usize) -> impl Iterator<Item = Cut> {
    const OFF: f32 = 0.05;
    const VIEWS: [[f32; 4]; 6] = [
        [0.0; 4],
        [OFF; 4],
        [OFF, 0.0, OFF, 0.0],
        [OFF, 0.0, 0.0, OFF],
        [0.0, OFF, OFF, 0.0],
        [0.0, OFF, 0.0, OFF],
    ];
    let views = if n > MOST_FOR_CROPS { &VIEWS[..1] } else { &VIEWS };
    views.iter().map(|&[left, right, top, bottom]| Cut { left, right, top, bottom })
}

/// What a crop leaves, averaged over squares, without its mean, of [`COARSE_LENGTH`].
fn coarse(overlay: &Overlay, cut: Cut) -> Coarse {
    let cells = overlay.averaged::<COARSE>(cut);
    let mean = cells.iter().sum::<f32>() / COARSE as f32;
    let length = cells.iter().map(|cell| (cell - mean) * (cell - mean)).sum::<f32>().sqrt();
    cells.map(|cell| if length > 0.0 { ((cell - mean) / length * COARSE_LENGTH).round() as i16 } else { 0 })
}

/// Each of `crops` with its [`KEPT`] nearest of `wholes`, of those of a correlation of at least [`COARSE_LEAST`].
fn nearest(crops: &[Coarse], wholes: &[Coarse], cut: Cut, block_done: &(dyn Fn() + Sync)) -> Vec<Near> {
    // Integers: the same pairs on every machine.
    let least = (COARSE_LEAST * COARSE_LENGTH * COARSE_LENGTH) as i32;
    let of_block = |(block, crops): (usize, &[Coarse])| {
        let mut kept: Vec<Vec<Near>> = vec![Vec::new(); crops.len()];
        for (whole, grid) in wholes.iter().enumerate() {
            for (at, (crop, kept)) in crops.iter().zip(&mut kept).enumerate() {
                let product = product(crop, grid);
                let is_near = kept.len() < KEPT || kept[KEPT - 1].product < product;
                if product >= least && is_near && whole != block * BLOCK + at {
                    let place = kept.partition_point(|near| near.product >= product);
                    kept.insert(place, Near { crop: block * BLOCK + at, cut, whole, product });
                    kept.truncate(KEPT);
                }
            }
        }
        block_done();
        kept.into_iter().flatten()
    };
    crops.par_chunks(BLOCK).enumerate().flat_map_iter(of_block).collect()
}

/// The sum of the products, of vectors so short that it fits.
fn product(a: &Coarse, b: &Coarse) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage, imageops};

    use super::*;

    /// A picture of smooth noise that `seed` decides.
    fn blobs(seed: u32, side: u32) -> GrayImage {
        let random = |x: u32, y: u32| {
            let mixed = (seed * 64 * 64 + y * 64 + x + 1).wrapping_mul(2_654_435_761);
            ((mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
        };
        let lattice = GrayImage::from_fn(10, 10, |x, y| Luma([random(x, y)]));
        imageops::resize(&lattice, side, side, imageops::FilterType::CatmullRom)
    }

    fn thumbnails(images: impl IntoIterator<Item = DynamicImage>) -> Vec<Thumbnail> {
        images.into_iter().map(|image| Thumbnail::of(&image)).collect()
    }

    fn find_duplicates_of(thumbnails: Vec<Thumbnail>) -> Vec<DuplicatePair> {
        find_duplicates(&thumbnails, &|_, _| {})
    }

    #[test]
    fn equal_pixels_are_twins_of_the_first_with_similarity_one() {
        let image = |seed: u32| DynamicImage::ImageLuma8(blobs(seed, 60));
        let found = find_duplicates_of(thumbnails([image(1), image(2), image(1), image(1)]));
        assert_eq!(
            found,
            [DuplicatePair { a: 0, b: 2, similarity: 1.0 }, DuplicatePair { a: 0, b: 3, similarity: 1.0 }]
        );
    }

    #[test]
    fn the_same_picture_in_colour_and_16_bit_is_near_but_not_equal() {
        let grey = blobs(3, 80);
        let rgb = RgbImage::from_fn(80, 80, |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
        let deep = DynamicImage::ImageLuma8(grey.clone()).to_luma16();
        let found = find_duplicates_of(thumbnails([
            DynamicImage::ImageLuma8(grey),
            DynamicImage::ImageRgb8(rgb),
            DynamicImage::ImageLuma16(deep),
        ]));
        assert_eq!(
            found.iter().map(|twins| (twins.a, twins.b)).collect::<Vec<_>>(),
            [(0, 1), (0, 2), (1, 2)]
        );
        assert!(found.iter().all(|twins| twins.similarity > 0.99 && twins.similarity < 1.0));
    }

    #[test]
    fn flat_pictures_are_twins_only_if_they_are_equal() {
        let flat = |value: u8| DynamicImage::ImageLuma8(GrayImage::from_pixel(50, 50, Luma([value])));
        let found = find_duplicates_of(thumbnails([flat(10), flat(11), flat(10)]));
        assert_eq!(found, [DuplicatePair { a: 0, b: 2, similarity: 1.0 }]);
    }

    #[test]
    fn what_is_found_does_not_depend_on_the_number_of_threads() {
        let copy = |seed: u32| DynamicImage::ImageLuma8(blobs(seed, 64)).crop_imm(1, 2, 61, 61);
        let all = thumbnails((0..40).map(|seed| blobs(seed, 64).into()).chain((0..20).map(copy)));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| find_duplicates(&all, &|_, _| {}))
        };
        assert_eq!(on(1), on(5));
        assert_eq!(on(1).len(), 20, "{:?}", on(1));
    }
}
