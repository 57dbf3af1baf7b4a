//! Random erasing (Zhong et al. 2020): a rectangle of the crop becomes the mean of the training images, so that a
//! prediction cannot depend on one spot alone, such as a marker in a corner.

use roentgen_tensor::rng::CounterRng;

/// Smallest and largest fraction of the crop's area. The paper's largest is 0.4, for images of whole objects.
const AREA: [f32; 2] = [0.02, 0.25];
/// Largest ratio of the sides.
const MAX_ASPECT: f32 = 3.0;

/// A rectangle inside a crop, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rectangle {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Rectangle {
    /// With the given probability a rectangle inside a square of `crop` pixels a side.
    pub(super) fn draw(rng: &mut CounterRng, probability: f32, crop: usize) -> Option<Self> {
        let is_erased = rng.uniform() < probability;
        let area = rng.range(AREA[0], AREA[1]) * (crop * crop) as f32;
        // Uniform in the logarithm, so that wide and tall rectangles are equally likely.
        let log_aspect = libm::logf(MAX_ASPECT);
        let aspect = libm::expf(rng.range(-log_aspect, log_aspect));
        let side = |length: f32| (libm::roundf(length) as usize).clamp(1, crop);
        let (height, width) = (side((area * aspect).sqrt()), side((area / aspect).sqrt()));
        let top = rng.below((crop - height) as u32 + 1) as usize;
        let left = rng.below((crop - width) as u32 + 1) as usize;
        is_erased.then_some(Self { top, left, height, width })
    }

    /// Sets the rectangle of a crop, `(side, side, channels)` values, to the mean: 0 after normalisation.
    pub(crate) fn apply(&self, values: &mut [f32], side: usize, channels: usize) {
        for row in values.chunks_exact_mut(side * channels).skip(self.top).take(self.height) {
            row[self.left * channels..(self.left + self.width) * channels].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::Purpose;

    use super::*;

    #[test]
    fn rectangles_have_the_requested_frequency_and_size() {
        let draw = |i: u64| Rectangle::draw(&mut CounterRng::new(0, Purpose::Augment, 0, i), 0.5, 24);
        let drawn: Vec<Rectangle> = (0..10_000).filter_map(draw).collect();
        assert!((4_800..5_200).contains(&drawn.len()), "{}", drawn.len());
        for Rectangle { top, left, height, width } in &drawn {
            assert!(top + height <= 24 && left + width <= 24);
        }
        let shares: Vec<f64> = drawn.iter().map(|r| (r.height * r.width) as f64 / 576.0).collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((0.125..0.145).contains(&mean), "{mean}");
        assert!(shares.iter().all(|share| (0.01..0.3).contains(share)));
    }

    #[test]
    fn only_the_rectangle_is_erased() {
        let mut values = vec![1.0; 4 * 4 * 3];
        Rectangle { top: 1, left: 2, height: 2, width: 1 }.apply(&mut values, 4, 3);
        let erased: Vec<usize> = (0..48).filter(|&at| values[at] == 0.0).collect();
        assert_eq!(erased, [18, 19, 20, 30, 31, 32]);
    }
}
