//! The order in which an epoch goes through the training pictures.

use roentgen_tensor::rng::{CounterRng, Purpose};

/// One turn of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of the picture.
    pub image: u32,
    /// How often it had its turn in this epoch before.
    pub repeat: u32,
}

impl Sample {
    /// The first turn of a picture.
    #[must_use]
    pub fn first(image: u32) -> Self {
        Self { image, repeat: 0 }
    }

    /// The key of its augmentation: repeats of a picture look different.
    pub(crate) fn key(self) -> u64 {
        u64::from(self.repeat) << 32 | u64::from(self.image)
    }
}

/// How an epoch is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampler {
    /// Every picture once.
    #[default]
    Shuffled,
    /// Every class as often: rare ones are repeated, of common ones some sit out. As many turns as pictures.
    Balanced,
}

impl Sampler {
    /// A random order of the pictures with these labels, decided by seed and epoch; `order` is reused.
    pub fn epoch_order(self, labels: &[u32], seed: u64, epoch: u64, order: &mut Vec<Sample>) {
        order.clear();
        match self {
            Self::Shuffled => order.extend((0..labels.len() as u32).map(Sample::first)),
            Self::Balanced => draw_balanced(labels, seed, epoch, order),
        }
        CounterRng::new(seed, Purpose::Shuffle, epoch, 0).shuffle(order);
    }
}

/// The turns of each class: whole rounds through its pictures, and a random choice of them for the rest.
fn draw_balanced(labels: &[u32], seed: u64, epoch: u64, order: &mut Vec<Sample>) {
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
        // Turns that don't divide evenly go to the first classes.
        let turns = left.div_ceil(n_present - before);
        left -= turns;
        CounterRng::new(seed, Purpose::Shuffle, epoch, 1 + class as u64).shuffle(images);
        order.extend(
            (0..turns).map(|turn| Sample {
                image: images[turn % images.len()],
                repeat: (turn / images.len()) as u32,
            }),
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
    fn epochs_have_orders_of_their_own() {
        for sampler in [Sampler::Shuffled, Sampler::Balanced] {
            let labels = [[0; 70], [1; 70]].concat();
            let order = |epoch| order(sampler, &labels, 1, epoch);
            assert_eq!(order(0), order(0));
            assert_ne!(order(0), order(1));
            let mut images: Vec<u32> = order(5).iter().map(|draw| draw.image).collect();
            images.sort_unstable();
            assert_eq!(images, (0..140).collect::<Vec<_>>(), "even classes: every picture once");
        }
    }

    #[test]
    fn balanced_epochs_give_every_class_as_many_turns() {
        let labels = [vec![0; 90], vec![2; 7], vec![3; 13]].concat();
        let order = order(Sampler::Balanced, &labels, 3, 0);
        let turns = |class| order.iter().filter(|draw| labels[draw.image as usize] == class).count();
        assert_eq!([0, 1, 2, 3].map(turns), [37, 0, 37, 36]);
        let mut rare: Vec<(u32, u32)> =
            order.iter().filter(|d| (90..97).contains(&d.image)).map(|d| (d.image, d.repeat)).collect();
        rare.sort_unstable();
        rare.dedup();
        assert_eq!(rare.len(), 37, "no repeat of a picture has the same key");
        let most = rare.iter().map(|&(_, repeat)| repeat).max();
        assert_eq!(most, Some(5), "7 pictures take 37 turns in six rounds");
    }
}
