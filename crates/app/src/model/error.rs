//! What can be wrong with a model file, and with the images that a model is applied to.

use std::io;
use std::path::PathBuf;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The path of the model does not exist.
    #[error("cannot read the model {}: it does not exist; give the folder of a run, or its model.safetensors", path.display())]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// A folder has no model of its own.
    #[error("{} has no model.safetensors: {}", path.display(), match inside {
        Some(run) => format!("it is the folder of several trainings; give the folder of one of them, such as {}", run.display()),
        None => "it is not the folder of a run that has saved an epoch; give one that has".to_owned(),
    })]
    NotInFolder {
        /// The folder that was given.
        path: PathBuf,
        /// A folder in it that has one.
        inside: Option<PathBuf>,
    },
    /// The model file cannot be read.
    #[error("cannot read the model {}: {source}; give the model.safetensors of a run", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a model of this version, or it is damaged.
    #[error("{} is not a model that this version can use: {reason}; give the model.safetensors of a run", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was expected, and what was found.
        reason: String,
    },
    /// A training cannot start from the weights in the file, which are those of a larger or smaller network.
    #[error("cannot start from the weights of {}: {reason}", path.display())]
    OtherSizes {
        /// The file.
        path: PathBuf,
        /// Which size, and what to do.
        reason: String,
    },
    /// The network computes no finite numbers. No file of this program does that for any image.
    #[error(
        "the model computes no finite numbers for these images; give the model.safetensors of another run"
    )]
    NotFinite,
    /// The images are not of the kind that the model was trained on.
    #[error(
        "the model cannot be applied to these images: {reason}; load them as its training images were loaded"
    )]
    ImagesUnsuitable {
        /// What was found, and what was expected.
        reason: String,
    },
}
