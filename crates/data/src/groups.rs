//! Groups of images that belong together: of one patient, or duplicates of each other. No split separates a group.

/// Joins images into groups, step by step (union-find).
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// For each image one of the same group with a smaller index, or the image itself.
    parent: Vec<u32>,
}

impl Groups {
    /// `n` images, each in a group of its own.
    pub(crate) fn new(n: usize) -> Self {
        Self { parent: (0..n as u32).collect() }
    }

    /// The first image of the group of an image.
    fn first(&self, image: usize) -> usize {
        let mut at = image;
        while self.parent[at] as usize != at {
            at = self.parent[at] as usize;
        }
        at
    }

    /// Joins the groups of two images.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a_first, b_first) = (self.first(a), self.first(b));
        let (low, high) = (a_first.min(b_first), a_first.max(b_first));
        self.parent[high] = low as u32;
        // Path compression.
        self.parent[a] = low as u32;
        self.parent[b] = low as u32;
    }

    /// Joins those of the first `n` images that have the same key; images without a key are not changed.
    pub(crate) fn join_by_key<K: Ord>(&mut self, n: usize, key: impl Fn(usize) -> Option<K>) {
        let mut by_key: Vec<usize> = (0..n).filter(|&image| key(image).is_some()).collect();
        by_key.sort_by_key(|&image| key(image));
        for same in by_key.chunk_by(|&a, &b| key(a) == key(b)) {
            same.iter().skip(1).for_each(|&image| self.join(same[0], image));
        }
    }

    /// The group of each image, as the index of its first one.
    pub(crate) fn of_each(&self) -> Vec<u32> {
        (0..self.parent.len()).map(|image| self.first(image) as u32).collect()
    }
}

/// Which images of a set are not independent of each other: those of a patient, and duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageGroups {
    /// The group of each image, as the index of its first one.
    of_each: Vec<u32>,
    /// Of each image, whether its patient is known.
    has_patient: Vec<bool>,
}

impl ImageGroups {
    /// The images of each patient; one of an unknown patient is a group of its own.
    #[must_use]
    pub fn of_patients(patients: &[Option<String>]) -> Self {
        let alone = Self {
            of_each: (0..patients.len() as u32).collect(),
            has_patient: patients.iter().map(Option::is_some).collect(),
        };
        alone.joined(|image| patients[image].as_ref())
    }

    /// The same where also images with equal keys are in one group.
    #[must_use]
    pub fn joined<K: Ord>(self, key: impl Fn(usize) -> Option<K>) -> Self {
        let n = self.of_each.len();
        let mut groups = Groups::new(n);
        groups.join_by_key(n, |image| Some(self.of_each[image]));
        groups.join_by_key(n, key);
        Self { of_each: groups.of_each(), ..self }
    }

    /// Of the images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not in the set.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let alone = Self {
            of_each: (0..indices.len() as u32).collect(),
            has_patient: indices.iter().map(|&index| self.has_patient[index]).collect(),
        };
        alone.joined(|image| Some(self.of_each[indices[image]]))
    }

    /// Adds the images of another set, none of which belongs to one of these.
    pub fn extend(&mut self, other: &Self) {
        let n = self.of_each.len() as u32;
        self.of_each.extend(other.of_each.iter().map(|first| n + first));
        self.has_patient.extend(&other.has_patient);
    }

    /// A number for each image, equal for the images of a group; `None` if no patient is known and each image is alone.
    #[must_use]
    pub fn ids(&self) -> Option<&[u32]> {
        (self.has_patients() || self.n() < self.of_each.len()).then_some(&self.of_each[..])
    }

    /// How many groups there are.
    #[must_use]
    pub fn n(&self) -> usize {
        self.of_each.iter().enumerate().filter(|&(image, &first)| first as usize == image).count()
    }

    /// Whether any patient is known.
    #[must_use]
    pub fn has_patients(&self) -> bool {
        self.has_patient.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_by_their_first_image() {
        let mut groups = Groups::new(8);
        for (a, b) in [(5, 6), (2, 3), (6, 3), (7, 7)] {
            groups.join(a, b);
        }
        assert_eq!(groups.of_each(), [0, 1, 2, 2, 4, 2, 2, 7]);
    }

    #[test]
    fn keys_and_pairs_join_alike() {
        let mut groups = Groups::new(6);
        let keys = [Some("b"), None, Some("a"), Some("b"), None, Some("a")];
        groups.join_by_key(keys.len(), |image| keys[image]);
        assert_eq!(groups.of_each(), [0, 1, 2, 0, 4, 2]);
        groups.join(4, 5);
        groups.join(3, 4);
        assert_eq!(groups.of_each(), [0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn duplicates_and_the_images_of_a_patient_are_one_group() {
        let alone = ImageGroups::of_patients(&[const { None }; 5]);
        assert_eq!((alone.ids(), alone.n(), alone.has_patients()), (None, 5, false));
        let duplicates = [Some(7), None, Some(9), Some(7), Some(9)];
        let groups = alone.joined(|image| duplicates[image]);
        assert_eq!((groups.ids(), groups.n()), (Some(&[0, 1, 2, 0, 2][..]), 3));
        let mut some = groups.select(&[4, 1, 2]);
        assert_eq!(some.ids(), Some(&[0, 1, 0][..]));
        assert_eq!(groups.select(&[0, 1, 2]).ids(), None, "one of each");
        let patients = ["p", "q", "p", "r", "q"].map(|patient| Some(patient.to_owned()));
        let of_both = ImageGroups::of_patients(&patients).joined(|image| duplicates[image]);
        assert_eq!((of_both.ids(), of_both.n()), (Some(&[0, 0, 0, 0, 0][..]), 1));
        some.extend(&of_both.select(&[3, 1]));
        assert_eq!(some.ids(), Some(&[0, 1, 0, 3, 3][..]));
        let each = ImageGroups::of_patients(&patients[2..4]);
        assert_eq!((each.ids(), each.n()), (Some(&[0, 1][..]), 2), "patients with one image each");
    }
}
