//! Whether pictures are grey, and the way from one channel count to the other.
//!
//! Chest films are grey, but many are stored as RGB, some with a faint tint of a scanner or with a coloured
//! arrow. Two numbers decide:
//! - a picture is *coloured* if the spread of its channels (largest minus smallest), averaged over the cached
//!   pixels, is above [`MOST_TINT`] of 255: tinted films have about 4, photographs about 30 and more;
//! - a set gets three channels if more than [`MOST_COLOURED_PERCENT`] of its training pictures are coloured.
//!
//! In a set of three channels every picture keeps its colours, faint ones too, so pictures are kept as decoded
//! until the whole set is known.

/// Mean channel spread, of 255, up to which a picture counts as grey.
pub const MOST_TINT: u32 = 8;

/// Share of coloured training pictures, in per cent, up to which a set counts as grey.
pub const MOST_COLOURED_PERCENT: usize = 10;

/// Whether RGB pixels have more colour than a tint.
pub(crate) fn is_coloured(rgb: &[u8]) -> bool {
    let spread = |pixel: &[u8]| {
        let (low, high) = (pixel[0].min(pixel[1]).min(pixel[2]), pixel[0].max(pixel[1]).max(pixel[2]));
        u64::from(high - low)
    };
    let total: u64 = rgb.chunks_exact(3).map(spread).sum();
    total > u64::from(MOST_TINT) * (rgb.len() / 3) as u64
}

/// Whether a set with this many coloured pictures gets three channels.
pub(crate) fn is_colour_set(coloured: usize, total: usize) -> bool {
    coloured * 100 > total * MOST_COLOURED_PERCENT
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
    fn a_tint_is_no_colour_and_a_photograph_is() {
        assert!(!is_coloured(&[100, 104, 108].repeat(9)), "a spread of 8 everywhere is a tint");
        assert!(is_coloured(&[100, 104, 109].repeat(9)), "a spread of 9 everywhere is colour");
        // A red arrow over a twentieth of a grey film.
        let mut film = [90; 3].repeat(95);
        film.extend([200, 60, 60].repeat(5));
        assert!(!is_coloured(&film));
    }

    #[test]
    fn a_tenth_of_coloured_pictures_leaves_a_set_grey() {
        assert!(!is_colour_set(10, 100));
        assert!(is_colour_set(11, 100));
        assert!(is_colour_set(1, 1));
        assert!(!is_colour_set(0, 0));
    }

    #[test]
    fn equal_channels_keep_their_value_both_ways() {
        let grey: Vec<u8> = (0..=255).collect();
        assert_eq!(to_grey(&to_rgb(&grey)), grey);
        assert_eq!(to_grey(&[255, 0, 0, 0, 255, 0, 0, 0, 255]), [76, 150, 29]);
    }
}
