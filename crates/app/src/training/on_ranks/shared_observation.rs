//! The passes of the saved model over whole sets, at the end of a run: each rank computes a share, and the first one gets all
//! of it, in order.

use std::borrow::Cow;

use roentgen_data::{Dataset, ImageSet, TtaConfig};

use super::leader::{ObservedSet, own_part, signal_of_any};
use crate::model::inference::Preprocessing;
use crate::model::model_card::ModelCard;
use crate::model::observation::{Observation, from_bytes, observe_part, to_bytes};
use crate::model::trained_model::Model;
use crate::ranks::Ranks;
use crate::ranks::error::RankError;
use crate::training::interrupt;
use crate::training::quick_audit::evenly_spaced;

/// Most training images that the OOD detector is fitted to, evenly spaced over the set: its mean and covariance hardly depend on
/// more, and all their vectors are in memory at once, over a kilobyte each.
const MAX_FITTED: usize = 50_000;

impl ObservedSet {
    /// Its images; of many training images only some.
    pub(in crate::training) fn images(self, data: &Dataset) -> Cow<'_, ImageSet> {
        match self {
            Self::Train => at_most(MAX_FITTED, &data.train),
            Self::Val => Cow::Borrowed(&data.val),
            Self::Test => Cow::Borrowed(&data.test),
        }
    }

    /// Training images are not predicted: what they look like is known from the plain view.
    fn preprocessing(self, card: &ModelCard) -> Preprocessing<'_> {
        match self {
            Self::Train => Preprocessing { tta: TtaConfig::default(), ..card.preprocessing() },
            Self::Val | Self::Test => card.preprocessing(),
        }
    }
}

fn at_most(most: usize, set: &ImageSet) -> Cow<'_, ImageSet> {
    if set.len() <= most {
        Cow::Borrowed(set)
    } else {
        Cow::Owned(set.select(&evenly_spaced(set.len(), most)))
    }
}

/// The observations of the images of a set by the model, on the first rank, and an empty list on the others; or the signal that a
/// rank has received, after which no rank goes on with its share. Every rank calls this at the same time.
///
/// # Errors
/// If a rank is lost.
pub(in crate::training) fn observe_on_all<'a>(
    ranks: &Ranks,
    model: &Model,
    observed: ObservedSet,
    set: &'a ImageSet,
) -> Result<Result<Vec<Observation<'a>>, u8>, RankError> {
    let Model { network, card } = model;
    let own: Vec<Observation<'a>> = observe_part(network, set, observed.preprocessing(card), own_part(ranks))
        .take_while(|_| interrupt::signal().is_none())
        .collect();
    if let Some(signal) = signal_of_any(ranks)? {
        return Ok(Err(signal));
    }
    if ranks.size() == 1 {
        return Ok(Ok(own));
    }
    let shares = ranks.gather_on_first(to_bytes(&own))?;
    if !ranks.is_first() {
        return Ok(Ok(Vec::new()));
    }
    let all = from_bytes(&shares.concat(), set, card.class_names.len(), card.vector_length());
    all.map(Ok).map_err(|text| RankError::Lost { text })
}

#[cfg(test)]
mod tests {
    use roentgen_data::{LoadOptions, PhantomOptions, phantom_dataset, silent};

    use super::*;

    #[test]
    fn of_many_images_some_are_fitted_to() {
        let phantom = PhantomOptions { train: 24, val: 3, test: 3, ..PhantomOptions::default() };
        let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).unwrap();
        let fitted = at_most(10, &data.train);
        let names: Vec<&str> = (0..fitted.len()).map(|image| fitted.name(image)).collect();
        let expected: Vec<&str> = (0..10).map(|at| data.train.name(at * 24 / 10)).collect();
        assert_eq!(names, expected);
        assert!(matches!(at_most(24, &data.train), Cow::Borrowed(_)));
    }
}
