//! A short training of a narrow ResNet9, which probes the data: for hard examples, and for the shortcut audit.

use roentgen_data::{ImageSet, TtaConfig};
use roentgen_layers::{LossHead, ResNet9Config};

use crate::config::TrainConfig;
use crate::config::build::normalization;
use crate::model::inference::{Evaluation, Preprocessing, evaluate};
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::interrupt;
use crate::training::trainer::{EpochProgress, Trainer};

/// Channels of the first convolution: half of the recipe's, a quarter of its work.
pub(crate) const PROBE_WIDTH: usize = 32;

/// The network for images of `channels` channels.
#[must_use]
pub(crate) fn probe_network(channels: usize, n_classes: usize) -> ResNet9Config {
    ResNet9Config { width: PROBE_WIDTH, ..ResNet9Config::new(channels, n_classes) }
}

/// Trains on `train_set` with the settings of `config`, but with a narrow network and without class weights, and evaluates
/// on `eval_set`. A signal ends the training early: the evaluation is then of no use. `remedy` is what the user of the command
/// can do if it diverges.
///
/// # Errors
/// [`TrainingError::ProbeDiverged`].
pub(crate) fn train_and_evaluate(
    config: &TrainConfig,
    train_set: &ImageSet,
    eval_set: &ImageSet,
    n_classes: usize,
    label: &str,
    remedy: &'static str,
    screen: &Screen,
) -> Result<Evaluation, TrainingError> {
    let n_train = train_set.len();
    let epochs = config.epochs(n_train);
    let normalization = normalization(config, train_set);
    let model = probe_network(train_set.channels(), n_classes).build(config.seed);
    let mut trainer = Trainer::new(config, model, normalization.clone(), LossHead::default(), n_train);
    let bar = screen.bar(trainer.n_steps());
    bar.set_prefix(label.to_owned());
    for epoch in 0..epochs {
        let trained = trainer.train_epoch(train_set, epoch, &mut EpochProgress::default(), |step| {
            bar.set_position(step.step as u64);
            bar.set_message(format!("loss {:.3}", step.loss));
            interrupt::signal().is_none()
        });
        let goes_on = trained.map_err(|error| error.into_probe_error(label, remedy, train_set))?;
        if !goes_on {
            break;
        }
    }
    bar.finish_and_clear();
    let preprocessing = Preprocessing {
        crop: config.size as usize,
        normalization: &normalization,
        tta: TtaConfig::default(),
    };
    Ok(trainer
        .with_model(train_set, epochs - 1, |model| evaluate(model, eval_set, n_classes, &preprocessing)))
}
