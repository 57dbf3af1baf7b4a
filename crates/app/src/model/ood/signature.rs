//! An image as a few numbers.
//!
//! The numbers: the [`COARSE`] x [`COARSE`] lowest coefficients of the discrete cosine transform (Ahmed et al. 1974),
//! which describe the coarse layout, and the logarithm of the energy in each octave above them, which describes how much
//! detail of each size there is. A film differs from a flat image in the first, from noise and text in the second.

use ndarray::ArrayView3;

/// Coefficients along each axis.
const COARSE: usize = 5;
/// Where the first octave begins, in half periods per image.
const FIRST_OCTAVE: f64 = 3.0;
/// Largest side that is transformed; larger images are averaged down to it.
const MAX_SIDE: usize = 32;
/// Added to the energies, in units of the training images' variance: the logarithm of zero energy is undefined.
const MIN_ENERGY: f64 = 1e-4;

/// Numbers in the signature of a crop of `crop` pixels.
pub(super) fn length(crop: usize) -> usize {
    COARSE * COARSE + n_octaves(crop.min(MAX_SIDE))
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
    let coefficients = cosine_transform(&grey, side);
    let mut signature = Vec::with_capacity(length(size));
    signature.extend((0..COARSE).flat_map(|u| coefficients[u * side..][..COARSE].to_vec()));
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
    // Of every row; the result transposed, so that twice is both axes.
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
            assert!(signature[1..COARSE * COARSE].iter().all(|x| x.abs() < 1e-9), "nothing but the mean");
        }
        assert_eq!(length(24), 25 + 4);
    }
}
