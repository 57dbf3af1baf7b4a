//! From a folder of pictures to batches.
#![forbid(unsafe_code)]

mod augment;
mod batch;
mod class_weights;
pub mod colour;
mod dataset;
mod decode;
mod error;
mod image_set;
mod normalize;
mod options;
pub mod phantom;
mod picture;
mod progress;
mod source;
mod split;

pub use augment::{Augment, Window, center_window};
pub use batch::{View, batch_ranges, epoch_order, fill_batch};
pub use class_weights::class_weights_balanced;
pub use dataset::{
    Dataset, EvaluationData, EvaluationOrigin, ModelInput, PartOrigin, load_folder, load_for_model,
};
pub use error::{BadFile, DataError};
pub use image_set::{ImageSet, ImageView};
pub use normalize::Normalization;
pub use options::{Channels, LoadOptions, SizeLimits};
pub use phantom::{PhantomOptions, phantom_dataset, write_phantom};
pub use progress::{Progress, Stage, silent};
