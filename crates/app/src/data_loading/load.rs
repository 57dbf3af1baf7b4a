//! From a configuration to a loaded data set.

use roentgen_data::{
    Alone, ArrayImages, Dataset, Progress, SubsetOrigin, Team, load_arrays, load_dataset_together,
    phantom_dataset,
};

use super::class_notes::class_notes;
use super::{findings, phantom};
use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::terminal::screen::Screen;
use crate::terminal::tables;

/// The images of `config`, decoded and resized, and where they come from.
///
/// # Errors
/// Whatever makes the data unusable.
pub(crate) fn read(
    config: &TrainConfig,
    progress: &dyn Progress,
) -> Result<(Dataset, String), DataLoadingError> {
    read_together(config, &Alone, progress)
}

fn read_together(
    config: &TrainConfig,
    team: &dyn Team,
    progress: &dyn Progress,
) -> Result<(Dataset, String), DataLoadingError> {
    config.check_used()?;
    let options = config.load_options()?;
    if config.uses_phantom() {
        let phantom = phantom::options(config.films, config.seed);
        return Ok((phantom_dataset(&phantom, &options, progress)?, phantom::describe(config.seed)));
    }
    let mut data = load_dataset_together(&config.data, &options, team, progress)?;
    add_notes(config, &mut data);
    Ok((data, config.data.display().to_string()))
}

/// Adds notes on the classes and the sets.
pub(super) fn add_notes(config: &TrainConfig, data: &mut Dataset) {
    data.findings.notes.extend(class_notes(config, data));
    data.findings.notes.extend(unused_fractions(config, data));
}

/// A note on each fraction that was given for a set that is not split off.
fn unused_fractions(config: &TrainConfig, data: &Dataset) -> Vec<String> {
    let has_set = |origin: SubsetOrigin| origin == SubsetOrigin::Given;
    let test = match (config.fold, &config.test) {
        (Some(_), _) => Some("each model is tested on its fold of --folds"),
        (None, Some(_)) => Some("--test has the test set"),
        (None, None) => has_set(data.test_origin).then_some("the data have a test set"),
    };
    let val = has_set(data.val_origin).then_some("the data have a validation set");
    let unused = [("val-fraction", val), ("test-fraction", test)].into_iter();
    let given = unused.filter(|(name, _)| config.is_given(name));
    given.filter_map(|(name, why)| Some(format!("--{name} is not used: {}; leave it out", why?))).collect()
}

/// The data set to train on. Shows what was found in it.
///
/// # Errors
/// Whatever makes the data unusable; leakage, if `config` is strict.
pub(crate) fn load(config: &TrainConfig, screen: &Screen) -> Result<Dataset, DataLoadingError> {
    load_together(config, &Alone, screen)
}

/// [`load`] by several processes, each of which decodes a share of the files.
///
/// # Errors
/// As [`load`], on every process if on one.
pub(crate) fn load_together(
    config: &TrainConfig,
    team: &dyn Team,
    screen: &Screen,
) -> Result<Dataset, DataLoadingError> {
    let (data, source) = read_together(config, team, &screen.loading())?;
    accept(config, data, &source, screen)
}

/// The images to train on, which the calling program holds in memory; shows what was found.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_from_arrays(
    config: &TrainConfig,
    arrays: &ArrayImages<'_>,
    screen: &Screen,
) -> Result<Dataset, DataLoadingError> {
    let mut data = load_arrays(arrays, &config.load_options()?, &screen.loading())?;
    add_notes(config, &mut data);
    accept(config, data, "images in memory", screen)
}

/// Shows what was found in the data, and rejects leakage where `config` is strict.
pub(super) fn accept(
    config: &TrainConfig,
    mut data: Dataset,
    source: &str,
    screen: &Screen,
) -> Result<Dataset, DataLoadingError> {
    tables::show_data(screen, source, &data);
    findings::show_findings(screen, &data);
    tables::show_remarks(screen, &data.findings);
    if config.strict {
        findings::reject_leakage(&data.findings)?;
    }
    if config.pseudonyms {
        data.pseudonymise();
        data.findings.notes.extend(class_notes(config, &data));
    }
    Ok(data)
}
