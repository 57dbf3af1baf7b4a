//! The model card of a run that begins: what its model file says about the model and its training.

use roentgen_data::{Dataset, Normalization};

use crate::config::TrainConfig;
use crate::data_loading::medical::is_medical;
use crate::data_loading::phantom;
use crate::model::assumed_prior::AssumedPrior;
use crate::model::instruction_sets::InstructionSets;
use crate::model::model_card::{FORMAT, ModelCard, NO_DIGEST, TrainedOn};
use crate::model::training_digests::TrainingDigests;

/// The card of a run with these settings and data, before anything is trained.
pub(super) fn new_model_card(
    config: &TrainConfig,
    data: &Dataset,
    normalization: &Normalization,
    prior: AssumedPrior,
) -> ModelCard {
    // With a test folder of its own, no part of the data was split off for testing.
    let test_fraction = if config.test.is_some() { 0.0 } else { config.test_fraction };
    // The absolute path has a last component even if the data are `.`.
    let name = match config.with_absolute_paths().data.file_name() {
        Some(_) if config.pseudonyms && !config.uses_phantom() => "data".to_owned(),
        Some(name) if !config.uses_phantom() => name.to_string_lossy().into_owned(),
        _ => phantom::describe(config.seed),
    };
    ModelCard {
        format: FORMAT,
        digest: NO_DIGEST.to_owned(),
        class_names: data.class_names.clone(),
        channels: data.channels,
        resize: config.resize(),
        size: config.size,
        fit: config.fit,
        sample_bits: data.sample_bits,
        invert: config.invert,
        view: config.view.clone(),
        brightness_pattern: data.pattern.clone(),
        normalization: normalization.clone(),
        tta: config.tta_config(),
        temperature: 1.0,
        prior,
        width: config.width,
        initial_weights: None,
        seed: config.seed,
        val_fraction: data.val_fraction,
        test_fraction,
        patient_pattern: config.patient_pattern.clone(),
        class_mapping: config.classes.as_ref().map(ToString::to_string),
        fold: config.fold.zip(config.folds).map(|(fold, of)| [fold, of]),
        fingerprint: (!config.uses_phantom()).then(|| data.fingerprint.clone()),
        films: config.uses_phantom().then_some(config.films),
        epoch: 0,
        instruction_sets: InstructionSets::default(),
        trained_on: Some(TrainedOn { data: name, n_train: data.train.len(), n_val: data.val.len() }),
        medical: is_medical(config, data),
        ood_detector: None,
        validation: None,
        training_digests: TrainingDigests::of(&[&data.train, &data.val]),
        held_out: TrainingDigests::of(&[&data.val]).without(&TrainingDigests::of(&[&data.train])),
        has_unknown_training_images: false,
    }
}
