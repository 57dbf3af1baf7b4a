//! Groups of images that are not independent of each other, such as those of a patient.

/// The groups of the images of a set, numbered from 0 without gaps in the order of their ids. Without ids, each image is a group
/// of its own.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// The number of the group of each image.
    numbers: Vec<u32>,
    n: usize,
    are_given: bool,
}

impl Groups {
    /// The groups of `n_images` images that have these ids.
    ///
    /// # Panics
    /// If there is not one id for each image.
    pub(crate) fn new(n_images: usize, ids: Option<&[u32]>) -> Self {
        let Some(ids) = ids else {
            return Self { numbers: (0..n_images as u32).collect(), n: n_images, are_given: false };
        };
        assert_eq!(ids.len(), n_images, "a group for each image");
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let number = |id: &u32| distinct.partition_point(|other| other < id) as u32;
        Self { numbers: ids.iter().map(number).collect(), n: distinct.len(), are_given: true }
    }

    /// Number of groups.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Whether the images had ids; else all are independent.
    pub(crate) fn are_given(&self) -> bool {
        self.are_given
    }

    /// The group of an image.
    pub(crate) fn group(&self, image: usize) -> u32 {
        self.numbers[image]
    }

    /// The value of its group, for each image.
    pub(super) fn per_image(&self, by_group: &[f64]) -> Vec<f64> {
        self.numbers.iter().map(|&group| by_group[group as usize]).collect()
    }

    /// For each group, the number of its images that have a value, and the sum of these values.
    pub(crate) fn sums(&self, values: impl Iterator<Item = (usize, f64)>) -> Vec<[f64; 2]> {
        let mut sums = vec![[0.0; 2]; self.n];
        for (image, value) in values {
            let [n, sum] = &mut sums[self.numbers[image] as usize];
            *n += 1.0;
            *sum += value;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_in_the_order_of_their_ids() {
        let groups = Groups::new(5, Some(&[30, 7, 30, 9, 7]));
        assert_eq!((0..5).map(|image| groups.group(image)).collect::<Vec<_>>(), [2, 0, 2, 1, 0]);
        assert_eq!((groups.n(), groups.are_given()), (3, true));
        assert_eq!(groups.per_image(&[0.5, 1.5, 2.5]), [2.5, 0.5, 2.5, 1.5, 0.5]);
        let alone = Groups::new(2, None);
        assert_eq!((alone.n(), alone.are_given(), alone.group(1)), (2, false, 1));
    }

    #[test]
    fn sums_count_the_images_that_have_a_value() {
        let groups = Groups::new(4, Some(&[5, 1, 5, 3]));
        let values = [(0, 0.5), (1, 2.0), (2, 0.25)];
        assert_eq!(groups.sums(values.into_iter()), [[1.0, 2.0], [0.0, 0.0], [2.0, 0.75]]);
    }
}
