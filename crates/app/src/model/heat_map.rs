//! A coarse map over an image: values of cells, and between them.

use ndarray::Array2;

/// The value at a position, from 0 to 1 across and down, bilinear between the centres of the cells; beyond them, that of the
/// nearest.
#[must_use]
pub(crate) fn sample(map: &Array2<f32>, x: f64, y: f64) -> f32 {
    let between = |place: f64, n: usize| {
        let at = (place * n as f64 - 0.5).clamp(0.0, (n - 1) as f64);
        let low = (at as usize).min(n.saturating_sub(2));
        (low, (low + 1).min(n - 1), (at - low as f64) as f32)
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (between(x, map.ncols()), between(y, map.nrows()));
    let row = |y: usize| map[[y, x0]] * (1.0 - fx) + map[[y, x1]] * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_is_exact_at_the_centres_of_cells() {
        let heat = Array2::from_shape_fn((2, 3), |(y, x)| (y * 3 + x) as f32);
        assert_eq!(sample(&heat, 0.5 / 3.0, 0.25), 0.0);
        assert!((sample(&heat, 1.5 / 3.0, 0.75) - 4.0).abs() < 1e-6);
        assert_eq!((sample(&heat, 0.0, 0.0), sample(&heat, 1.0, 1.0)), (0.0, 5.0));
        assert_eq!(sample(&Array2::from_elem((1, 1), 7.0), 0.3, 0.9), 7.0);
    }
}
