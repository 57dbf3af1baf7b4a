//! CIFAR-10 as its author publishes it (Krizhevsky 2009): the folder of the binary version, with the files
//! `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::listed_image::{self, ListedImage};
use super::packed::{Packed, Size};
use super::{Content, Listing, Source, Usage};
use crate::error::DataError;
use crate::options::{LoadOptions, SizeLimits};
use crate::read_file::{ReadFileError, read_file};
use crate::subset::Subset;

const SIDE: usize = 32;
/// Values of an image: all reds, all greens, all blues.
const VALUES: usize = 3 * SIDE * SIDE;
/// Files of the training set.
const TRAIN_BATCHES: usize = 5;
/// The classes by number, as in `batches.meta`.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// The folders in which the batches may be: the path itself, or the folder that the archive unpacks to.
const BINARY_FOLDERS: [&str; 2] = ["", "cifar-10-batches-bin"];
const PYTHON_FOLDERS: [&str; 2] = ["", "cifar-10-batches-py"];
/// To unpickle a file is to run the program in it.
const PYTHON_VERSION: &str = "it holds the Python version of CIFAR-10, whose files are pickled and are not read; download \
                              the binary version, cifar-10-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html";

/// See the module.
pub(super) struct Cifar10;

impl Source for Cifar10 {
    fn description(&self) -> &'static str {
        "the folder of CIFAR-10, binary version"
    }

    fn recognises(&self, path: &Path) -> bool {
        !binary_batches(path).is_empty() || python_batch(path).is_some()
    }

    fn list(&self, path: &Path, usage: Usage<'_>, options: &LoadOptions) -> Result<Listing, DataError> {
        let batches = binary_batches(path);
        if let (true, Some(file)) = (batches.is_empty(), python_batch(path)) {
            return Err(DataError::Unusable {
                path: file.parent().unwrap_or(path).into(),
                reason: PYTHON_VERSION.to_owned(),
            });
        }
        let mut listed = Vec::new();
        for (subset, file) in &batches {
            let batch = Batch::read(file, path, &options.limits)
                .map_err(|reason| DataError::Unusable { path: file.clone(), reason })?;
            let Batch { labels, pixels } = batch;
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listed.extend(labels.iter().enumerate().map(|(index, &label)| ListedImage {
                subset: Some(*subset),
                class: usize::from(label),
                name: format!("{name}[{index:05}]"),
                patient: None,
                content: Content::Packed { pixels: Arc::clone(&pixels), index },
            }));
        }
        let mut listing = listed_image::to_listing(
            path,
            CLASSES.map(str::to_owned).to_vec(),
            listed,
            usage,
            &options.classes,
        )?;
        let n_train = batches.iter().filter(|(subset, _)| *subset == Subset::Train).count();
        if n_train < TRAIN_BATCHES && !matches!(usage, Usage::Evaluate(_)) {
            listing.notes.push(format!(
                "only {n_train} of the {TRAIN_BATCHES} training files data_batch_1 to {TRAIN_BATCHES} were found; \
                 download CIFAR-10 again to get all"
            ));
        }
        Ok(listing)
    }
}

/// The batch files of the binary version at `path`, with their sets.
fn binary_batches(path: &Path) -> Vec<(Subset, PathBuf)> {
    let in_folder = |folder: &str| {
        let batch = |name: String| Some(path.join(folder).join(name + ".bin")).filter(|file| file.is_file());
        let numbered = |number| Some((Subset::Train, batch(format!("data_batch_{number}"))?));
        let test = batch("test_batch".to_owned()).map(|file| (Subset::Test, file));
        (1..=TRAIN_BATCHES).filter_map(numbered).chain(test).collect::<Vec<_>>()
    };
    BINARY_FOLDERS.map(in_folder).into_iter().find(|batches| !batches.is_empty()).unwrap_or_default()
}

/// A batch file of the Python version at `path`.
fn python_batch(path: &Path) -> Option<PathBuf> {
    let train = (1..=TRAIN_BATCHES).map(|number| format!("data_batch_{number}"));
    let names: Vec<String> = train.chain(["test_batch".to_owned()]).collect();
    let in_folder =
        |folder: &str| names.iter().map(|name| path.join(folder).join(name)).find(|file| file.is_file());
    PYTHON_FOLDERS.into_iter().find_map(in_folder)
}

/// One file.
struct Batch {
    labels: Vec<u8>,
    pixels: Arc<Packed>,
}

impl Batch {
    /// Reads the file `path` of the data at `data`.
    fn read(path: &Path, data: &Path, limits: &SizeLimits) -> Result<Self, String> {
        let bytes = read_file(path, limits.file_bytes).map_err(|error| match error {
            ReadFileError::TooLarge { limit, .. } => {
                format!("it is larger than the limit of {} MiB", limit >> 20)
            }
            other => format!("it cannot be read ({other})"),
        })?;
        let (labels, values) = labels_and_values(&bytes)?;
        if labels.is_empty() {
            return Err("it has no image; download it again".to_owned());
        }
        if let Some((index, label)) =
            labels.iter().enumerate().find(|&(_, &label)| usize::from(label) >= CLASSES.len())
        {
            return Err(format!(
                "image {index} has the label {label}, expected 0 to 9; download the file again"
            ));
        }
        let bytes = values.chunks_exact(VALUES).flat_map(interleaved).collect();
        let size = Size { width: SIDE, height: SIDE, channels: 3 };
        Ok(Self { labels, pixels: Arc::new(Packed::in_memory(data, size, bytes)) })
    }
}

/// Labels and values of records of one label and one image.
fn labels_and_values(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    const RECORD: usize = 1 + VALUES;
    if !bytes.len().is_multiple_of(RECORD) {
        return Err(format!(
            "its {} bytes are not a multiple of {RECORD}, the size of a label and an image; download it again",
            bytes.len()
        ));
    }
    let records = bytes.chunks_exact(RECORD);
    let values = records.clone().flat_map(|record| record[1..].iter().copied()).collect();
    Ok((records.map(|record| record[0]).collect(), values))
}

/// From all reds, all greens, all blues to the three values of each pixel side by side.
fn interleaved(planes: &[u8]) -> impl Iterator<Item = u8> {
    (0..VALUES).map(move |at| planes[at % 3 * SIDE * SIDE + at / 3])
}
