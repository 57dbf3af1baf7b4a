//! Every reader of untrusted files as a function of the bytes of a file: for the targets in `fuzz/`, and for the test that
//! feeds mutated files to all of them. A reader may return an error or a value; it must not panic, hang or take memory
//! without bound.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use roentgen_data::{ImageSource, LoadOptions, load_dataset, load_files, silent};
use roentgen_layers::ResNet9Config;

use crate::config::file::ConfigFile;
use crate::model::model_file;
use crate::run_dir::predictions_file;
use crate::training::checkpoint;

#[cfg(all(test, feature = "dicom"))]
mod dicom_seeds;
#[cfg(test)]
mod tests;

/// A reader by its name, which is that of its fuzzing target.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The kind of file.
    pub name: &'static str,
    /// Writes the bytes to a file in the folder, and returns whether it can be read.
    pub read: fn(folder: &Path, bytes: &[u8]) -> bool,
}

/// All readers.
pub const READERS: [Reader; 9] = [
    Reader { name: "image", read: image },
    Reader { name: "npz", read: npz },
    Reader { name: "cifar10", read: cifar10 },
    Reader { name: "manifest", read: manifest },
    Reader { name: "model", read: model },
    Reader { name: "initial_weights", read: initial_weights },
    Reader { name: "checkpoint", read: checkpoint },
    Reader { name: "config", read: config },
    Reader { name: "predictions", read: predictions },
];

/// Whether the reader of this name can read `bytes`; in a temporary folder that is kept for the next call of the thread.
///
/// # Panics
/// If there is no such reader, or if the reader has the fault that is looked for.
pub fn read(name: &str, bytes: &[u8]) -> bool {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
    }
    let reader = READERS.iter().find(|reader| reader.name == name).expect("the name of a reader");
    FOLDER.with(|folder| (reader.read)(folder.path(), bytes))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a file in a temporary folder");
}

fn image(folder: &Path, bytes: &[u8]) -> bool {
    // The ending has to fit the content, so that it is decoded.
    let name = if bytes.starts_with(&[0xFF, 0xD8]) { "image.jpg" } else { "image.png" };
    write(folder, name, bytes);
    let (source, options) = (ImageSource::File(folder.join(name)), LoadOptions::default());
    // At its own size, then reduced to what a model sees.
    source.open(&options).is_ok() && load_files(&[source], 1, &options, &silent).by_source[0].is_ok()
}

fn npz(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "set.npz", bytes);
    load_dataset(&folder.join("set.npz"), &LoadOptions::default(), &silent).is_ok()
}

fn cifar10(folder: &Path, bytes: &[u8]) -> bool {
    let batches = folder.join("cifar-10-batches-bin");
    fs::create_dir_all(&batches).expect("a folder in a temporary folder");
    write(&batches, "data_batch_1.bin", bytes);
    load_dataset(&batches, &LoadOptions::default(), &silent).is_ok()
}

fn manifest(folder: &Path, bytes: &[u8]) -> bool {
    for (name, grey) in [("a.png", 50), ("b.png", 200), ("c.png", 120)] {
        let path = folder.join(name);
        if !path.exists() {
            let image = GrayImage::from_fn(32, 30, |x, y| Luma([(x * x * grey + y * 7) as u8]));
            image.save(path).expect("an image in a temporary folder");
        }
    }
    write(folder, "list.csv", bytes);
    load_dataset(&folder.join("list.csv"), &LoadOptions::default(), &silent).is_ok()
}

fn model(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "model.safetensors", bytes);
    model_file::read(&folder.join("model.safetensors")).is_ok()
}

fn initial_weights(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "weights.safetensors", bytes);
    let config = ResNet9Config { width: 8, ..ResNet9Config::new(1, 3) };
    model_file::initialise(&mut config.build(0), &folder.join("weights.safetensors")).is_ok()
}

/// Of a checkpoint, the bytes after its digest: another digest would be all that is found.
fn checkpoint(_: &Path, bytes: &[u8]) -> bool {
    checkpoint::from_bytes(&checkpoint::sealed(bytes)).is_ok()
}

fn config(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "config.toml", bytes);
    ConfigFile::read(folder).is_ok_and(|file| file.complete.validate().is_ok())
}

fn predictions(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, predictions_file::FILE, bytes);
    predictions_file::read(folder).is_ok()
}
