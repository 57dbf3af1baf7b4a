//! An image as a few numbers.
//!
//! The numbers: mean and contrast (the logarithm of the standard deviation); then, of the image with the mean 0 and the
//! contrast 1, the [`COARSE`] x [`COARSE`] lowest coefficients of the discrete cosine transform (Ahmed et al. 1974) but the
//! first, which describe the coarse layout, and the logarithm of the energy in each octave above them, which describes how
//! much detail of each size there is. A drawing differs from a film in the layout, noise and text in the detail, a blurred
//! film in the finest detail.
//!
//! Without the division by the contrast, noise of low contrast passed: its coefficients are small, as is their mean over the
//! training images, and its detail has the energy that films have, though not the share.

use ndarray::ArrayView3;

/// Coefficients along each axis.
const COARSE: usize = 5;
/// Where the first octave begins, in half periods per image.
const FIRST_OCTAVE: f64 = 3.0;
/// Largest side that is transformed; larger images are averaged down to it.
const MAX_SIDE: usize = 32;
/// The smallest contrast, in units of the training images' standard deviation: a flat image has none to divide by.
const MIN_CONTRAST: f64 = 0.02;
/// Added to the energies, in units of the image's variance: the logarithm of zero energy is undefined. The finest octave of
/// a film has 100 times as much, and a blurred one little more than this; ten times as much hid half of the blurred ones.
const MIN_ENERGY: f64 = 1e-5;

/// Numbers in the signature of a crop of `crop` pixels.
pub(super) fn length(crop: usize) -> usize {
    2 + COARSE * COARSE - 1 + n_octaves(crop.min(MAX_SIDE))
}

/// Octaves that begin below the highest frequency along an axis.
fn n_octaves(side: usize) -> usize {
    (0..).take_while(|&octave| FIRST_OCTAVE * f64::from(1 << octave) <= side as f64).count()
}

/// The signature of the normalised pixels `(size, size, c)`.
pub(super) fn of(pixels: ArrayView3<'_, f32>) -> Vec<f64> {
    let (size, _, channels) = pixels.dim();
    let side = size.min(MAX_SIDE);
    let range = |at: usize| at * size / side..(at + 1) * size / side;
    let mut grey = vec![0.0; side * side];
    for (at, grey) in grey.iter_mut().enumerate() {
        let (rows, columns) = (range(at / side), range(at % side));
        let count = (rows.len() * columns.len() * channels) as f64;
        let cell = rows.flat_map(|row| columns.clone().map(move |column| (row, column)));
        let sum: f64 = cell
            .flat_map(|(row, column)| (0..channels).map(move |c| f64::from(pixels[[row, column, c]])))
            .sum();
        *grey = sum / count;
    }
    let [mean, contrast] = standardise(&mut grey);
    let coefficients = cosine_transform(&grey, side);
    let mut signature = Vec::with_capacity(length(size));
    signature.extend([mean, libm::log(contrast)]);
    let coarse = (0..COARSE).flat_map(|u| &coefficients[u * side..][..COARSE]);
    // The first coefficient is the mean, which is 0 now.
    signature.extend(coarse.skip(1));
    let mut octaves = vec![(0.0, 0); n_octaves(side)];
    for (at, coefficient) in coefficients.iter().enumerate() {
        let frequency = ((at / side).pow(2) + (at % side).pow(2)) as f64;
        let octave = octaves
            .len()
            .min((0..).take_while(|&o| square(FIRST_OCTAVE * f64::from(1 << o)) <= frequency).count());
        if let Some((energy, count)) = octave.checked_sub(1).and_then(|octave| octaves.get_mut(octave)) {
            *energy += coefficient * coefficient;
            *count += 1;
        }
    }
    signature
        .extend(octaves.into_iter().map(|(energy, count)| libm::log(energy / f64::from(count) + MIN_ENERGY)));
    signature
}

