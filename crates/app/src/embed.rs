//! The library's entry points: what the commands `train`, `evaluate` and `predict` do, for a program that holds the data,
//! the model and the results itself.

use std::path::{Path, PathBuf};

use roentgen_data::{ArrayImages, Dataset, ImageSet};

use crate::config::error::ConfigError;
use crate::config::{Repetition, TrainConfig};
use crate::data_loading::load;
use crate::error::AppError;
use crate::metrics::{Predictions, SubsetMetrics};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::records::Metrics;
use crate::terminal::screen::Screen;
use crate::threads::in_pool;
use crate::training::interrupt;
use crate::training::pipeline::{self, FinishedRun};

pub use crate::model::trained_model::Model;

mod model;

/// Loads the data that `config` names: a folder, a file of a supported format, or the phantom films.
///
/// Every image is decoded and resized to a short side of `config.resize` pixels; missing validation and test sets are split
/// off. The `findings` of the result list duplicates, leakage and unusable files; `screen` shows them.
///
/// # Errors
/// [`AppError::Config`] for unusable settings, [`AppError::DataLoading`] for unusable data,
/// [`DataLoadingError::Leakage`](crate::DataLoadingError::Leakage) if `config.strict` is set and the sets share images
/// or patients.
///
/// ```
/// use roentgen::{Screen, TrainConfig};
///
/// let config = TrainConfig { films: 24, ..TrainConfig::default() };
/// let data = roentgen::load(&config, &Screen::silent())?;
/// assert_eq!(data.class_names, ["covid", "normal", "pneumonia"]);
/// assert_eq!((data.train.len(), data.val.len(), data.test.len()), (24, 3, 6));
/// # Ok::<(), roentgen::AppError>(())
/// ```
pub fn load(config: &TrainConfig, screen: &Screen) -> Result<Dataset, AppError> {
    config.validate()?;
    in_pool(config.threads(), || Ok(load::load(config, screen)?))
}

/// Makes a data set of images that the program holds in memory, with the splits and checks of [`load()`].
///
/// `config.data` is the name that the model and the report give to the data; it is not read, so that a run on such data
/// cannot be resumed after an interruption.
///
/// # Errors
/// [`AppError::DataLoading`] if shapes, labels and classes do not match; else as [`load()`].
///
/// ```
/// use roentgen::data::ArrayImages;
/// use roentgen::ndarray::Array4;
/// use roentgen::{Screen, TrainConfig};
///
/// // 40 images of 32x32: half of them dark, half of them bright.
/// let images = Array4::from_shape_fn((40, 32, 32, 1), |(n, y, x, _)| {
///     ((n * 37 + y * n + x * 11) % 100 + n % 2 * 100) as u8
/// });
/// let labels: Vec<u32> = (0..40).map(|n| n % 2).collect();
/// let arrays = ArrayImages {
///     images: images.view(),
///     labels: &labels,
///     class_names: &["dark", "bright"],
///     subsets: None,
///     patients: None,
/// };
/// let config = TrainConfig { data: "brightness".into(), ..TrainConfig::default() };
/// let data = roentgen::load_arrays(&config, &arrays, &Screen::silent())?;
/// assert_eq!((data.channels, data.train.len() + data.val.len() + data.test.len()), (1, 40));
/// # Ok::<(), roentgen::AppError>(())
/// ```
pub fn load_arrays(
    config: &TrainConfig,
    arrays: &ArrayImages<'_>,
    screen: &Screen,
) -> Result<Dataset, AppError> {
    config.validate()?;
    in_pool(config.threads(), || Ok(load::load_from_arrays(config, arrays, screen)?))
}

