//! Splits: stratified by class, seeded, and never separating a group of images that belong together.

use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::error::DataError;

/// The images that a split is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitPool<'a> {
    /// Class of each image.
    pub(crate) labels: &'a [u32],
    /// Group of each image; images with the same number stay together.
    pub(crate) groups: &'a [u32],
    /// The seed of the random numbers.
    pub(crate) seed: u64,
    /// Distinguishes splits with the same seed.
    pub(crate) stream: u64,
}

impl SplitPool<'_> {
    /// The images, those of a group beside each other.
    fn by_group(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.labels.len() as u32).collect();
        order.sort_unstable_by_key(|&image| (self.groups[image as usize], image));
        order
    }

    /// The groups of each class in random order, where `by_group` are the images. The class of a group is that of its first image.
    fn shuffled_groups<'a>(&self, by_group: &'a [u32]) -> Vec<Vec<&'a [u32]>> {
        let mut of_class = vec![Vec::new(); self.n_classes()];
        let group = |image: u32| self.groups[image as usize];
        for group in by_group.chunk_by(|&a, &b| group(a) == group(b)) {
            of_class[self.labels[group[0] as usize] as usize].push(group);
        }
        for (class, groups) in of_class.iter_mut().enumerate() {
            groups.sort_unstable_by_key(|group| group[0]);
            CounterRng::new(self.seed, Purpose::Split, class as u64, self.stream).shuffle(groups);
        }
        of_class
    }

    fn n_classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// Selects about `round(fraction * size)` images of every class, where `sizes` are the sizes of the classes before any
    /// split: at least one group of a class with two or more, but never its last one. Returns whether each is selected.
    ///
    /// Groups are selected in random order; those that would exceed the number are left out.
    pub(crate) fn split_off(&self, sizes: &[usize], fraction: f64) -> Vec<bool> {
        let mut taken = vec![false; self.labels.len()];
        if fraction <= 0.0 {
            return taken;
        }
        for (groups, &size) in self.shuffled_groups(&self.by_group()).iter().zip(sizes) {
            let wanted = libm::round(fraction * size as f64).max(1.0) as usize;
            let (mut n_taken, mut n_groups) = (0, 0);
            for group in groups {
                // The first group is selected whatever its size, so that every class is represented.
                let fits = n_taken + group.len() <= wanted || n_groups == 0;
                if fits && n_groups + 1 < groups.len() {
                    n_taken += group.len();
                    n_groups += 1;
                    group.iter().for_each(|&image| taken[image as usize] = true);
                }
                if n_taken >= wanted {
                    break;
                }
            }
        }
        taken
    }

    /// The fold, from 0, in which each image is tested. Each of the `k` folds gets a share of every class, as equal as the
    /// groups permit.
    ///
    /// # Errors
    /// [`DataError::TooFewGroups`] for a class with fewer groups than folds.
    pub(crate) fn folds(&self, k: usize, class_names: &[String]) -> Result<Vec<usize>, DataError> {
        let mut folds = vec![0; self.labels.len()];
        let by_group = self.by_group();
        for (mut groups, class) in self.shuffled_groups(&by_group).into_iter().zip(class_names) {
            if groups.len() < k {
                let class = class.clone();
                return Err(DataError::TooFewGroups { class, found: groups.len(), folds: k });
            }
            // The largest groups first, each into the smallest fold: this gives nearly equal shares.
            groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
            let mut sizes = vec![0; k];
            for group in groups {
                let fold = (0..k).min_by_key(|&fold| sizes[fold]).expect("at least one fold");
                sizes[fold] += group.len();
                group.iter().for_each(|&image| folds[image as usize] = fold);
            }
        }
        Ok(folds)
    }
}

