//! Counter-based random numbers: a stream depends on its key alone, not on which numbers were drawn before.
//!
//! Every random decision of a run has its own key `(seed, purpose, a, b)`: the key of an augmentation has the epoch, the
//! image and how often it occurred before, that of a dropout mask the step and the shard of its batch. So the order of
//! threads, a resumed run or a skipped image changes no other random number. The generator is ChaCha8 (Bernstein 2008)
//! from `rand_chacha`; its specification fixes the stream. The conversions to other types are in this file, so that no
//! update of a dependency changes them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// What a stream of random numbers is for. The discriminants are part of the key: never change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights, keyed by the index of the parameter.
    Init = 1,
    /// Order of the training images, keyed by epoch; with balanced classes also the choice of images of each, keyed by epoch
    /// and class.
    Shuffle = 2,
    /// Crop, flip, rotation, zoom, aspect, tone and erasing, keyed by epoch and occurrence of an image in it.
    Augment = 3,
    /// Dropout masks, keyed by step and shard: a network has one dropout layer.
    Dropout = 4,
    /// Splits made by the program, keyed by class and by which of the splits with the same seed it is.
    Split = 5,
    /// Phantom films, keyed by set, diagnosis and number of the film.
    Phantom = 6,
    /// Synthetic data for benchmarks and tests.
    Synthetic = 7,
    /// Bootstrap samples, keyed by sample.
    Bootstrap = 8,
    /// Random divisions of images into two batches.
    Permutation = 9,
    /// Which images of many are kept, keyed by image.
    Reservoir = 10,
    /// Settings of a random search, keyed by training and setting.
    Search = 11,
}

/// A stream of random numbers that its key determines.
#[derive(Clone, Debug)]
pub struct CounterRng(ChaCha8Rng);

impl CounterRng {
    /// The stream of `(seed, purpose, a, b)`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0u8; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A uniform 32-bit word.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, on a grid of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in `[low, high]`: rounding may give `high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform integer in `0..bound`; unbiased (Lemire 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "CounterRng::below: bound must be positive");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.bits()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Standard normal (Box and Muller 1958). It uses `libm`, so that every platform gets the same bits.
    pub fn normal(&mut self) -> f32 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - f64::from(self.uniform())));
        (radius * libm::cos(std::f64::consts::TAU * f64::from(self.uniform()))) as f32
    }

    /// Shuffles in place (Fisher-Yates shuffle, as given by Durstenfeld).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let pick = self.below(last as u32 + 1) as usize;
            items.swap(last, pick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_its_key_alone() {
        let mut rng = CounterRng::new(1, Purpose::Augment, 2, 3);
        let mut again = CounterRng::new(1, Purpose::Augment, 2, 3);
        let mut other = CounterRng::new(1, Purpose::Augment, 3, 2);
        let draw = |rng: &mut CounterRng| (0..8).map(|_| rng.bits()).collect::<Vec<_>>();
        let first = draw(&mut rng);
        assert_eq!(first, draw(&mut again));
        assert_ne!(first, draw(&mut other));
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut rng = CounterRng::new(0, Purpose::Synthetic, 0, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (9_600..10_400).contains(&c)), "{counts:?}");
    }

    #[test]
    fn normal_has_mean_zero_and_unit_variance() {
        let mut rng = CounterRng::new(0, Purpose::Synthetic, 1, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal())).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.015, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        CounterRng::new(5, Purpose::Shuffle, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
