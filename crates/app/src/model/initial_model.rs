//! The model whose weights a training starts from.

use serde::{Deserialize, Serialize};

use super::training_digests::TrainingDigests;

/// The file and the images of that model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitialModel {
    /// BLAKE3 of its file.
    pub file_digest: String,
    /// Its images; `None` for a file of PyTorch's, which lists none.
    pub images: Option<InitialImages>,
    /// Whether it has training images that its file does not list.
    pub has_unknown_training_images: bool,
}

/// The images that its file lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitialImages {
    /// Its training and validation images, and those of the models before it.
    pub all: TrainingDigests,
    /// Those of them that its weights were computed from.
    pub fitted: TrainingDigests,
}
