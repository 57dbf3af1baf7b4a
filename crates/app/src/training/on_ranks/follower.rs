//! What every rank but the first does in a training: the same steps, a share of each evaluation, and no file.

use roentgen_data::{Dataset, ImageSet};

use super::leader::{Order, gather_logits, signal_of_any};
use super::shared_observation::observe_on_all;
use crate::config::TrainConfig;
use crate::config::build::{normalization, resnet9_config};
use crate::model::inference::Preprocessing;
use crate::model::model_file;
use crate::model::trained_model::Model;
use crate::ranks::Ranks;
use crate::ranks::error::RankError;
use crate::training::divergence::EpochError;
use crate::training::error::TrainingError;
use crate::training::objective::loss_head;
use crate::training::trainer::Trainer;
use crate::training::{checkpoint, interrupt};

/// Follows the first rank until its training is over; `config` has a value for everything.
///
/// # Errors
/// If a rank is lost. What else ends a training, the first rank shows.
pub(crate) fn follow(config: &TrainConfig, data: &Dataset, ranks: &Ranks) -> Result<(), TrainingError> {
    interrupt::listen(|| {}).map_err(|source| TrainingError::Signals { source })?;
    let normalization = normalization(config, &data.train);
    let (mut training, mut saved) = (None, None);
    loop {
        match next_order(ranks)? {
            Order::Begin { epoch_images } => {
                let epoch_set = epoch_images.map(|images| data.train.select(&images));
                let trainer =
                    receive_trainer(config, data, ranks, epoch_set.as_ref().unwrap_or(&data.train))?;
                training = Some((trainer, epoch_set));
            }
            Order::Train { epoch, mut progress } => {
                let (trainer, set) = begun(&mut training, data);
                match trainer.train_epoch(set, epoch, &mut progress, |_| interrupt::signal().is_none()) {
                    Ok(true) => {}
                    Ok(false) => {
                        signal_of_any(ranks)?;
                    }
                    // All ranks have the same loss and the same weights: the first one shows it, and its next order is to end.
                    Err(EpochError::Diverged(_)) => {}
                    Err(EpochError::Ranks(error)) => return Err(error.into()),
                }
            }
            Order::Validate { epoch } => {
                let (trainer, set) = begun(&mut training, data);
                let crop = config.size as usize;
                let preprocessing =
                    Preprocessing { crop, normalization: &normalization, tta: config.tta_config() };
                trainer.with_model(set, epoch, |model| {
                    gather_logits(ranks, model, &data.val, &preprocessing).map(drop)
                })?;
            }
            Order::TakeSaved => {
                training = None;
                saved = Some(receive_saved(ranks)?);
            }
            Order::Observe { set } => {
                let model = saved.as_ref().expect("the order to take it came first");
                // After a signal, the next order is to end.
                let _ = observe_on_all(ranks, model, set, &set.images(data))?;
            }
            Order::End => return Ok(()),
        }
    }
}

fn next_order(ranks: &Ranks) -> Result<Order, RankError> {
    let mut bytes = Vec::new();
    ranks.broadcast(&mut bytes)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| RankError::Lost { text: format!("an order is damaged: {error}") })
}

/// The trainer and the set of an epoch, after the first order.
fn begun<'a>(
    training: &'a mut Option<(Trainer, Option<ImageSet>)>,
    data: &'a Dataset,
) -> (&'a mut Trainer, &'a ImageSet) {
    let (trainer, epoch_set) = training.as_mut().expect("the first order is to begin");
    (trainer, epoch_set.as_ref().unwrap_or(&data.train))
}

/// The saved model of the first rank.
fn receive_saved(ranks: &Ranks) -> Result<Model, RankError> {
    let mut bytes = Vec::new();
    ranks.broadcast(&mut bytes)?;
    model_file::from_bytes(&bytes).map_err(|text| RankError::Lost { text })
}

/// The trainer of the first rank, whose weights and moments it sends.
fn receive_trainer(
    config: &TrainConfig,
    data: &Dataset,
    ranks: &Ranks,
    epoch_set: &ImageSet,
) -> Result<Trainer, RankError> {
    let counts = epoch_set.class_counts(data.class_names.len());
    let model = resnet9_config(config, data).build(config.seed);
    let normalization = normalization(config, &data.train);
    let trainer = Trainer::new(config, model, normalization, loss_head(config, &counts), epoch_set.len());
    let mut trainer = trainer.on(ranks.clone());
    let mut bytes = Vec::new();
    ranks.broadcast(&mut bytes)?;
    let (_, state) = checkpoint::from_bytes(&bytes).map_err(|text| RankError::Lost { text })?;
    trainer.restore(state).map_err(|text| RankError::Lost { text })?;
    Ok(trainer)
}
