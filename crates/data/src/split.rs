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

#[cfg(test)]
mod tests {
    use super::*;

    fn items(sizes: &[usize]) -> Vec<Item> {
        let of_class = |(label, &size): (usize, &usize)| {
            (0..size).map(move |number| {
                let name = format!("{label}/{number:04}.png");
                Item { path: name.clone().into(), name, label: label as u32 }
            })
        };
        sizes.iter().enumerate().flat_map(of_class).collect()
    }

    #[test]
    fn every_class_gives_its_share_and_keeps_one() {
        let sizes = [1, 2, 9, 154, 3717];
        let all = items(&sizes);
        let Split { kept, taken } = split_off(all.clone(), &sizes, 0.1, 3, 0);
        assert_eq!(class_sizes(&taken, 5), [0, 1, 1, 15, 372]);
        let mut together = [kept.clone(), taken.clone()].concat();
        together.sort_by(|a, b| (a.label, &a.name).cmp(&(b.label, &b.name)));
        assert_eq!(together, all);
        assert!(kept.is_sorted_by(|a, b| (a.label, &a.name) < (b.label, &b.name)));
    }

    #[test]
    fn seed_and_stream_decide_which_are_taken() {
        let sizes = [100, 100];
        let taken = |seed, stream| split_off(items(&sizes), &sizes, 0.1, seed, stream).taken;
        assert_eq!(taken(1, 0), taken(1, 0));
        assert_ne!(taken(1, 0), taken(2, 0));
        assert_ne!(taken(1, 0), taken(1, 1));
        let numbers: Vec<Vec<Item>> = (0..2)
            .map(|label| taken(1, 0).into_iter().filter(|item| item.label == label).collect())
            .collect();
        let tail = |items: &[Item]| items.iter().map(|item| item.name[2..].to_owned()).collect::<Vec<_>>();
        assert_ne!(tail(&numbers[0]), tail(&numbers[1]), "classes are drawn on their own");
    }

    #[test]
    fn a_fraction_of_zero_takes_nothing() {
        assert!(split_off(items(&[5, 5]), &[5, 5], 0.0, 0, 0).taken.is_empty());
    }
}
