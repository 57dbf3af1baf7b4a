//! The phantom films as a data set: how many there are, and what they are called.

use roentgen_data::PhantomOptions;

/// `films` to train on, an eighth as many to validate on, a quarter as many to test on.
#[must_use]
pub(crate) fn options(films: u32, seed: u64) -> PhantomOptions {
    let train = films as usize;
    PhantomOptions { seed, train, val: train / 8, test: train / 4, ..PhantomOptions::default() }
}

/// The same validation and test films with as few training films as possible: one of each class.
#[must_use]
pub(crate) fn without_training(films: u32, seed: u64) -> PhantomOptions {
    PhantomOptions { train: 3, ..options(films, seed) }
}

/// A short description.
#[must_use]
pub(crate) fn describe(seed: u64) -> String {
    format!("phantom chest films, generated with seed {seed}")
}
