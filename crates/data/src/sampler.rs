//! The order of the training images in an epoch.

use roentgen_tensor::rng::{CounterRng, Purpose};

/// One occurrence of an image in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of the image.
    pub image: u32,
    /// How often it occurred in this epoch before.
    pub repeat: u32,
}

impl Sample {
    /// The first occurrence of an image.
    #[must_use]
    pub fn first(image: u32) -> Self {
        Self { image, repeat: 0 }
    }

    /// The key of its augmentation, which differs between repeats of an image.
    pub(crate) fn key(self) -> u64 {
        u64::from(self.repeat) << 32 | u64::from(self.image)
    }
}

/// How the images of an epoch are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampler {
    /// Every image once.
    #[default]
    Shuffled,
    /// Every class equally often: images of rare classes are repeated, some images of common classes are left out. The
    /// number of samples is the number of images.
    Balanced,
}

impl Sampler {
    /// Fills `order` with the samples of an epoch, in a random order determined by seed and epoch.
    pub fn epoch_order(self, labels: &[u32], seed: u64, epoch: u64, order: &mut Vec<Sample>) {
        order.clear();
        match self {
            Self::Shuffled => order.extend((0..labels.len() as u32).map(Sample::first)),
            Self::Balanced => push_balanced(labels, seed, epoch, order),
        }
        CounterRng::new(seed, Purpose::Shuffle, epoch, 0).shuffle(order);
    }
}

/// Samples of each class: whole rounds through its images, and a random choice of them for the rest.
fn push_balanced(labels: &[u32], seed: u64, epoch: u64, order: &mut Vec<Sample>) {
    let mut classes: Vec<Vec<u32>> = Vec::new();
    for (image, &label) in labels.iter().enumerate() {
        classes.resize_with(classes.len().max(label as usize + 1), Vec::new);
        classes[label as usize].push(image as u32);
    }
    let n_present = classes.iter().filter(|images| !images.is_empty()).count();
    let mut left = labels.len();
    for (before, (class, images)) in
        classes.iter_mut().enumerate().filter(|(_, images)| !images.is_empty()).enumerate()
    {
        // If the samples cannot be divided evenly, the first classes get one more.
        let n_samples = left.div_ceil(n_present - before);
        left -= n_samples;
        CounterRng::new(seed, Purpose::Shuffle, epoch, 1 + class as u64).shuffle(images);
        order.extend(
            (0..n_samples)
                .map(|at| Sample { image: images[at % images.len()], repeat: (at / images.len()) as u32 }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sampler: Sampler, labels: &[u32], seed: u64, epoch: u64) -> Vec<Sample> {
        let mut order = vec![Sample::first(9); 3];
        sampler.epoch_order(labels, seed, epoch, &mut order);
        order
    }

    #[test]
    fn every_epoch_has_its_own_order() {
        for sampler in [Sampler::Shuffled, Sampler::Balanced] {
            let labels = [[0; 70], [1; 70]].concat();
            let order = |epoch| order(sampler, &labels, 1, epoch);
            assert_eq!(order(0), order(0));
            assert_ne!(order(0), order(1));
            let mut images: Vec<u32> = order(5).iter().map(|sample| sample.image).collect();
            images.sort_unstable();
            assert_eq!(images, (0..140).collect::<Vec<_>>(), "even classes: every image once");
        }
    }

    #[test]
    fn balanced_epochs_sample_every_class_equally_often() {
        let labels = [vec![0; 90], vec![2; 7], vec![3; 13]].concat();
        let order = order(Sampler::Balanced, &labels, 3, 0);
        let count = |class| order.iter().filter(|sample| labels[sample.image as usize] == class).count();
        assert_eq!([0, 1, 2, 3].map(count), [37, 0, 37, 36]);
        let mut rare: Vec<(u32, u32)> =
            order.iter().filter(|d| (90..97).contains(&d.image)).map(|d| (d.image, d.repeat)).collect();
        rare.sort_unstable();
        rare.dedup();
        assert_eq!(rare.len(), 37, "the repeats of an image have different keys");
        let most = rare.iter().map(|&(_, repeat)| repeat).max();
        assert_eq!(most, Some(5), "7 images give 37 samples in six rounds");
    }
}
