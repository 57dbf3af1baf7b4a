//! Small rotations, magnifications and changes of aspect ratio: patients are not always upright, films are not taken from
//! the same distance, and images are cropped or squeezed differently elsewhere.

use roentgen_tensor::rng::CounterRng;

use crate::crop_window::{CropWindow, mirrored};
use crate::image_set::ImageView;

/// A rotation, a magnification and a stretch: the matrix that maps a position in the crop, as `(down, right)` from its
/// centre, to the position in the image, and the shift of that centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AffineTransform {
    /// Coefficients of the row.
    down: [f32; 2],
    /// Coefficients of the column.
    right: [f32; 2],
    /// Shift of the centre, down and right, in half sides of the crop.
    shift: [f32; 2],
}

impl AffineTransform {
    /// A rotation by `degrees`, magnified `magnification` times.
    #[must_use]
    pub(crate) fn new(degrees: f32, magnification: f32) -> Self {
        let radians = degrees.to_radians();
        let (cosine, sine) = (libm::cosf(radians) / magnification, libm::sinf(radians) / magnification);
        Self { down: [cosine, sine], right: [-sine, cosine], shift: [0.0; 2] }
    }

    /// No rotation; one row and column of the crop for every `rows` and `columns` of the image.
    pub(crate) fn spaced([rows, columns]: [f32; 2]) -> Self {
        Self { down: [rows, 0.0], right: [0.0, columns], shift: [0.0; 2] }
    }

    /// Random: the angle is uniform between `-degrees` and `degrees`, the magnification uniform in its logarithm from
    /// `1 / (1 + zoom / 3)` to `1 + zoom`. Reductions are smaller because a reduced image has its mirror image at the edges,
    /// which real films do not have. A magnified image is centred on a random position inside the window, as in the crops
    /// of Szegedy et al. (2015, section 6): films differ in their centre as well as in their distance.
    pub(super) fn draw(rng: &mut CounterRng, degrees: f32, zoom: f32) -> Self {
        let angle = rng.range(-degrees, degrees);
        let magnification = log_uniform(rng, zoom / 3.0, zoom);
        let slack = (1.0 - 1.0 / magnification).max(0.0);
        let shift = [rng.range(-slack, slack), rng.range(-slack, slack)];
        Self { shift, ..Self::new(angle, magnification) }
    }

    /// The same, with the image stretched to `ratio` times its aspect ratio on the same area.
    #[must_use]
    pub(crate) fn stretched(self, ratio: f32) -> Self {
        let root = ratio.sqrt();
        Self {
            down: self.down.map(|value| value * root),
            right: self.right.map(|value| value / root),
            ..self
        }
    }

    /// Stretched by a random ratio, uniform in its logarithm from `1 / (1 + aspect)` to `1 + aspect`.
    pub(super) fn randomly_stretched(self, rng: &mut CounterRng, aspect: f32) -> Self {
        self.stretched(log_uniform(rng, aspect, aspect))
    }

    /// Cuts the transformed window out of an image: values of `table`, interpolated between four pixels.
    pub(crate) fn cut(
        &self,
        image: &ImageView<'_>,
        window: CropWindow,
        table: &[[f32; 256]],
        crop: usize,
        out: &mut [f32],
    ) {
        let channels = table.len();
        let pixels: &[u8] = &image.pixels;
        let centre = (crop as f32 - 1.0) / 2.0;
        for (row, out_row) in out.chunks_exact_mut(crop * channels).enumerate() {
            for (column, out) in out_row.chunks_exact_mut(channels).enumerate() {
                // The other cut, in `batch.rs`, implements the flip too.
                let column = if window.flip { crop - 1 - column } else { column };
                let (down, right) = (row as f32 - centre, column as f32 - centre);
                let y = window.top as f32
                    + centre * (1.0 + self.shift[0])
                    + self.down[0] * down
                    + self.down[1] * right;
                let x = window.left as f32
                    + centre * (1.0 + self.shift[1])
                    + self.right[0] * down
                    + self.right[1] * right;
                let (y0, x0) = (libm::floorf(y), libm::floorf(x));
                let (dy, dx) = (y - y0, x - x0);
                let rows = [0, 1].map(|next| mirrored(y0 as isize + next, image.height) * image.width);
                let columns = [0, 1].map(|next| mirrored(x0 as isize + next, image.width));
                for (channel, out) in out.iter_mut().enumerate() {
                    let at = |row: usize, column: usize| {
                        let index = (rows[row] + columns[column]) * channels + channel;
                        table[channel][usize::from(pixels[index])]
                    };
                    let above = at(0, 0) + dx * (at(0, 1) - at(0, 0));
                    let below = at(1, 0) + dx * (at(1, 1) - at(1, 0));
                    *out = above + dy * (below - above);
                }
            }
        }
    }
}

