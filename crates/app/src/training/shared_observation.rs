//! The passes of the saved model over whole sets, at the end of a run: each rank computes a share, and the first one gets all
//! of it, in order.

use roentgen_data::{Dataset, ImageSet, TtaConfig};
use roentgen_layers::ResNet9;

use super::interrupt;
use super::leader::{ObservedSet, signal_of_any};
use crate::model::inference::Preprocessing;
use crate::model::model_card::ModelCard;
use crate::model::observation::{Observation, from_bytes, observe_share, to_bytes, vector_length};
use crate::ranks::Ranks;
use crate::ranks::error::RankError;

impl ObservedSet {
    fn of(self, data: &Dataset) -> &ImageSet {
        match self {
            Self::Train => &data.train,
            Self::Val => &data.val,
            Self::Test => &data.test,
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

/// What is known of each image of a set after its pass through the model, on the first rank, and nothing on the others; or the
/// signal that a rank has received, after which no rank goes on with its share. Every rank calls this at the same time.
///
/// # Errors
/// If a rank is lost.
pub(super) fn observe_on_all<'a>(
    ranks: &Ranks,
    (model, card): (&ResNet9, &ModelCard),
    data: &'a Dataset,
    observed: ObservedSet,
) -> Result<Result<Vec<Observation<'a>>, u8>, RankError> {
    let set = observed.of(data);
    let own: Vec<Observation<'a>> =
        observe_share(model, set, observed.preprocessing(card), (ranks.rank(), ranks.size()))
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
    let vector_length = vector_length(card.width, card.size as usize);
    let all = from_bytes(&shares.concat(), set, card.class_names.len(), vector_length);
    all.map(Ok).map_err(|text| RankError::Lost { text })
}
