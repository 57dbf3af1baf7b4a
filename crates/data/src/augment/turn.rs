//! Small rotations and magnifications: patients do not stand straight, and films are not taken from one distance.

use roentgen_tensor::rng::CounterRng;

use super::{Window, mirrored};
use crate::ImageView;

/// A rotation and a magnification about the centre of the crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// Cosine of the angle, divided by the magnification.
    cosine: f32,
    /// Sine of the angle, divided by the magnification.
    sine: f32,
}

impl Turn {
    /// A turn by `degrees`, magnified `magnification` times.
    #[must_use]
    pub fn new(degrees: f32, magnification: f32) -> Self {
        let radians = degrees.to_radians();
        Self { cosine: libm::cosf(radians) / magnification, sine: libm::sinf(radians) / magnification }
    }

    /// The angle uniform up to `degrees` either way, the magnification uniform in its logarithm up to `1 + zoom`.
    pub(super) fn draw(rng: &mut CounterRng, degrees: f32, zoom: f32) -> Self {
        let angle = rng.range(-degrees, degrees);
        let log_zoom = libm::log1pf(zoom);
        Self::new(angle, libm::expf(rng.range(-log_zoom, log_zoom)))
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
                let y = window.top as f32 + centre + self.cosine * down + self.sine * right;
                let x = window.left as f32 + centre + self.cosine * right - self.sine * down;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Values 0..255 as they are.
    fn plain() -> [[f32; 256]; 1] {
        [std::array::from_fn(|value| value as f32)]
    }

    fn cut(turn: Turn, pixels: &[u8], side: usize) -> Vec<f32> {
        let image = ImageView { height: side, width: side, pixels };
        let mut out = vec![0.0; side * side];
        turn.cut(&image, Window { top: 0, left: 0, flip: false }, &plain(), side, &mut out);
        out
    }

    #[test]
    fn no_turn_changes_nothing() {
        let pixels: Vec<u8> = (0..49).map(|i| i * 5).collect();
        let expected: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
        assert_eq!(cut(Turn::new(0.0, 1.0), &pixels, 7), expected);
    }

    #[test]
    fn a_quarter_turn_moves_rows_to_columns() {
        let pixels: Vec<u8> = (0..49).map(|i| i * 5).collect();
        let turned = cut(Turn::new(90.0, 1.0), &pixels, 7);
        for (at, value) in turned.iter().enumerate() {
            let (row, column) = (at / 7, at % 7);
            let expected = f32::from(pixels[column * 7 + (6 - row)]);
            assert!((value - expected).abs() < 1e-3, "{row} {column}: {value} for {expected}");
        }
    }

    #[test]
    fn a_ramp_is_magnified_about_its_centre() {
        let pixels: Vec<u8> = (0..81).map(|i| (i % 9) * 10).collect();
        let large = cut(Turn::new(0.0, 2.0), &pixels, 9);
        for (column, value) in large[..9].iter().enumerate() {
            assert!((value - (20.0 + 5.0 * column as f32)).abs() < 1e-3, "{column}: {value}");
        }
    }
}
