//! CIFAR-10 as its author gives it (Krizhevsky 2009): the folder of the binary version (`data_batch_1.bin` and on,
//! `test_batch.bin`) or of the Python version (`data_batch_1` and on, `test_batch`, pickled).

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rows::{self, Row};
use super::{Content, Listing, Packed, Source, Usage};
use crate::{DataError, SizeLimits, Subset};

mod pickle;

const SIDE: usize = 32;
/// Values of a picture: all reds, all greens, all blues.
const VALUES: usize = 3 * SIDE * SIDE;
/// Files of the training part.
const TRAIN_BATCHES: usize = 5;
/// The classes by number, as in `batches.meta`.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// See the module.
pub(super) struct Cifar10;

impl Source for Cifar10 {
    fn description(&self) -> &'static str {
        "the folder of CIFAR-10, binary or python version"
    }

    fn recognises(&self, path: &Path) -> bool {
        !batches(path).is_empty()
    }

    fn list(&self, path: &Path, usage: Usage<'_>, limits: &SizeLimits) -> Result<Listing, DataError> {
        let mut listed = Vec::new();
        let batches = batches(path);
        for (subset, file) in &batches {
            let batch = Batch::read(file, limits)
                .map_err(|reason| DataError::Unusable { path: file.clone(), reason })?;
            let Batch { labels, pixels } = batch;
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listed.extend(labels.iter().enumerate().map(|(index, &label)| Row {
                subset: Some(*subset),
                class: usize::from(label),
                name: format!("{name}[{index:05}]"),
                patient: None,
                content: Content::Packed { file: path.into(), pixels: Arc::clone(&pixels), index },
            }));
        }
        let mut listing = rows::listing(path, CLASSES.map(str::to_owned).to_vec(), listed, usage)?;
        let n_train = batches.iter().filter(|(subset, _)| *subset == Subset::Train).count();
        if n_train < TRAIN_BATCHES && !matches!(usage, Usage::Evaluate(_)) {
            listing.notes.push(format!(
                "{n_train} of the {TRAIN_BATCHES} training files data_batch_1 to {TRAIN_BATCHES} are there; fetch \
                 CIFAR-10 again for all"
            ));
        }
        Ok(listing)
    }
}

/// The batch files of a folder, with their parts; or of the folder in it that the archive unpacks to.
fn batches(path: &Path) -> Vec<(Subset, PathBuf)> {
    let of_version = |folder: &str, extension: &str| {
        let file =
            |name: String| Some(path.join(folder).join(name + extension)).filter(|file| file.is_file());
        let number = |number| Some((Subset::Train, file(format!("data_batch_{number}"))?));
        let train = (1..=TRAIN_BATCHES).filter_map(number);
        let test = file("test_batch".to_owned()).map(|file| (Subset::Test, file));
        train.chain(test).collect::<Vec<_>>()
    };
    let versions = [("", ".bin"), ("", ""), ("cifar-10-batches-bin", ".bin"), ("cifar-10-batches-py", "")];
    let batches = versions.into_iter().map(|(folder, extension)| of_version(folder, extension));
    batches.into_iter().find(|batches| !batches.is_empty()).unwrap_or_default()
}

/// One file.
struct Batch {
    labels: Vec<u8>,
    pixels: Arc<Packed>,
}

impl Batch {
    fn read(path: &Path, limits: &SizeLimits) -> Result<Self, String> {
        let most = limits.file_bytes;
        let size = fs::metadata(path).map_err(|error| format!("it cannot be read ({error})"))?.len();
        if size > most {
            return Err(format!("it is larger than the {} MiB that are read", most >> 20));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| format!("it cannot be read ({error})"))?;
        let (labels, values) =
            if path.extension().is_some() { from_binary(&bytes)? } else { pickle::batch(&bytes)? };
        if labels.is_empty() {
            return Err("it has no picture".to_owned());
        }
        if let Some((index, label)) =
            labels.iter().enumerate().find(|&(_, &label)| usize::from(label) >= CLASSES.len())
        {
            return Err(format!(
                "picture {index} has the label {label}, expected 0 to 9; fetch the file again"
            ));
        }
        let bytes = values.chunks_exact(VALUES).flat_map(interleaved).collect();
        Ok(Self { labels, pixels: Arc::new(Packed { width: SIDE, height: SIDE, channels: 3, bytes }) })
    }
}

/// Labels and values of records of a label and a picture each.
fn from_binary(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    const RECORD: usize = 1 + VALUES;
    if !bytes.len().is_multiple_of(RECORD) {
        return Err(format!(
            "it has {} bytes, no multiple of the {RECORD} of a label and a picture; fetch it again",
            bytes.len()
        ));
    }
    let records = bytes.chunks_exact(RECORD);
    let values = records.clone().flat_map(|record| record[1..].iter().copied()).collect();
    Ok((records.map(|record| record[0]).collect(), values))
}

/// From all reds, all greens, all blues to the three of each pixel together.
fn interleaved(planes: &[u8]) -> impl Iterator<Item = u8> {
    (0..VALUES).map(move |at| planes[at % 3 * SIDE * SIDE + at / 3])
}
