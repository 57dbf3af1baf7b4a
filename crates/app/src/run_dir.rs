//! The folder of a run: its files, their names, and how they are written.

pub(crate) mod error;
pub(crate) mod file_names;
pub(crate) mod output_file;
pub(crate) mod planned_folder;
pub(crate) mod predictions_file;
pub(crate) mod pseudonym_key;
pub(crate) mod records;
pub(crate) mod run_folder;
pub(crate) mod sweep_record;
pub(crate) mod tensorboard;
