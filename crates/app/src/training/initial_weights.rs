//! The weights of `--init`, and which images their model was trained on.

use roentgen_data::{Dataset, SubsetOrigin};
use roentgen_layers::ResNet;

use super::{inputs, run_summary};
use crate::config::TrainConfig;
use crate::model::initial_model::{InitialImages, InitialModel};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
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
) -> Result<Option<InitialModel>, TrainingError> {
    let Some(path) = config.init.as_ref().filter(|_| !folder.file(CHECKPOINT).exists()) else {
        return Ok(None);
    };
    let start = model_file::initialise(model, path)?;
    inputs::check_init(folder, &start.model.file_digest)?;
    run_summary::show_initial_weights(screen, path, &start);
    Ok(Some(start.model))
}

/// Adds the file of `--init` to the model card, and the images of its model to those that the card lists; shows how many of them
/// are validation or test images of the run, what to do about it, and whether some of its images are unknown.
pub(super) fn add_to_card(
    init: &InitialModel,
    card: &mut ModelCard,
    config: &TrainConfig,
    data: &Dataset,
    screen: &Screen,
) {
    card.initial_weights = Some(init.file_digest.clone());
    card.has_unknown_training_images = init.has_unknown_training_images;
    if card.has_unknown_training_images {
        screen.field("note", UNKNOWN_TRAINING_IMAGES);
    }
    let Some(InitialImages { all, fitted }) = &init.images else { return };
    let [n_val, n_test] = [fitted.count(&data.val), all.count(&data.test)];
    run_summary::show_leakage_by_init(screen, "validation", [n_val, data.val.len()], "training");
    run_summary::show_leakage_by_init(screen, "test", [n_test, data.test.len()], "training or validation");
    let is_by_split =
        |n_leaked: usize, origin: SubsetOrigin| n_leaked > 0 && origin == SubsetOrigin::SplitOff;
    if (is_by_split(n_val, data.val_origin) || is_by_split(n_test, data.test_origin))
        && has_data_of_initial_model(config, data, all)
    {
        screen.field("", SAME_SPLIT);
    }
    let fitted = card.fitted_digests().or(fitted.clone());
    card.training_digests = card.training_digests.clone().or(all.clone());
    card.held_out = card.training_digests.clone().without(&fitted);
}
