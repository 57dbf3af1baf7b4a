//! Stratified, seeded splits for folders that have no validation or test part.

use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::source::Item;

/// What was one list, in two.
pub(crate) struct Split {
    pub(crate) kept: Vec<Item>,
    pub(crate) taken: Vec<Item>,
}

/// Takes `round(fraction * size)` items of every class, where `sizes` is the size of each class before any
/// split; at least one of a class that has two or more, and never the last one.
///
/// Which ones follows from the seed, `stream` and the sorted names alone. Both lists stay sorted.
pub(crate) fn split_off(items: Vec<Item>, sizes: &[usize], fraction: f64, seed: u64, stream: u64) -> Split {
    let mut taken_flags = vec![false; items.len()];
    for (label, &size) in sizes.iter().enumerate() {
        let mut members: Vec<usize> =
            (0..items.len()).filter(|&index| items[index].label as usize == label).collect();
        let wanted = if fraction > 0.0 { libm::round(fraction * size as f64).max(1.0) as usize } else { 0 };
        let wanted = wanted.min(members.len().saturating_sub(1));
        CounterRng::new(seed, Purpose::Split, label as u64, stream).shuffle(&mut members);
        for &index in &members[..wanted] {
            taken_flags[index] = true;
        }
    }
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for (item, is_taken) in items.into_iter().zip(taken_flags) {
        if is_taken { taken.push(item) } else { kept.push(item) }
    }
    Split { kept, taken }
}

/// Number of items of each class.
pub(crate) fn class_sizes(items: &[Item], n_classes: usize) -> Vec<usize> {
    let mut sizes = vec![0; n_classes];
    for item in items {
        sizes[item.label as usize] += 1;
    }
    sizes
}
