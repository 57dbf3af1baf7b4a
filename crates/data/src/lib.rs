//! From a folder of images to batches.
//!
//! 1. **List**: a folder of class folders, or `train/`, `val/` and `test/` with class folders in them; an `.npz` file, a CSV
//!    manifest, CIFAR-10; or an array in memory ([`ArrayImages`]).
//! 2. **Decode** once, in parallel: every image becomes a small 8-bit image with a short side of [`LoadOptions::resize`].
//!    Grey data sets get one channel, colour data sets three ([`colour`]). Bad files are listed, each with the reason.
//! 3. **Group and split**: duplicates and patients are found, and missing sets are split off the training set, stratified by
//!    class and by seed. No split separates a group. [`load_dataset`] returns the sets as a [`Dataset`]; [`DecodedImages`]
//!    are decoded once and cut into a data set for each fold of a cross-validation, or for each of several seeds.
//! 4. **Normalise** ([`Normalization`]): mean and standard deviation of the training images.
//! 5. **Augment** ([`Augment`]): random crops, flips and more, determined by seed, epoch and image.
//! 6. **Batch** ([`Sampler`], [`batch_ranges`], [`fill_batch`]): f32 values in NHWC order, in memory that is reused.
//!    Evaluation uses the centre crop, or several views of it ([`TtaConfig`]).
//!
//! [`phantom`] generates artificial chest films from a small physical model: training data that are the same on every
//! machine. [`load_for_model`] and [`load_files`] read images as a stored model needs them.
//!
//! Nothing here prints; progress is reported to a [`Progress`]. Errors are [`DataError`], whose texts are for the user.
//!
//! ```
//! use roentgen_data::*;
//!
//! let phantom = PhantomOptions { train: 30, val: 6, test: 6, ..PhantomOptions::default() };
//! let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent)?;
//! let norm = Normalization::of(&data.train);
//! let augment = Augment::crop_and_flip(24, 28, true);
//!
//! let (mut x, mut labels, mut order) = (ndarray::Array4::default((0, 0, 0, 0)), Vec::new(), Vec::new());
//! for epoch in 0..2 {
//!     Sampler::Shuffled.epoch_order(data.train.labels(), 7, epoch, &mut order);
//!     for batch in batch_ranges(order.len(), 16) {
//!         let transform = Transform::Augment { seed: 7, epoch, augment: &augment };
//!         fill_batch(&data.train, &order[batch], transform, &norm, &mut x, &mut labels);
//!         assert_eq!(x.dim(), (15, 24, 24, 1)); // two batches of 15, not one of 16 and one of 14
//!     }
//! }
//! # Ok::<(), DataError>(())
//! ```
//!
//! # Floors
//! The rows of this table are floors: a module imports from lower ones only; `cargo xtask tidy` checks it.
//!
//! | modules | task |
//! |---|---|
//! | `load`, `files`, `phantom`, `pseudonyms` | from a path, or from the generator, to images in memory; numbers in the place of names |
//! | `pool`, `batch` | decoded images before they are split; the input of the model |
//! | `cache` | a file with the decoded images of a data set |
//! | `record` | the bytes of a decoded image, between processes and in a cache |
//! | `source`, `sample_bits`, `tta` | the formats; how many bits of samples are used; the views of test-time augmentation |
//! | `file_notes` | notes on what is unusual in files |
//! | `dataset`, `decode`, `augment`, `normalize` | the loaded sets; one file to one image; changes of an image |
//! | `file_format` | which format the content of a file has |
//! | `dicom` | a DICOM file to the image that a radiologist sees |
//! | `leakage`, `image_set`, `options` | leakage between sets; the images of one set; what the caller chooses |
//! | `negatives` | images with black and white exchanged |
//! | `duplicates`, `small_image`, `file_facts`, `patients`, `split` | finding duplicates and patients; drawing splits |
//! | `thumbnail`, `groups`, `jpeg_scans`, `file_identity`, `pixel_file`, `team` | what duplicates are found by; images that belong together; whether a JPEG holds the whole image; whether a file has changed; pixels that stay in a file; processes that load together |
//! | `class_look`, `caught_panic`, `digest`, `identifier`, `image_file`, `image_region`, `jpeg_header`, `crop_window`, `colour`, `subset`, `error`, `parts`, `progress`, `read_file`, `sampler`, `system_entries`, `class_weights` | values without dependencies; whole files |
//! | `disk` | every operation on files and folders |
#![forbid(unsafe_code)]

mod augment;
mod batch;
mod cache;
mod caught_panic;
mod class_look;
mod class_weights;
pub mod colour;
mod crop_window;
mod dataset;
mod decode;
#[cfg(feature = "dicom")]
mod dicom;
mod digest;
pub mod disk;
mod duplicates;
mod error;
mod file_facts;
mod file_format;
mod file_identity;
mod file_notes;
mod files;
mod groups;
mod identifier;
mod image_file;
mod image_region;
mod image_set;
mod jpeg_header;
mod jpeg_scans;
mod leakage;
mod load;
mod negatives;
mod normalize;
mod options;
mod parts;
mod patients;
pub mod phantom;
mod pixel_file;
mod pool;
mod progress;
mod pseudonyms;
mod read_file;
mod record;
mod sample_bits;
mod sampler;
mod small_image;
mod source;
mod split;
mod subset;
mod system_entries;
mod team;
mod thumbnail;
mod tta;

pub use augment::Augment;
pub use batch::{Transform, batch_ranges, even_ranges, fill_batch};
pub use caught_panic::is_panic_caught;
pub use class_look::{is_same_class, is_same_training_class};
pub use class_weights::{class_weights_balanced, class_weights_sqrt};
pub use dataset::{Dataset, Findings, Pseudonym, SubsetOfData, SubsetOrigin};
pub use error::{BadFile, DataError, write_remedy};
pub use file_facts::{FileFacts, ViewPosition};
pub use file_notes::FileNote;
pub use files::{
    FileCounts, ImageSource, LoadedFiles, find_all_files, find_files, image_extension, is_image,
    is_image_name, is_listed_image, load_files, without_masks,
};
pub use groups::ImageGroups;
pub use image_region::ImageRegion;
pub use image_set::{ImageSet, ImageView, Mask};
pub use leakage::{ImageLocation, LeakedImage};
pub use load::{
    DecodedImages, EvaluationData, EvaluationOrigin, MAX_CLASSES, ModelInput, TrainingData, load_arrays,
    load_dataset, load_dataset_together, load_for_model, load_some,
};
pub use negatives::BrightnessPattern;
pub use normalize::Normalization;
pub use options::{Channels, ClassMapping, ColumnNames, Fold, Invert, LoadOptions, SizeLimits};
pub use patients::{PatientPattern, PatientSource, Patients};
pub use phantom::{PhantomOptions, phantom_dataset, write_phantom};
pub use pixel_file::catch_unreadable;
pub use progress::{Progress, Stage, silent};
pub use read_file::{ReadFileError, for_each_line, read_file, read_text_file};
pub use sampler::{Sample, Sampler};
pub use small_image::{Fit, visible_region};
pub use source::arrays::ArrayImages;
pub use source::{is_data_file, is_table};
pub use subset::Subset;
pub use system_entries::is_system_entry;
pub use team::{Alone, Team};
pub use tta::{TtaConfig, TtaView};
