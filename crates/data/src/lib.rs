//! From a folder of pictures to batches.
//!
//! 1. **List** ([`load_dataset`]): a folder of class folders, or `train/`, `val/`, `test/` over them. Missing parts
//!    are split off, stratified and by seed.
//! 2. **Decode** once, in parallel: every picture becomes a small 8-bit one whose short side is
//!    [`LoadOptions::resize`]. Grey sets get one channel, colour sets three ([`colour`]). Files that hold no
//!    usable picture are listed, all of them, with the reason of each.
//! 3. **Normalise** ([`Normalization`]): mean and standard deviation of the training pictures.
//! 4. **Augment** ([`Augment`]): random crops, flips and more, decided by seed, epoch and image.
//! 5. **Batch** ([`Sampler`], [`batch_ranges`], [`fill_batch`]): floats, NHWC, into memory that is reused. Tests look at
//!    the centre, once or in several ways ([`TtaConfig`]).
//!
//! [`phantom`] draws chest films from a small physical model: data to start with, on every machine the same.
//! [`load_for_model`] reads pictures as a stored model needs them.
//!
//! Nothing here prints; progress goes to a [`Progress`]. Errors are [`DataError`], whose texts are for the user.
//!
//! ```
//! use roentgen_data::*;
//!
//! let films = PhantomOptions { train: 30, val: 6, test: 6, ..PhantomOptions::default() };
//! let data = phantom_dataset(&films, &LoadOptions::default(), &silent)?;
//! let norm = Normalization::of(&data.train);
//! let augment = Augment::crop_and_flip(24, 28, true);
//!
//! let (mut x, mut labels, mut order) = (ndarray::Array4::default((0, 0, 0, 0)), Vec::new(), Vec::new());
//! for epoch in 0..2 {
//!     Sampler::Shuffled.epoch_order(data.train.labels(), 7, epoch, &mut order);
//!     for batch in batch_ranges(order.len(), 16) {
//!         let view = Transform::Augment { seed: 7, epoch, augment: &augment };
//!         fill_batch(&data.train, &order[batch], view, &norm, &mut x, &mut labels);
//!         assert_eq!(x.dim(), (15, 24, 24, 1)); // two batches of 15, not one of 16 and one of 14
//!     }
//! }
//! # Ok::<(), DataError>(())
//! ```
#![forbid(unsafe_code)]

mod augment;
mod batch;
mod class_weights;
pub mod colour;
mod dataset;
mod decode;
mod duplicates;
mod error;
mod file_facts;
mod files;
mod groups;
mod image_set;
mod leakage;
mod normalize;
mod options;
mod patients;
pub mod phantom;
mod progress;
mod sampler;
mod small_image;
mod source;
mod split;
mod subset;
mod tta;

pub use augment::{AffineTransform, Augment, AugmentParams, Rectangle, Tone, Window, center_window};
pub use batch::{Transform, batch_ranges, fill_batch};
pub use class_weights::{class_weights_balanced, class_weights_sqrt};
pub use dataset::{
    Dataset, EvaluationData, EvaluationOrigin, Findings, ModelInput, SubsetOrigin, load_arrays, load_dataset,
    load_for_model,
};
pub use error::{BadFile, DataError};
pub use file_facts::FileFacts;
pub use files::{LoadedFiles, find_files, load_files, open_image};
pub use groups::group_ids;
pub use image_set::{ImageSet, ImageView, Mask};
pub use leakage::{ImageLocation, LeakedImage};
pub use normalize::Normalization;
pub use options::{Channels, Fold, LoadOptions, SizeLimits, default_val_fraction};
pub use patients::{PatientPattern, PatientSource, Patients};
pub use phantom::{PhantomOptions, phantom_dataset, write_phantom};
pub use progress::{Progress, Stage, silent};
pub use sampler::{Sample, Sampler};
pub use small_image::visible_region;
pub use source::arrays::ArrayImages;
pub use subset::Subset;
pub use tta::{TtaConfig, TtaView};
