//! A short training of a narrow ResNet9, for what is to be known of the pictures before, or without, a whole run.

use roentgen_data::{ImageSet, TtaConfig};
use roentgen_layers::{LossHead, ResNet9, ResNet9Config};

use crate::config::TrainConfig;
use crate::config::build::normalization;
use crate::error::AppError;
use crate::model::inference::{Evaluation, Preprocessing, evaluate};
use crate::terminal::screen::Screen;
use crate::training::interrupt;
use crate::training::trainer::{EpochProgress, Trainer};

/// Channels of the first convolution: half of the recipe's, a quarter of its work.
const WIDTH: usize = 32;

/// Trains on `train_set` as `config` says, but with a narrow network and all classes weighing the same, and asks the
/// model about every picture of `asked`. After a signal it does no more steps: then what it says is not to be used.
///
/// # Errors
/// A training that diverges.
pub(crate) fn train_and_ask(
    config: &TrainConfig,
    train_set: &ImageSet,
    asked: &ImageSet,
    n_classes: usize,
    label: &str,
    screen: &Screen,
) -> Result<Evaluation, AppError> {
    let n_train = train_set.len();
    let epochs = config.epochs(n_train);
    let architecture = ResNet9Config { width: WIDTH, ..ResNet9Config::new(train_set.channels(), n_classes) };
    let normalization = normalization(config, train_set);
    let model = ResNet9::new(&architecture, config.seed);
    let mut trainer = Trainer::new(config, model, normalization.clone(), LossHead::default(), n_train);
    let bar = screen.bar(trainer.n_steps());
    bar.set_prefix(label.to_owned());
    for epoch in 0..epochs {
        let trained = trainer.train_epoch(train_set, epoch, &mut EpochProgress::default(), |step| {
            bar.set_position(step.step as u64);
            bar.set_message(format!("loss {:.3}", step.loss));
            interrupt::signal().is_none()
        });
        let goes_on = trained.map_err(|divergence| divergence.into_error(config, train_set))?;
        if !goes_on {
            break;
        }
    }
    bar.finish_and_clear();
    let preprocessing = Preprocessing {
        crop: config.size as usize,
        normalization: &normalization,
        looks: TtaConfig::default(),
    };
    Ok(trainer.with_model(train_set, epochs - 1, |model| evaluate(model, asked, n_classes, &preprocessing)))
}