/// Number of images of each class.
pub(crate) fn class_counts(labels: &[u32], n_classes: usize) -> Vec<usize> {
    let mut sizes = vec![0; n_classes];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    sizes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(sizes: &[usize]) -> Vec<u32> {
        sizes.iter().enumerate().flat_map(|(label, &size)| vec![label as u32; size]).collect()
    }

    /// Every image in its own group.
    fn alone(n: usize) -> Vec<u32> {
        (0..n as u32).collect()
    }

    fn taken(labels: &[u32], groups: &[u32], fraction: f64, seed: u64, stream: u64) -> Vec<bool> {
        let sizes = class_counts(labels, 5);
        SplitPool { labels, groups, seed, stream }.split_off(&sizes, fraction)
    }

    fn taken_of(labels: &[u32], taken: &[bool]) -> Vec<usize> {
        let of: Vec<u32> =
            labels.iter().zip(taken).filter(|(_, taken)| **taken).map(|(label, _)| *label).collect();
        class_counts(&of, 5)
    }

    #[test]
    fn every_class_gives_its_share_but_never_all() {
        let labels = labels(&[1, 2, 9, 154, 3717]);
        let taken = taken(&labels, &alone(labels.len()), 0.1, 3, 0);
        assert_eq!(taken_of(&labels, &taken), [0, 1, 1, 15, 372]);
    }

    #[test]
    fn seed_and_stream_determine_the_selection() {
        let labels = labels(&[100, 100]);
        let taken = |seed, stream| taken(&labels, &alone(200), 0.1, seed, stream);
        assert_eq!(taken(1, 0), taken(1, 0));
        assert_ne!(taken(1, 0), taken(2, 0));
        assert_ne!(taken(1, 0), taken(1, 1));
        assert_ne!(taken(1, 0)[..100], taken(1, 0)[100..], "classes are drawn on their own");
    }

    #[test]
    fn a_fraction_of_zero_selects_nothing() {
        assert!(!taken(&labels(&[5, 5]), &alone(10), 0.0, 0, 0).contains(&true));
    }

    #[test]
    fn too_few_groups_for_the_folds_are_an_error() {
        let labels = labels(&[6, 4]);
        let names = ["a".to_owned(), "b".to_owned()];
        let pool = SplitPool { labels: &labels, groups: &[0, 1, 2, 3, 4, 5, 6, 6, 6, 6], seed: 0, stream: 0 };
        let error = pool.folds(3, &names).expect_err("`b` is one group").to_string();
        assert!(error.contains("`b`") && error.contains('3'), "{error}");
    }

    proptest! {
        #[test]
        fn no_group_is_ever_split(
            images in prop::collection::vec((0u32..4, 0u32..25), 1..150), fraction in 0.0..0.5f64, seed in 0u64..9,
        ) {
            let (labels, groups): (Vec<u32>, Vec<u32>) = images.into_iter().unzip();
            let taken = taken(&labels, &groups, fraction, seed, 0);
            for a in 0..labels.len() {
                for b in 0..a {
                    prop_assert!(groups[a] != groups[b] || taken[a] == taken[b], "{} and {}", a, b);
                }
            }
            prop_assert!(taken.contains(&false), "something is left to train on");
        }

        #[test]
        fn folds_are_even_and_split_no_group(
            sizes in prop::collection::vec(12usize..40, 1..4), k in 2usize..6, seed in 0u64..9, pairs in 0usize..6,
        ) {
            let labels = labels(&sizes);
            // Pairs of neighbours as groups, in the first class.
            let groups: Vec<u32> = (0..labels.len()).map(|i| if i < 2 * pairs { i / 2 } else { i } as u32).collect();
            let names: Vec<String> = (0..sizes.len()).map(|class| class.to_string()).collect();
            let folds = SplitPool { labels: &labels, groups: &groups, seed, stream: 0 }.folds(k, &names).unwrap();
            prop_assert!((0..pairs).all(|pair| folds[2 * pair] == folds[2 * pair + 1]));
            for class in 0..sizes.len() as u32 {
                let count = |fold| (0..labels.len()).filter(|&i| labels[i] == class && folds[i] == fold).count();
                let counts: Vec<usize> = (0..k).map(count).collect();
                let most = if class == 0 && pairs > 0 { 2 } else { 1 };
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= most, "{:?}", counts);
            }
        }
    }
}