/// A factor between `1 / (1 + down)` and `1 + up`, uniform in its logarithm.
fn log_uniform(rng: &mut CounterRng, down: f32, up: f32) -> f32 {
    libm::expf(rng.range(-libm::log1pf(down), libm::log1pf(up)))
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::Purpose;

    use super::*;

    /// A table that leaves the values 0 to 255 unchanged.
    fn plain() -> [[f32; 256]; 1] {
        [std::array::from_fn(|value| value as f32)]
    }

    fn cut(affine: AffineTransform, pixels: &[u8], side: usize) -> Vec<f32> {
        let image = ImageView { height: side, width: side, pixels: pixels.into() };
        let mut out = vec![0.0; side * side];
        affine.cut(&image, CropWindow { top: 0, left: 0, flip: false }, &plain(), side, &mut out);
        out
    }

    #[test]
    fn the_identity_changes_nothing() {
        let pixels: Vec<u8> = (0..49).map(|i| i * 5).collect();
        let expected: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
        assert_eq!(cut(AffineTransform::new(0.0, 1.0), &pixels, 7), expected);
    }

    #[test]
    fn a_quarter_rotation_moves_rows_to_columns() {
        let pixels: Vec<u8> = (0..49).map(|i| i * 5).collect();
        let turned = cut(AffineTransform::new(90.0, 1.0), &pixels, 7);
        for (at, value) in turned.iter().enumerate() {
            let (row, column) = (at / 7, at % 7);
            let expected = f32::from(pixels[column * 7 + (6 - row)]);
            assert!((value - expected).abs() < 1e-3, "{row} {column}: {value} for {expected}");
        }
    }

    #[test]
    fn a_stretch_by_four_halves_the_slope_along_rows_and_doubles_it_along_columns() {
        let affine = AffineTransform::new(0.0, 1.0).stretched(4.0);
        let along_rows: Vec<u8> = (0..81).map(|i| (i % 9) * 10).collect();
        let along_columns: Vec<u8> = (0..81).map(|i| (i / 9) * 10).collect();
        let (wide, low) = (cut(affine, &along_rows, 9), cut(affine, &along_columns, 9));
        for (at, value) in wide[..9].iter().enumerate() {
            assert!((value - (20.0 + 5.0 * at as f32)).abs() < 1e-3, "column {at}: {value}");
        }
        for at in 2..7 {
            assert!((low[9 * at] - (20.0 * at as f32 - 40.0)).abs() < 1e-3, "row {at}: {}", low[9 * at]);
        }
    }

    #[test]
    fn a_magnified_window_is_anywhere_and_never_beyond_the_edges() {
        let pixels: Vec<u8> = (0..81).map(|i| (i % 9) * 10).collect();
        let rows = |key| {
            let affine = AffineTransform::draw(&mut CounterRng::new(1, Purpose::Augment, 0, key), 0.0, 1.0);
            cut(affine, &pixels, 9)
        };
        // Both ends of the visible part of the ramp from 0 to 80. A reduced image shows the whole ramp; those are left out.
        let magnified: Vec<[f32; 2]> =
            (0..500).map(rows).map(|row| [row[0], row[8]]).filter(|ends| ends[1] - ends[0] < 79.0).collect();
        let least = |at: usize| magnified.iter().map(|ends| ends[at]).fold(f32::INFINITY, f32::min);
        let most = |at: usize| magnified.iter().map(|ends| ends[at]).fold(0.0, f32::max);
        assert!(least(0) >= 0.0 && least(0) < 2.0 && most(0) > 30.0, "from {} to {}", least(0), most(0));
        assert!(most(1) <= 80.0 && most(1) > 78.0 && least(1) < 50.0, "from {} to {}", least(1), most(1));
    }

    #[test]
    fn a_ramp_is_magnified_about_its_centre() {
        let pixels: Vec<u8> = (0..81).map(|i| (i % 9) * 10).collect();
        let large = cut(AffineTransform::new(0.0, 2.0), &pixels, 9);
        for (column, value) in large[..9].iter().enumerate() {
            assert!((value - (20.0 + 5.0 * column as f32)).abs() < 1e-3, "{column}: {value}");
        }
    }
}