/// Trains on `data` as `config` says, tests the model of the saved epoch, and writes a run folder at `out`: the model, the
/// figures, the settings and a report.
///
/// `data` comes from [`load()`] or [`load_arrays()`] with the same `config`. While it trains, Ctrl-C and a request of
/// the system to end are handled: the run writes a checkpoint and returns
/// [`TrainingError::Interrupted`](crate::TrainingError::Interrupted). After it, they act as before: handlers that the
/// program had installed earlier are called, also during the run.
///
/// # Errors
/// - [`AppError::Config`] for settings that are unusable or do not match `data`; for
///   `config.folds` without `config.fold`, and for `config.seeds`, since these are several runs;
/// - [`RunDirError::OutIsRun`](crate::RunDirError::OutIsRun) if `out` is the folder of a run,
///   [`RunDirError::OutNotEmpty`](crate::RunDirError::OutNotEmpty) if it is another folder that is not empty, or a file;
/// - [`TrainingError::BatchTooSmall`](crate::TrainingError::BatchTooSmall) if batch normalisation has nothing to compare;
/// - [`TrainingError::Diverged`](crate::TrainingError::Diverged) if a loss or a weight becomes infinite or NaN,
///   [`TrainingError::ProbeDiverged`](crate::TrainingError::ProbeDiverged) in the first training of `oversample_hard`;
/// - [`WriteError`](crate::WriteError) or [`RunDirError::ResumableWrite`](crate::RunDirError::ResumableWrite) if the
///   disk is full; [`RunDirError::Moved`](crate::RunDirError::Moved) if the folder was moved meanwhile.
///
/// ```
/// use roentgen::{Screen, TrainConfig};
///
/// let config = TrainConfig { films: 24, width: 8, epochs: Some(1), ..TrainConfig::default() };
/// let screen = Screen::silent();
/// let data = roentgen::load(&config, &screen)?;
/// let folder = tempfile::tempdir()?;
/// let run = roentgen::train(&config, &data, &folder.path().join("run"), &screen)?;
/// let test = run.test.expect("the phantom films have a test set");
/// assert_eq!(test.confusion.n(), 6);
/// assert!(run.folder.join("report.html").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn train(
    config: &TrainConfig,
    data: &Dataset,
    out: &Path,
    screen: &Screen,
) -> Result<TrainedRun, AppError> {
    config.validate()?;
    check_match(config, data)?;
    let folder = PlannedFolder::new(Some(out))?;
    let finished = in_pool(config.threads(), || Ok(pipeline::train(config, data, folder, screen)?));
    interrupt::release();
    let FinishedRun { metrics, test, folder } = finished?;
    let Metrics { val, test: test_metrics, saved_epoch, train_seconds, .. } = metrics;
    let (test_metrics, test_deduplicated) =
        test_metrics.map(|metrics| (metrics.test, metrics.test_deduplicated)).unzip();
    Ok(TrainedRun {
        folder: folder.path().to_owned(),
        val,
        test: test_metrics,
        test_deduplicated: test_deduplicated.flatten(),
        predictions: test.map(|test| test.predictions),
        saved_epoch,
        train_seconds,
    })
}

/// Whether settings are those of a single run, and can have loaded `data`.
fn check_match(config: &TrainConfig, data: &Dataset) -> Result<(), AppError> {
    let conflict = |first, second, reason| Err(ConfigError::Conflict { first, second, reason }.into());
    if let Some(Repetition::Folds(_)) = config.repetition() {
        return conflict("--folds", "a single run", "set `fold` too, or train once for each fold");
    }
    if let Some(Repetition::Seeds(_)) = config.repetition() {
        return conflict("--seeds", "a single run", "set `seed` instead, and train once for each seed");
    }
    if config.uses_phantom() != data.is_phantom() {
        let reason = "set `data` to what was loaded: a path, or a name for images in memory";
        return conflict("--data", "the loaded data", reason);
    }
    if config.pseudonyms == data.pseudonyms.is_empty() {
        return conflict("--pseudonyms", "the loaded data", "load the data with the settings to train with");
    }
    let crop = config.size as usize;
    if data.subsets().into_iter().any(|of| !all_fit(of.set, crop)) {
        let reason = "an image is smaller than the crop; load the data with the same settings";
        return conflict("--size", "the loaded data", reason);
    }
    Ok(())
}

/// Whether a crop of `crop` pixels fits into every image of a set.
fn all_fit(set: &ImageSet, crop: usize) -> bool {
    (0..set.len()).map(|index| set.size(index)).all(|(height, width)| height.min(width) >= crop)
}

/// What [`train()`] returns.
#[derive(Clone, Debug)]
pub struct TrainedRun {
    /// The run folder, with `model.safetensors`, `metrics.json`, `report.html` and more.
    pub folder: PathBuf,
    /// Figures of the validation set, if there is one.
    pub val: Option<SubsetMetrics>,
    /// Figures of the test set as it is, if there is one.
    pub test: Option<SubsetMetrics>,
    /// Figures of the test set without the images that also occur, or whose patient also occurs, in an earlier set;
    /// `None` if there are no such images, or no others.
    pub test_deduplicated: Option<SubsetMetrics>,
    /// Labels, predicted classes and probabilities of the test images, in the order of the test set.
    pub predictions: Option<Predictions>,
    /// The epoch whose weights are in the model, from 1.
    pub saved_epoch: usize,
    /// Time that training took, in seconds.
    pub train_seconds: f64,
}

impl TrainedRun {
    /// Reads the trained model back from the run folder.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn model(&self) -> Result<Model, AppError> {
        Model::read(&self.folder)
    }
}
