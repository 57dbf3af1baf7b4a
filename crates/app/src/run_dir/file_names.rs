//! The names of the files in a run folder.

pub(crate) use crate::config::CONFIG_FILE as CONFIG;
pub(crate) use crate::config::search_space::SPACE_FILE as SPACE;
pub(crate) use crate::model::model_file::FILE as MODEL;

/// The report of `inspect` on the data; written before the configuration.
pub(crate) const DATA: &str = "data.json";
/// The weights of the last epoch.
pub(crate) const LAST_MODEL: &str = "model-last.safetensors";
/// A line per epoch, the same at every repetition of the run.
pub(crate) const LOG: &str = "log.jsonl";
/// A line per epoch: how long it took.
pub(crate) const TIMES: &str = "times.jsonl";
/// The state from which an interrupted run continues; removed when it has ended.
pub(crate) const CHECKPOINT: &str = "checkpoint.bin";
/// The final figures. Written last: a folder that has it belongs to a run that has ended.
pub(crate) const METRICS: &str = "metrics.json";
/// The page for people.
pub(crate) const REPORT: &str = "report.html";
/// The results of a sweep. Written last, as the metrics of a run.
pub(crate) const SWEEP: &str = "sweep.json";
/// The page of a sweep.
pub(crate) const SWEEP_PAGE: &str = "sweep.html";
/// Digests of the images that a run, or several trainings, began with.
pub(crate) const IMAGES: &str = "images.blake3";
/// Why a training of a sweep did not finish.
pub(crate) const FAILURE: &str = "failure.json";