/// Subtracts the mean and divides by the contrast. Returns both.
fn standardise(pixels: &mut [f64]) -> [f64; 2] {
    let n = pixels.len() as f64;
    let mean = pixels.iter().sum::<f64>() / n;
    let variance = pixels.iter().map(|x| square(x - mean)).sum::<f64>() / n;
    let contrast = (variance + square(MIN_CONTRAST)).sqrt();
    pixels.iter_mut().for_each(|x| *x = (*x - mean) / contrast);
    [mean, contrast]
}

fn square(x: f64) -> f64 {
    x * x
}

/// The orthonormal type-II transform of a square image along both axes.
fn cosine_transform(pixels: &[f64], side: usize) -> Vec<f64> {
    let n = side as f64;
    let basis: Vec<f64> = (0..side * side)
        .map(|at| {
            let (frequency, position) = ((at / side) as f64, (at % side) as f64);
            let scale = if frequency == 0.0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
            scale * libm::cos(std::f64::consts::PI * (position + 0.5) * frequency / n)
        })
        .collect();
    // Transforms every row and transposes the result: applied twice, it transforms both axes.
    let along = |rows: &[f64]| {
        let mut out = vec![0.0; side * side];
        for (row, values) in rows.chunks_exact(side).enumerate() {
            for (frequency, wave) in basis.chunks_exact(side).enumerate() {
                out[frequency * side + row] = values.iter().zip(wave).map(|(a, b)| a * b).sum();
            }
        }
        out
    };
    along(&along(pixels))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn the_transform_keeps_energy_and_finds_a_wave() {
        let side = 8;
        let wave: Vec<f64> = (0..64)
            .map(|at| libm::cos(std::f64::consts::PI * ((at % side) as f64 + 0.5) * 3.0 / 8.0))
            .collect();
        let coefficients = cosine_transform(&wave, side);
        let energy = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        assert!((energy(&coefficients) - energy(&wave)).abs() < 1e-9);
        assert!((coefficients[3].powi(2) - energy(&wave)).abs() < 1e-9, "all of it at frequency (0, 3)");
    }

    #[test]
    fn signatures_have_their_length_at_every_size() {
        for size in [8, 24, 31, 32, 33, 100] {
            let signature = of(Array3::<f32>::ones((size, size, 3)).view());
            assert_eq!(signature.len(), length(size), "{size}");
            assert!(
                signature[0] == 1.0 && signature[2..2 + 24].iter().all(|x| x.abs() < 1e-9),
                "only a mean"
            );
        }
        assert_eq!(length(24), 26 + 4);
    }

    /// Smooth shapes with fine detail, as films.
    fn pattern(size: usize, contrast: f32) -> Array3<f32> {
        Array3::from_shape_fn((size, size, 1), |(y, x, _)| {
            let (y, x) = (y as f32 / size as f32, x as f32 / size as f32);
            contrast * (libm::sinf(7.0 * x) + libm::cosf(5.0 * y) + 0.2 * libm::sinf(60.0 * x * y))
        })
    }

    #[test]
    fn contrast_changes_one_number_and_blur_the_finest_octaves() {
        let size = 24;
        let image = pattern(size, 1.0);
        let [sharp, faint] = [image.clone(), pattern(size, 0.3)].map(|image| of(image.view()));
        for (at, (sharp, faint)) in sharp.iter().zip(&faint).enumerate().skip(1) {
            let expected = if at == 1 { libm::log(0.3) } else { 0.0 };
            assert!((faint - sharp - expected).abs() < 0.05, "number {at}: {sharp}, {faint}");
        }
        // Means of 3x3 pixels, a deviation of 0.8 pixels.
        let inside = |at: usize, step: usize| (at + step).saturating_sub(1).min(size - 1);
        let blurred = Array3::from_shape_fn((size, size, 1), |(y, x, _)| {
            (0..9).map(|k| image[[inside(y, k / 3), inside(x, k % 3), 0]]).sum::<f32>() / 9.0
        });
        let blurred = of(blurred.view());
        let change: Vec<f64> = (26..30).map(|at| blurred[at] - sharp[at]).collect();
        assert!(change[0] > -0.5 && change[2] < -1.5 && change[3] < -1.5, "{change:?}");
    }
}
