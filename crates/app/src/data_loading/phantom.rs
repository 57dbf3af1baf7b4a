//! The phantom films as a data set of this program: how many, and `roentgen data phantom`.

use roentgen_data::PhantomOptions;

/// `films` to train on, an eighth as many to validate on, a quarter as many to test on.
#[must_use]
pub(crate) fn options(films: u32, seed: u64) -> PhantomOptions {
    let train = films as usize;
    PhantomOptions { seed, train, val: train / 8, test: train / 4, ..PhantomOptions::default() }
}

/// The same validation and test films with as few training films as can be: one of each class.
#[must_use]
pub(crate) fn without_training(films: u32, seed: u64) -> PhantomOptions {
    PhantomOptions { train: 3, ..options(films, seed) }
}

/// The set in words.
#[must_use]
pub(crate) fn describe(seed: u64) -> String {
    format!("phantom chest films, drawn by the program with seed {seed}")
}
