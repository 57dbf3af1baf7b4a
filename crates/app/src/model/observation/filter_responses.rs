//! The responses of the filters of the first block to an image: the mean and the standard deviation of each channel.
//!
//! These filters detect edges and spots of several sizes and directions. Their responses to a photograph, a drawing or noise
//! differ from those to a film. The filters hardly depend on the class, so their responses to held-out images are distributed
//! like those to training images.

use ndarray::ArrayView3;

/// The mean of each channel of `(h, w, c)`, then the standard deviation of each.
pub(super) fn of(first_block: ArrayView3<'_, f32>) -> Vec<f64> {
    let (h, w, c) = first_block.dim();
    let n = (h * w) as f64;
    let mut mean = vec![0.0; c];
    let mut deviation = vec![0.0; c];
    for pixel in first_block.rows() {
        for ((sum, squares), &x) in mean.iter_mut().zip(&mut deviation).zip(pixel) {
            let x = f64::from(x);
            *sum += x;
            *squares += x * x;
        }
    }
    for (mean, deviation) in mean.iter_mut().zip(&mut deviation) {
        *mean /= n;
        // Rounding may make the variance of a constant channel negative.
        *deviation = (*deviation / n - *mean * *mean).max(0.0).sqrt();
    }
    mean.append(&mut deviation);
    mean
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn each_channel_has_its_mean_and_its_deviation() {
        // Two channels: one constant, one of 0 and 4 in turn.
        let first_block =
            Array3::from_shape_fn((3, 4, 2), |(_, x, c)| if c == 0 { 0.7 } else { (x % 2 * 4) as f32 });
        let responses = of(first_block.view());
        let expected = [0.7, 2.0, 0.0, 2.0];
        assert!(
            responses.len() == 4 && responses.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{responses:?}"
        );
    }
}
