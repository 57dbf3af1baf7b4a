//! Whether images are grey, and conversion between one and three channels.
//!
//! Chest films are grey, but many are stored as RGB, some with the faint tint of a scanner or with a coloured arrow. Two
//! numbers decide:
//! - an image is *coloured* if the spread of its channels (largest minus smallest), averaged over the pixels of the small
//!   image, is above [`MAX_TINT`] of 255: tinted films have about 4, photographs about 30 and more;
//! - a data set gets three channels if more than [`MAX_COLOURED_PERCENT`] of its training images are coloured.
//!
//! A model with one channel may be given colour images, but does not receive their colours. Their [`variety`] measures how
//! much their colours differ from those of a film. It ignores a uniform tint: a film toned blue or brown is still a film.
//!
//! With three channels every image has its colours, even faint ones, so all images are stored as decoded until the number
//! of channels is decided.

/// Largest mean channel spread, of 255, of an image that counts as grey.
pub const MAX_TINT: u32 = 8;

/// Largest variety of colours, of 255, of an image that can be a film. The maximum over 5,300 films, some of them tinted,
/// is 0.4; a brightly coloured arrow over a fiftieth of a film gives less than 6; photographs have 8 to 40 unless they are
/// nearly grey.
pub const MAX_VARIETY: f64 = 6.0;

/// Number of neighbouring grey values that have one common tint.
const BAND: u8 = 16;

/// Largest percentage of coloured training images in a data set that counts as grey.
pub const MAX_COLOURED_PERCENT: usize = 10;

/// Whether RGB pixels have more colour than a tint.
pub(crate) fn is_coloured(rgb: &[u8]) -> bool {
    let spread = |pixel: &[u8]| {
        let (low, high) = (pixel[0].min(pixel[1]).min(pixel[2]), pixel[0].max(pixel[1]).max(pixel[2]));
        u64::from(high - low)
    };
    let total: u64 = rgb.chunks_exact(3).map(spread).sum();
    total > u64::from(MAX_TINT) * (rgb.len() / 3) as u64
}

/// How much the colours of RGB pixels vary, of 255: the mean spread of the channels after the mean colour of all pixels of
/// similar brightness is subtracted from each pixel. An image whose tint depends on the brightness alone has almost none.
pub(crate) fn variety(rgb: &[u8]) -> f32 {
    // Red and blue relative to green: 0 for all pixels of a grey image.
    let against_green = |pixel: &[u8]| [0, 2].map(|c| f32::from(pixel[c]) - f32::from(pixel[1]));
    let bands: Vec<usize> = to_grey(rgb).into_iter().map(|grey| usize::from(grey / BAND)).collect();
    let mut sums = [([0.0f32; 2], 0.0f32); 256 / BAND as usize];
    for (pixel, &band) in rgb.chunks_exact(3).zip(&bands) {
        let ([red, blue], (sum, n)) = (against_green(pixel), &mut sums[band]);
        *sum = [sum[0] + red, sum[1] + blue];
        *n += 1.0;
    }
    let spread = |(pixel, &band): (&[u8], &usize)| {
        let ([red, blue], (sum, n)) = (against_green(pixel), sums[band]);
        let (red, blue) = (red - sum[0] / n, blue - sum[1] / n);
        red.max(blue).max(0.0) - red.min(blue).min(0.0)
    };
    rgb.chunks_exact(3).zip(&bands).map(spread).sum::<f32>() / bands.len() as f32
}

/// Whether a set with this many coloured images gets three channels.
pub(crate) fn is_colour_set(coloured: usize, total: usize) -> bool {
    coloured * 100 > total * MAX_COLOURED_PERCENT
}

/// Luma of RGB pixels after ITU-R BT.601, rounded to nearest; equal channels stay what they are.
pub(crate) fn to_grey(rgb: &[u8]) -> Vec<u8> {
    let luma = |pixel: &[u8]| {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
        ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
    };
    rgb.chunks_exact(3).map(luma).collect()
}

/// Grey pixels with their value repeated.
pub(crate) fn to_rgb(grey: &[u8]) -> Vec<u8> {
    grey.iter().flat_map(|&value| [value; 3]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_coloured_and_a_tinted_film_is_not() {
        assert!(!is_coloured(&[100, 104, 108].repeat(9)), "a spread of 8 everywhere is a tint");
        assert!(is_coloured(&[100, 104, 109].repeat(9)), "a spread of 9 everywhere is colour");
        // A red arrow over a twentieth of a grey film.
        let mut film = [90; 3].repeat(95);
        film.extend([200, 60, 60].repeat(5));
        assert!(!is_coloured(&film));
    }

    #[test]
    fn a_tinted_film_has_no_variety_and_a_photograph_has() {
        let toned = |tint: [u32; 3]| {
            let pixel = |grey: u32| tint.map(|share| (grey * share / 100) as u8);
            (0..=255).flat_map(pixel).collect::<Vec<u8>>()
        };
        for tint in [[100, 100, 100], [100, 80, 60], [80, 90, 100]] {
            let found = variety(&toned(tint));
            assert!(found < 3.0, "{tint:?}: {found}");
        }
        // Grass under a sky of the same brightness.
        let photograph = [[90, 140, 70].repeat(50), [100, 120, 180].repeat(50)].concat();
        assert!(variety(&photograph) > 30.0);
        // A red arrow over a fiftieth of a flat film, and of the same brightness: the worst case.
        let arrow = [[100; 3].repeat(98), [200, 60, 60].repeat(2)].concat();
        assert!((2.0..MAX_VARIETY).contains(&f64::from(variety(&arrow))));
    }

    #[test]
    fn a_data_set_with_a_tenth_of_coloured_images_is_grey() {
        assert!(!is_colour_set(10, 100));
        assert!(is_colour_set(11, 100));
        assert!(is_colour_set(1, 1));
        assert!(!is_colour_set(0, 0));
    }

    #[test]
    fn equal_channels_have_the_same_value_in_both_directions() {
        let grey: Vec<u8> = (0..=255).collect();
        assert_eq!(to_grey(&to_rgb(&grey)), grey);
        assert_eq!(to_grey(&[255, 0, 0, 0, 255, 0, 0, 0, 255]), [76, 150, 29]);
    }
}
