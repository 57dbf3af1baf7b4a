//! The most likely class.

/// Index of the largest logit, the first of equals.
pub(crate) fn argmax<T: PartialOrd>(logits: impl Iterator<Item = T>) -> usize {
    let best = logits.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.expect("at least one class").0
}
