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

/// A group number for each image: images with the same key share one, an image without a key has its own. `None` if no
/// image has a key.
#[must_use]
pub fn group_ids(keys: &[Option<String>]) -> Option<Vec<u32>> {
    if keys.iter().all(Option::is_none) {
        return None;
    }
    let mut groups = Groups::new(keys.len());
    groups.join_by_key(keys.len(), |image| keys[image].as_ref());
    Some(groups.of_each())
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
}
