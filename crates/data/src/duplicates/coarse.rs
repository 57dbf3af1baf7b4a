//! The first comparison, of all images with all: on a coarse grid.

use rayon::prelude::*;

use super::check_cancelled;
use super::detail_pyramid::{Cut, DetailPyramid};
use super::dot_products::{COLUMNS, Panels, ROWS, Tile, multiply};
use crate::error::DataError;
use crate::progress::Progress;

/// Side of the grid.
const SIDE: usize = 12;
/// Cells of the grid.
const CELLS: usize = SIDE * SIDE;
/// A coarse grid, rows from the top.
pub(super) type Coarse = [i16; CELLS];
/// Length of a coarse grid as a vector of integers: the dot product of two is the cosine times the square of this.
const LENGTH: f32 = 4096.0;
/// Smallest correlation of a pair that is compared further. A crop by 5 % on every side leaves more.
const LEAST: f32 = 0.35;
/// Number of similar images that each image is compared with on the full grid, for each crop.
pub(super) const N_NEAREST: usize = 8;
/// Number of crops that are compared with all images together, so that the grids are read from memory once per block: as many
/// as fit into the first cache beside a panel of images.
pub(super) const BLOCK: usize = 8 * ROWS;

/// Two images that are similar on the coarse grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The one that is cropped.
    pub(super) crop: usize,
    pub(super) cut: Cut,
    /// The one that may be the result of the crop.
    pub(super) whole: usize,
    /// The dot product of their coarse grids.
    pub(super) product: i32,
}

impl Candidate {
    pub(super) fn pair(&self) -> (usize, usize) {
        (usize::min(self.crop, self.whole), usize::max(self.crop, self.whole))
    }
}

/// The cropped image, averaged over squares, with its mean subtracted and scaled to [`LENGTH`].
pub(super) fn coarse(pyramid: &DetailPyramid, cut: Cut) -> Coarse {
    let cells = pyramid.averaged::<CELLS>(cut);
    let mean = cells.iter().sum::<f32>() / CELLS as f32;
    let length = cells.iter().map(|cell| (cell - mean) * (cell - mean)).sum::<f32>().sqrt();
    cells.map(|cell| if length > 0.0 { ((cell - mean) / length * LENGTH).round() as i16 } else { 0 })
}

/// Each of `crops` with its [`N_NEAREST`] most similar of `wholes`, if their correlation is at least [`LEAST`].
///
/// # Errors
/// [`DataError::Cancelled`].
pub(super) fn nearest(
    crops: &[Coarse],
    wholes: &Panels<COLUMNS>,
    cut: Cut,
    progress: &dyn Progress,
    block_done: &(dyn Fn() + Sync),
) -> Result<Vec<Candidate>, DataError> {
    let of_block = |(block, crops): (usize, &[Coarse])| {
        check_cancelled(progress)?;
        let found = nearest_of_block(block * BLOCK, crops, wholes, cut);
        block_done();
        Ok(found)
    };
    let blocks: Result<Vec<Vec<Candidate>>, DataError> =
        crops.par_chunks(BLOCK).enumerate().map(of_block).collect();
    Ok(blocks?.into_iter().flatten().collect())
}

/// [`nearest`] of a block of crops, the first of which is image `first`.
fn nearest_of_block(first: usize, crops: &[Coarse], wholes: &Panels<COLUMNS>, cut: Cut) -> Vec<Candidate> {
    let crop_panels = Panels::<ROWS>::pack(crops);
    let mut found: Vec<Nearest> = (0..crops.len()).map(|_| Nearest::new()).collect();
    let mut tile: Tile = [[0; COLUMNS]; ROWS];
    for (wholes, first_whole) in wholes.iter().zip((0..).step_by(COLUMNS)) {
        for (panel, (crops, found)) in crop_panels.iter().zip(found.chunks_mut(ROWS)).enumerate() {
            let least = std::array::from_fn(|row| found.get(row).map_or(i32::MAX, |found| found.least));
            let has_similar = multiply(crops, wholes, &least, &mut tile);
            for (row, found) in found.iter_mut().enumerate().filter(|&(row, _)| has_similar[row]) {
                let crop = first + panel * ROWS + row;
                let products = tile[row].iter().zip(first_whole..);
                products.for_each(|(&product, whole)| found.add(whole, product, crop));
            }
        }
    }
    let candidates = |(found, crop): (Nearest, usize)| {
        let candidate = move |(whole, product)| Candidate { crop, cut, whole, product };
        found.products.into_iter().map(candidate)
    };
    found.into_iter().zip(first..).flat_map(candidates).collect()
}

/// The images that are most similar to a crop.
struct Nearest {
    /// The images and their products, the largest first; of equal ones the earlier image.
    products: Vec<(usize, i32)>,
    /// The smallest product that would be added.
    least: i32,
}

impl Nearest {
    fn new() -> Self {
        // Integers give the same pairs on every machine.
        Self { products: Vec::with_capacity(N_NEAREST + 1), least: (LEAST * LENGTH * LENGTH) as i32 }
    }

    /// Adds an image unless it is not similar enough, or the one that is cropped.
    fn add(&mut self, whole: usize, product: i32, crop: usize) {
        if product < self.least || whole == crop {
            return;
        }
        let rank = self.products.partition_point(|&(_, earlier)| earlier >= product);
        self.products.insert(rank, (whole, product));
        self.products.truncate(N_NEAREST);
        if let Some(&(_, smallest)) = self.products.get(N_NEAREST - 1) {
            self.least = smallest + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::silent;

    /// Grids of which many are similar; every tenth is equal to the one before it, so that products are equal, too.
    fn grids(n: usize) -> Vec<Coarse> {
        let noise = |i: usize| (i * 7919 % 1009) as i16 - 504;
        let of = |image: usize| image - usize::from(image % 10 == 9);
        let grid = |image: usize| {
            std::array::from_fn(|cell| {
                noise(cell) / 2 + noise(of(image) * CELLS + cell) / 2 + noise(of(image) % 7)
            })
        };
        (0..n).map(grid).collect()
    }

    #[test]
    fn the_nearest_are_those_of_all_comparisons() {
        let (crops, n) = (grids(2 * BLOCK + 5), 2 * BLOCK + 5);
        let found = nearest(&crops, &Panels::pack(&crops), Cut::default(), &silent, &|| ());
        let found = found.expect("nobody cancels it");
        let mut expected = Vec::new();
        for crop in 0..n {
            let product = |whole: usize| -> i32 {
                crops[crop].iter().zip(crops[whole]).map(|(&a, b)| i32::from(a) * i32::from(b)).sum()
            };
            let mut products: Vec<(usize, i32)> =
                (0..n).filter(|&whole| whole != crop).map(|whole| (whole, product(whole))).collect();
            products.retain(|&(_, product)| product >= (LEAST * LENGTH * LENGTH) as i32);
            products.sort_by_key(|&(whole, product)| (std::cmp::Reverse(product), whole));
            expected
                .extend(products.into_iter().take(N_NEAREST).map(|(whole, product)| (crop, whole, product)));
        }
        let found: Vec<_> = found.iter().map(|near| (near.crop, near.whole, near.product)).collect();
        assert!(found.len() > 2 * n, "{} candidates", found.len());
        assert_eq!(found, expected);
    }
}
