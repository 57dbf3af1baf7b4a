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

    /// The groups with images of each class in random order, where `by_group` are the images. A group of several classes, such as
    /// the films of a patient before and after an illness, is in the list of each.
    fn shuffled_groups<'a>(&self, by_group: &'a [u32]) -> Vec<Vec<&'a [u32]>> {
        let mut of_class = vec![Vec::new(); self.n_classes()];
        let number = |image: u32| self.groups[image as usize];
        for group in by_group.chunk_by(|&a, &b| number(a) == number(b)) {
            self.counts(group).iter().for_each(|&(class, _)| of_class[class].push(group));
        }
        for (class, groups) in of_class.iter_mut().enumerate() {
            groups.sort_unstable_by_key(|group| group[0]);
            CounterRng::new(self.seed, Purpose::Split, class as u64, self.stream).shuffle(groups);
        }
        of_class
    }

    /// The classes of a group, each with its number of images.
    fn counts(&self, group: &[u32]) -> Vec<(usize, usize)> {
        let mut classes: Vec<u32> = group.iter().map(|&image| self.labels[image as usize]).collect();
        classes.sort_unstable();
        classes.chunk_by(|a, b| a == b).map(|same| (same[0] as usize, same.len())).collect()
    }

    fn n_classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// Selects about `round(fraction * size)` images of every class, where `sizes` are the sizes of the classes before any
    /// split: at least one group of a class with two or more, but never its last one. Returns whether each is selected.
    ///
    /// Groups are selected in random order; those that would exceed the number are left out. Of a class with larger groups only, the
    /// smallest is selected.
    pub(crate) fn split_off(&self, sizes: &[usize], fraction: f64) -> Vec<bool> {
        if fraction <= 0.0 {
            return vec![false; self.labels.len()];
        }
        let by_group = self.by_group();
        let of_class = self.shuffled_groups(&by_group);
        let mut selection = Selection::new(self, &of_class);
        let wanted = |class: usize| libm::round(fraction * sizes[class] as f64).max(1.0) as usize;
        for (class, groups) in of_class.iter().enumerate() {
            for group in groups {
                if selection.n_images[class] >= wanted(class) {
                    break;
                }
                let fits = |&(class, n): &(usize, usize)| selection.n_images[class] + n <= wanted(class);
                if self.counts(group).iter().all(fits) && selection.may_take(group) {
                    selection.take(group);
                }
            }
            // So that every class is represented.
            if selection.n_groups[class] == 0 {
                let possible = groups.iter().filter(|group| selection.may_take(group));
                if let Some(smallest) = possible.min_by_key(|group| group.len()) {
                    selection.take(smallest);
                }
            }
        }
        selection.is_taken
    }

    /// The fold, from 0, in which each image is tested. Each of the `k` folds gets a share of every class, as equal as the
    /// groups permit.
    ///
    /// # Errors
    /// [`DataError::TooFewGroups`] for a class with fewer groups than folds; [`DataError::MissingInFold`] for one that a fold
    /// lacks, since its groups have images of other classes too.
    pub(crate) fn folds(&self, k: usize, class_names: &[String]) -> Result<Vec<usize>, DataError> {
        let mut folds: Vec<Option<usize>> = vec![None; self.labels.len()];
        let by_group = self.by_group();
        let of_class = self.shuffled_groups(&by_group);
        let class_sizes = class_counts(self.labels, of_class.len());
        // Of each fold, its images of each class.
        let mut sizes = vec![vec![0; of_class.len()]; k];
        for (mut groups, class) in of_class.into_iter().zip(class_names) {
            if groups.len() < k {
                let class = class.clone();
                return Err(DataError::TooFewGroups { class, found: groups.len(), folds: k });
            }
            // The largest groups first, each into the fold that has the least of its classes: this gives nearly equal shares.
            groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
            for group in groups {
                if folds[group[0] as usize].is_some() {
                    continue;
                }
                let counts = self.counts(group);
                let share = |fold: usize, class: usize| {
                    sizes[fold][class] as u128 * 1_000_000_000 / class_sizes[class] as u128
                };
                // Classes that it has at all, then the sum of its shares of them, in billionths.
                let share_in = |&fold: &usize| {
                    let shares = counts.iter().map(|&(class, _)| share(fold, class));
                    (shares.clone().filter(|&share| share > 0).count(), shares.sum::<u128>())
                };
                let fold = (0..k).min_by_key(share_in).expect("at least one fold");
                counts.iter().for_each(|&(class, n)| sizes[fold][class] += n);
                group.iter().for_each(|&image| folds[image as usize] = Some(fold));
            }
        }
        for (fold, sizes) in sizes.iter().enumerate() {
            if let Some(class) = sizes.iter().position(|&n| n == 0) {
                let class = class_names[class].clone();
                return Err(DataError::MissingInFold { class, fold: fold + 1, folds: k });
            }
        }
        Ok(folds.into_iter().map(|fold| fold.expect("every image is in a group")).collect())
    }
}

