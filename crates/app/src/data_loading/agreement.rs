//! Whether several ranks have the same images, of the same patients.

use roentgen_data::{Dataset, ImageSet};

use crate::ranks::error::RankError;
use crate::ranks::{Ranks, SharedFact};
use crate::terminal::screen::counted;

/// Fails on every rank if one of them has other images than the rest.
///
/// # Errors
/// [`RankError::Differ`], or if a rank cannot be reached.
pub(crate) fn agree_on_images(data: &Dataset, ranks: &Ranks) -> Result<(), RankError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let Dataset { train, val, test, .. } = data;
    let sets = [("the training set", train), ("the validation set", val), ("the test set", test)];
    let remedy = "give every rank the same images, of the same patients";
    ranks.agree(&sets.map(|(name, set)| SharedFact { name, value: shown(set), remedy }))
}

/// A set as an error shows it.
fn shown(set: &ImageSet) -> String {
    format!("{} with the digest {}", counted(set.len(), "image"), &set.digest()[..8])
}
