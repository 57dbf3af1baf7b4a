//! Small rotations, magnifications and changes of proportion: patients do not stand straight, films are not taken from
//! one distance, and other people cut or squeeze them in other ways.

use roentgen_tensor::rng::CounterRng;

use super::{Window, mirrored};
use crate::ImageView;

/// A rotation, a magnification and a stretch, as the matrix that takes a place in the crop, `(down, right)` of its centre, to
/// its place in the picture; and where that centre goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffineTransform {
    /// What makes the row.
    down: [f32; 2],
    /// What makes the column.
    right: [f32; 2],
    /// How far the centre moves down and right, in half sides of the crop.
    shift: [f32; 2],
}

impl AffineTransform {
    /// A turn by `degrees`, magnified `magnification` times.
    #[must_use]
    pub fn new(degrees: f32, magnification: f32) -> Self {
        let radians = degrees.to_radians();
        let (cosine, sine) = (libm::cosf(radians) / magnification, libm::sinf(radians) / magnification);
        Self { down: [cosine, sine], right: [-sine, cosine], shift: [0.0; 2] }
    }

    /// No turn: so many rows and columns of the picture to one of the crop.
    pub(crate) fn spaced([rows, columns]: [f32; 2]) -> Self {
        Self { down: [rows, 0.0], right: [0.0, columns], shift: [0.0; 2] }
    }

    /// The angle uniform up to `degrees` either way, the magnification uniform in its logarithm, from `1 / (1 + zoom / 3)` to
    /// `1 + zoom`: a picture that is magnified shows less, one that is reduced has its mirror image at its edges, which no
    /// film has. What is magnified is a random place of what the window shows, as in the crops of Szegedy et al. (2015,
    /// section 6): not only how close a film was taken differs, but also what is at its centre.
    pub(super) fn draw(rng: &mut CounterRng, degrees: f32, zoom: f32) -> Self {
        let angle = rng.range(-degrees, degrees);
        let magnification = log_uniform(rng, zoom / 3.0, zoom);
        let slack = (1.0 - 1.0 / magnification).max(0.0);
        let shift = [rng.range(-slack, slack), rng.range(-slack, slack)];
        Self { shift, ..Self::new(angle, magnification) }
    }

    /// The same of a picture that is `ratio` times as wide for its height as before, on the same area.
    #[must_use]
    pub fn stretched(self, ratio: f32) -> Self {
        let root = ratio.sqrt();
        Self { down: self.down.map(|part| part * root), right: self.right.map(|part| part / root), ..self }
    }

    /// Stretched by a ratio that is uniform in its logarithm up to `1 + aspect` either way.
    pub(super) fn stretch(self, rng: &mut CounterRng, aspect: f32) -> Self {
        self.stretched(log_uniform(rng, aspect, aspect))
    }

    /// Cuts the turned window out of a picture: values of `table`, interpolated between four pixels.
    pub(crate) fn cut(
        &self,
        image: &ImageView<'_>,
        window: Window,
        table: &[[f32; 256]],
        crop: usize,
        out: &mut [f32],
    ) {
        let channels = table.len();
        let centre = (crop as f32 - 1.0) / 2.0;
        for (row, out_row) in out.chunks_exact_mut(crop * channels).enumerate() {
            for (column, out) in out_row.chunks_exact_mut(channels).enumerate() {
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
                        let place = (rows[row] + columns[column]) * channels + channel;
                        table[channel][usize::from(image.pixels[place])]
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

    /// Values 0..255 as they are.
    fn plain() -> [[f32; 256]; 1] {
        [std::array::from_fn(|value| value as f32)]
    }

    fn cut(affine: AffineTransform, pixels: &[u8], side: usize) -> Vec<f32> {
        let image = ImageView { height: side, width: side, pixels };
        let mut out = vec![0.0; side * side];
        affine.cut(&image, Window { top: 0, left: 0, flip: false }, &plain(), side, &mut out);
        out
    }

    #[test]
    fn no_turn_changes_nothing() {
        let pixels: Vec<u8> = (0..49).map(|i| i * 5).collect();
        let expected: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
        assert_eq!(cut(AffineTransform::new(0.0, 1.0), &pixels, 7), expected);
    }

    #[test]
    fn a_quarter_turn_moves_rows_to_columns() {
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
    fn what_is_magnified_is_cut_anywhere_and_never_beyond_the_window() {
        let pixels: Vec<u8> = (0..81).map(|i| (i % 9) * 10).collect();
        let rows = |key| {
            let affine = AffineTransform::draw(&mut CounterRng::new(1, Purpose::Augment, 0, key), 0.0, 1.0);
            cut(affine, &pixels, 9)
        };
        // Ends of the ramp that is left, of 0 to 80: a reduced picture shows all of it, with its mirror image.
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
