//! A list in parts, for millions of elements: no element is copied when it grows, and the memory of each part is free as soon as
//! its elements are taken.

/// Elements of a part: some megabytes.
const LEN: usize = 1 << 16;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Parts<T>(Vec<Vec<T>>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Parts<T> {
    pub(crate) fn push(&mut self, element: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < LEN => last.push(element),
            _ => {
                // The first part grows, as most lists are short.
                let capacity = if self.0.is_empty() { 0 } else { LEN };
                self.0.push(Vec::with_capacity(capacity));
                self.0.last_mut().expect("a part").push(element);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    /// Its parts, one after the other.
    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        self.0.iter_mut().map(Vec::as_mut_slice)
    }
}

impl<T> IntoIterator for Parts<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

impl<T> FromIterator<T> for Parts<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut parts = Self::default();
        elements.into_iter().for_each(|element| parts.push(element));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_in_order_over_several_parts() {
        let n = 2 * LEN + 3;
        let mut parts: Parts<usize> = (0..n).collect();
        assert_eq!((parts.len(), parts.parts_mut().count()), (n, 3));
        parts.iter_mut().for_each(|element| *element += 1);
        assert!(parts.iter().copied().eq(1..=n));
        assert!(parts.into_iter().eq(1..=n));
    }
}
