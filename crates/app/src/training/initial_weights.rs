//! The weights of `--init`, and which images their model was trained on.

use roentgen_data::{Dataset, SubsetOrigin};
use roentgen_layers::ResNet;

use super::checkpoint::RunState;
use super::{inputs, run_summary};
use crate::config::TrainConfig;
use crate::model::model_card::ModelCard;
use crate::model::model_file::{self, Initialisation};
use crate::report::{SAME_SPLIT, UNKNOWN_TRAINING_IMAGES, has_data_of_initial_model};
use crate::run_dir::file_names::CHECKPOINT;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;

/// Loads the weights of `--init` into `model`; `None` without that setting.
///
/// A run with a checkpoint has its weights, and what is known of their model, in the checkpoint.
pub(super) fn load(
    config: &TrainConfig,
    folder: &RunFolder,
    model: &mut ResNet,
    screen: &Screen,
) -> Result<Option<Initialisation>, TrainingError> {
    let Some(path) = config.init.as_ref().filter(|_| !folder.file(CHECKPOINT).exists()) else {
        return Ok(None);
    };
    let start = model_file::initialise(model, path)?;
    inputs::check_init(folder, &start.file_digest)?;
    run_summary::show_initial_weights(screen, path, &start);
    Ok(Some(start))
}

/// Adds what is known of the model of `--init` to the state of a run that begins.
pub(super) fn add_to_state(init: Initialisation, run_state: &mut RunState) {
    run_state.init_file = Some(init.file_digest);
    (run_state.init_digests, run_state.init_fitted) = (init.training_digests, init.fitted_digests);
    run_state.has_unknown_training_images = init.has_unknown_training_images;
}

/// Adds the file of `--init` to the model card, and the images of its model to those that the card lists; shows how many of them
/// are validation or test images of the run, what to do about it, and whether some of its images are unknown.
pub(super) fn add_to_card(
    run_state: &RunState,
    card: &mut ModelCard,
    config: &TrainConfig,
    data: &Dataset,
    screen: &Screen,
) {
    card.initial_weights = run_state.init_file.clone();
    card.has_unknown_training_images = run_state.has_unknown_training_images;
    if card.has_unknown_training_images {
        screen.field("note", UNKNOWN_TRAINING_IMAGES);
    }
    let Some(all) = &run_state.init_digests else { return };
    // A file of an earlier version lists its training and validation images together.
    let (fitted, are) = match &run_state.init_fitted {
        Some(fitted) => (fitted, "training"),
        None => (all, "training or validation"),
    };
    let [n_val, n_test] = [fitted.count(&data.val), all.count(&data.test)];
    run_summary::show_leakage_by_init(screen, "validation", [n_val, data.val.len()], are);
    run_summary::show_leakage_by_init(screen, "test", [n_test, data.test.len()], "training or validation");
    let is_by_split =
        |n_leaked: usize, origin: SubsetOrigin| n_leaked > 0 && origin == SubsetOrigin::SplitOff;
    if (is_by_split(n_val, data.val_origin) || is_by_split(n_test, data.test_origin))
        && has_data_of_initial_model(config, data, all)
    {
        screen.field("", SAME_SPLIT);
    }
    let own_fitted = card.fitted_digests();
    card.training_digests = card.training_digests.take().map(|own| own.or(all.clone()));
    let both = card.training_digests.clone().zip(own_fitted);
    card.held_out = both.map(|(all, own_fitted)| all.without(&own_fitted.or(fitted.clone())));
}
