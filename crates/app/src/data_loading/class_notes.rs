//! Notes on the classes and on the sets: imbalance, classes of few images, sets that could not be made or that miss a class.
//!
//! `train` and `inspect` load data in the same way, so they have the same notes; `data.json` and the report have them too.

use roentgen_data::{Dataset, ImageSet, Subset, SubsetOfData, SubsetOrigin};

use crate::config::TrainConfig;
use crate::terminal::screen::{by_number, counted, listed};

/// Classes with fewer images have a note.
const RARE: usize = 10;
/// Imbalance, the size of the largest class over that of the smallest, from which on a note is shown.
const IMBALANCE: f64 = 3.0;

/// All of them, a sentence each.
pub(super) fn class_notes(config: &TrainConfig, data: &Dataset) -> Vec<String> {
    let split_off = split_off_sets(config, data);
    let held_out = data.subsets().into_iter().filter(|of| of.subset != Subset::Train);
    let missing_classes = held_out.filter_map(|of| missing_class_note(&of, data));
    let missing_sets = split_off.iter().filter_map(|set| missing_set_note(set, data));
    imbalance_note(data)
        .into_iter()
        .chain(rare_note(data))
        .chain(missing_sets)
        .chain(missing_classes)
        .collect()
}

/// A set that was to be split off from the training set.
pub(crate) struct SplitOffSet<'a> {
    pub(crate) subset: Subset,
    pub(crate) fraction: f64,
    pub(crate) set: &'a ImageSet,
}

impl SplitOffSet<'_> {
    /// The setting of its size, as notes name it.
    pub(crate) fn flag(&self) -> &'static str {
        match self.subset {
            Subset::Test => " (--test-fraction)",
            _ => " (--val-fraction)",
        }
    }

    /// Whether its size differs by more than half from what its fraction gives, class by class; `counts` has the images of each
    /// class before sets are split off. A class of one image keeps it.
    pub(crate) fn has_other_size(&self, counts: &[usize]) -> bool {
        let of_class = |count: &usize| (self.fraction * *count as f64).round().max(1.0) as usize;
        let asked: usize = counts.iter().filter(|count| **count > 1).map(of_class).sum();
        2 * self.set.len().abs_diff(asked) > asked
    }
}

/// The sets that the settings ask to split off. A fold is not one: the program chooses its images, not a fraction.
pub(crate) fn split_off_sets<'a>(config: &TrainConfig, data: &'a Dataset) -> Vec<SplitOffSet<'a>> {
    let fraction = |subset: Subset| match subset {
        Subset::Val => data.val_fraction,
        Subset::Test if config.fold.is_none() => config.test_fraction,
        _ => 0.0,
    };
    let split_off = data.subsets().into_iter().filter(|of| of.origin == SubsetOrigin::SplitOff);
    split_off
        .map(|of| SplitOffSet { subset: of.subset, fraction: fraction(of.subset), set: of.set })
        .filter(|of| of.fraction > 0.0)
        .collect()
}

/// Images of each class that are there to train on, before sets are split off.
pub(crate) fn counts_to_train_on(data: &Dataset) -> Vec<usize> {
    let n_classes = data.class_names.len();
    let mut counts = data.train.class_counts(n_classes);
    for of in data.subsets().into_iter().filter(|of| of.origin == SubsetOrigin::SplitOff) {
        counts.iter_mut().zip(of.set.class_counts(n_classes)).for_each(|(sum, count)| *sum += count);
    }
    counts
}

/// The size of the largest class over that of the smallest.
pub(super) fn imbalance(data: &Dataset) -> Option<f64> {
    let counts = counts_to_train_on(data);
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (*least > 0).then(|| *most as f64 / *least as f64)
}

fn imbalance_note(data: &Dataset) -> Option<String> {
    imbalance(data).filter(|ratio| *ratio >= IMBALANCE).map(|ratio| {
        format!(
            "the largest class has {ratio:.1} times as many images as the smallest; check the recall of each class, and \
             consider --prior balanced or, stronger, --class-weights balanced"
        )
    })
}

/// Names the classes with few training images, without those that are split off.
fn rare_note(data: &Dataset) -> Option<String> {
    let counts = data.train.class_counts(data.class_names.len());
    let rare = data.class_names.iter().zip(counts).filter(|(_, count)| *count < RARE);
    let rare: Vec<String> = rare.map(|(class, count)| format!("`{class}` ({count})")).collect();
    (!rare.is_empty()).then(|| {
        format!(
            "fewer than {RARE} training images: {}; add some, or the metrics of these classes are unreliable",
            listed(&rare)
        )
    })
}

fn missing_set_note(of: &SplitOffSet<'_>, data: &Dataset) -> Option<String> {
    let SplitOffSet { subset, fraction, set } = of;
    let consequence = match subset {
        Subset::Test => "the model is not tested",
        _ => "the last epoch is saved, and probabilities are not calibrated",
    };
    set.is_empty().then(|| {
        // A split takes at least one image of a class, unless all of them have to stay together.
        let are_together = data.train.class_counts(data.class_names.len()).into_iter().any(|count| count > 1);
        let reason = if are_together {
            together(data)
        } else {
            let n: usize = counts_to_train_on(data).iter().sum();
            format!(
                "{:.0} %{} of {} is not enough to split off an image",
                100.0 * fraction,
                of.flag(),
                counted(n, "image")
            )
        };
        format!("there is no {} set: {reason}; {consequence}", subset.in_words())
    })
}

/// Why no image can be split off.
fn together(data: &Dataset) -> String {
    match &data.findings.patients {
        Some(patients) => format!(
            "the images of each class in the training set are of one patient (known from {}) or duplicates, which stay together; \
             if these are no patients, use --patient-pattern or --patient-column",
            patients.source
        ),
        None => {
            "the images of each class in the training set are duplicates of each other, which stay together"
                .to_owned()
        }
    }
}

/// Names the classes without an image in the validation or the test set.
fn missing_class_note(
    SubsetOfData { subset, set, origin }: &SubsetOfData<'_>,
    data: &Dataset,
) -> Option<String> {
    if set.is_empty() {
        return None;
    }
    let counts = set.class_counts(data.class_names.len());
    let missing = data.class_names.iter().zip(counts).filter(|(_, count)| *count == 0);
    let missing: Vec<String> = missing.map(|(class, _)| format!("`{class}`")).collect();
    let split_off = if *origin == SubsetOrigin::SplitOff { ", which was split off," } else { "" };
    (!missing.is_empty()).then(|| {
        format!(
            "the {} set ({}){split_off} has no image of {}: it says nothing about {}",
            subset.in_words(),
            counted(set.len(), "image"),
            listed(&missing),
            by_number(missing.len(), "this class", "these classes")
        )
    })
}