/// The groups that a split has selected.
struct Selection<'a> {
    pool: &'a SplitPool<'a>,
    /// The groups with images of each class.
    of_class: &'a [Vec<&'a [u32]>],
    /// Of each image.
    is_taken: Vec<bool>,
    /// Of each class, the images that are selected, and the groups that have them.
    n_images: Vec<usize>,
    n_groups: Vec<usize>,
}

impl<'a> Selection<'a> {
    fn new(pool: &'a SplitPool<'a>, of_class: &'a [Vec<&'a [u32]>]) -> Self {
        let is_taken = vec![false; pool.labels.len()];
        let [n_images, n_groups] = [0, 0].map(|none| vec![none; of_class.len()]);
        Self { pool, of_class, is_taken, n_images, n_groups }
    }

    /// Whether a group is free, and is not the last one of a class.
    fn may_take(&self, group: &[u32]) -> bool {
        let leaves_one = |&(class, _): &(usize, usize)| self.n_groups[class] + 1 < self.of_class[class].len();
        !self.is_taken[group[0] as usize] && self.pool.counts(group).iter().all(leaves_one)
    }

    fn take(&mut self, group: &[u32]) {
        for (class, n) in self.pool.counts(group) {
            self.n_images[class] += n;
            self.n_groups[class] += 1;
        }
        group.iter().for_each(|&image| self.is_taken[image as usize] = true);
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
    fn a_class_that_a_fold_lacks_is_an_error() {
        // Both groups with an image of the last class belong into the second fold by their other images.
        let mut labels = vec![0; 9];
        labels.extend([0, 2]);
        labels.extend(vec![1; 9]);
        labels.extend([1, 2]);
        let groups: Vec<u32> = labels
            .iter()
            .enumerate()
            .map(|(i, _)| [0, 1, 2, 3][[9, 11, 20, 22].iter().position(|&end| i < end).unwrap()])
            .collect();
        let names = ["a", "b", "c"].map(str::to_owned);
        let found = SplitPool { labels: &labels, groups: &groups, seed: 0, stream: 0 }.folds(2, &names);
        let is_missing = |error: &DataError| matches!(error, DataError::MissingInFold { class, folds: 2, .. } if class == "c");
        assert!(found.as_ref().is_err_and(is_missing), "{found:?}");
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

    /// 60 patients with a film of each class, as before, during and after an illness: each gives its share of every class.
    #[test]
    fn patients_with_images_of_several_classes_give_every_class_its_share() {
        let labels = labels(&[60, 60, 60]);
        let groups: Vec<u32> = (0..180).map(|image| image % 60).collect();
        assert_eq!(taken_of(&labels, &taken(&labels, &groups, 0.1, 3, 0)), [6, 6, 6, 0, 0]);
        let names = ["a", "b", "c"].map(str::to_owned);
        let folds =
            |k: usize| SplitPool { labels: &labels, groups: &groups, seed: 0, stream: 0 }.folds(k, &names);
        let of_three = folds(3).expect("60 groups of each class");
        assert_eq!(
            class_counts(&of_three.iter().map(|&fold| fold as u32).collect::<Vec<_>>(), 3),
            [60, 60, 60]
        );
        assert!((0..60).all(|patient| of_three[patient] == of_three[patient + 120]));
        assert!(folds(61).expect_err("60 patients").to_string().contains("60"));
    }

    /// A class of patients with 90, 5 and 5 images, and one of patients with 90 and 30, beside a class of 40 patients.
    #[test]
    fn a_group_that_exceeds_the_number_is_selected_only_if_all_do_and_then_the_smallest() {
        for (sizes, expected) in [(&[90, 5, 5][..], 10), (&[90, 30], 30)] {
            let n: usize = sizes.iter().sum();
            let labels = labels(&[n, 40]);
            let of_patient = |(patient, &size): (usize, &usize)| vec![patient as u32; size];
            let patients = sizes.iter().enumerate().flat_map(of_patient);
            let groups: Vec<u32> = patients.chain(100..140).collect();
            for seed in 0..9 {
                let taken = taken(&labels, &groups, 0.1, seed, 0);
                assert_eq!(taken_of(&labels, &taken), [expected, 4, 0, 0, 0], "seed {seed}");
            }
        }
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
            for label in &labels {
                let is_left = labels.iter().zip(&taken).any(|(other, taken)| other == label && !taken);
                prop_assert!(is_left, "no image of class {} is left", label);
            }
        }

        #[test]
        fn folds_of_groups_of_several_classes_split_no_group_and_have_every_class(
            images in prop::collection::vec((0u32..3, 0u32..40), 60..200), k in 2usize..5, seed in 0u64..9,
        ) {
            let (labels, groups): (Vec<u32>, Vec<u32>) = images.into_iter().unzip();
            let names = ["a", "b", "c"].map(str::to_owned);
            let pool = SplitPool { labels: &labels, groups: &groups, seed, stream: 0 };
            if let Ok(folds) = pool.folds(k, &names) {
                for a in 0..labels.len() {
                    prop_assert!((0..a).all(|b| groups[a] != groups[b] || folds[a] == folds[b]));
                }
                for class in 0..3 {
                    let with_class = |fold| (0..labels.len()).any(|i| labels[i] == class && folds[i] == fold);
                    prop_assert!((0..k).all(with_class), "class {}", class);
                }
            }
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
