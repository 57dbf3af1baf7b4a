//! The first of several ranks leads a training: it decides and writes, and asks the others for what they compute together.
//!
//! [`follower`](super::follower) is the other side. A training of one process is led too, by a leader without followers.

use roentgen_data::ImageSet;
use roentgen_layers::ResNet;
use serde::{Deserialize, Serialize};

use crate::model::inference::{Evaluation, Preprocessing, SetPart, logits_of_part};
use crate::ranks::Ranks;
use crate::ranks::error::RankError;
use crate::training::interrupt;
use crate::training::trainer::EpochProgress;

/// One of the sets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::training) enum ObservedSet {
    Train,
    Val,
    Test,
}

/// A message of the first rank: the work that the others are to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::training) enum Order {
    /// Take the state of the training, a message of its own, and train on these samples of the training set, or on all.
    Begin {
        /// Images of an epoch, where hard examples occur several times.
        epoch_images: Option<Vec<usize>>,
    },
    /// Continue an epoch.
    Train {
        /// From 0.
        epoch: usize,
        /// The part of it that is done.
        progress: EpochProgress,
    },
    /// Evaluate a share of the validation set with the model of this epoch.
    Validate {
        /// From 0.
        epoch: usize,
    },
    /// Take the saved model, a message of its own, in place of the one in training.
    TakeSaved,
    /// Compute a share of what the saved model makes of a set.
    Observe {
        /// Which one.
        set: ObservedSet,
    },
    /// The run is over, for whatever reason.
    End,
}

/// The first rank as the others know it. They follow until it is dropped, also by an error.
#[derive(Debug)]
pub(crate) struct Leader<'a> {
    pub(in crate::training) ranks: &'a Ranks,
}

impl<'a> Leader<'a> {
    /// Leads these ranks, of which this one is the first.
    pub(crate) fn of(ranks: &'a Ranks) -> Self {
        assert!(ranks.is_first());
        Self { ranks }
    }

    /// Gives all others an order.
    pub(in crate::training) fn order(&self, order: &Order) -> Result<(), RankError> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec(order).expect("names and numbers");
        self.ranks.broadcast(&mut bytes)
    }

    /// Begins a training on all ranks, with the state that `state` serialises.
    pub(in crate::training) fn begin(
        &self,
        epoch_images: Option<Vec<usize>>,
        state: impl FnOnce() -> Vec<u8>,
    ) -> Result<(), RankError> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        self.order(&Order::Begin { epoch_images })?;
        self.ranks.broadcast(&mut state())
    }

    /// Evaluates `model` on a set of which every rank has a share.
    pub(in crate::training) fn evaluate(
        &self,
        model: &ResNet,
        set: &ImageSet,
        n_classes: usize,
        preprocessing: &Preprocessing<'_>,
    ) -> Result<Evaluation, RankError> {
        let shares = gather_logits(self.ranks, model, set, preprocessing)?;
        Ok(Evaluation::of(set.labels(), n_classes, shares.concat()))
    }

    /// Gives all ranks the saved model, with the bytes of its file.
    pub(in crate::training) fn share_saved(&self, bytes: &[u8]) -> Result<(), RankError> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        self.order(&Order::TakeSaved)?;
        self.ranks.broadcast(&mut bytes.to_vec())
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        // Ranks that are lost need no order.
        let _ = self.order(&Order::End);
    }
}

/// The part of every set that this rank computes.
pub(super) fn own_part(ranks: &Ranks) -> SetPart {
    SetPart { index: ranks.rank(), of: ranks.size() }
}

/// The logits of all images of a set, by rank.
pub(super) fn gather_logits(
    ranks: &Ranks,
    model: &ResNet,
    set: &ImageSet,
    preprocessing: &Preprocessing<'_>,
) -> Result<Vec<Vec<f32>>, RankError> {
    let own = logits_of_part(model, set, preprocessing, own_part(ranks));
    let shares = ranks.gather(bytemuck::cast_slice(&own))?;
    Ok(shares.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect())
}

/// The signal that any rank has received, after an epoch that did not come to its end.
pub(in crate::training) fn signal_of_any(ranks: &Ranks) -> Result<Option<u8>, RankError> {
    let signals = ranks.gather(&[interrupt::signal().unwrap_or(0)])?;
    Ok(signals.concat().into_iter().find(|&signal| signal > 0))
}
