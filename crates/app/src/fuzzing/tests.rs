//! Mutated files of every kind for every reader: the part of fuzzing that needs no special compiler.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use roentgen_data::disk::Operation;
use roentgen_data::disk::faults::{Failure, fail_each_operation, hook, show_count};
use roentgen_data::{LoadOptions, load_dataset, silent};
use roentgen_tensor::rng::{CounterRng, Purpose};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::{READERS, read};
use crate::config::TrainConfig;
use crate::data_loading::load::load;
use crate::run_dir::file_names::{CHECKPOINT, CONFIG, MODEL};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::predictions_file;
use crate::terminal::screen::Screen;
use crate::training::{checkpoint, pipeline};

/// Mutated files for each reader; a number in `ROENTGEN_TEST_MUTATIONS` replaces it.
const MUTATIONS: u64 = 150;

/// A valid file for every reader, at least.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [checkpoint, config, model, predictions] = run_files();
    let mut seeds = vec![
        ("npz", archive()),
        ("cifar10", cifar10()),
        (
            "manifest",
            b"path,label,split,patient\na.png,ill,train,p1\nb.png,\"well\",train,p2\nc.png,ill,test,\n"
                .to_vec(),
        ),
        ("manifest", b"path;label\na.png;ill\nb.png;well\n".to_vec()),
        ("initial_weights", model.clone()),
        ("model", model),
        ("checkpoint", checkpoint),
        ("config", config),
        ("predictions", predictions),
    ];
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Gif,
    ];
    seeds.extend(formats.map(|format| ("image", encoded(format))));
    #[cfg(feature = "dicom")]
    seeds.extend(
        super::dicom_seeds::films(encoded(ImageFormat::Jpeg)).into_iter().map(|film| ("image", film)),
    );
    seeds
}

/// Two records of each class: a label, then the pixels.
fn cifar10() -> Vec<u8> {
    let value = |at: u32| if at.is_multiple_of(3073) { at / 3073 % 10 } else { at * at % 251 };
    (0..20 * 3073).map(|at| value(at) as u8).collect()
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = GrayImage::from_fn(24, 24, |x, y| Luma([(x * 7 + y * y) as u8]));
    let image = match format {
        ImageFormat::WebP | ImageFormat::Gif => DynamicImage::ImageLuma8(image).to_rgb8().into(),
        _ => DynamicImage::ImageLuma8(image),
    };
    image.write_to(&mut bytes, format).expect("an image in memory");
    bytes.into_inner()
}

fn archive() -> Vec<u8> {
    let npy = |shape: &str, n: usize| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        let values: Vec<u8> = (0..n).map(|at| (at % 2) as u8).collect();
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &values].concat()
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in
        [("train_images.npy", npy("(12, 28, 28)", 12 * 28 * 28)), ("train_labels.npy", npy("(12, 1)", 12))]
    {
        zip.start_file(name, SimpleFileOptions::default()).expect("an archive in memory");
        zip.write_all(&bytes).expect("an archive in memory");
    }
    zip.finish().expect("an archive in memory").into_inner()
}

/// Of a small run: the content of a checkpoint without magic number and digest, the settings, the model, the predictions.
fn run_files() -> [Vec<u8>; 4] {
    let config = TrainConfig {
        films: 24,
        width: 8,
        size: 8,
        epochs: Some(1),
        audit: false,
        // A run of less than a second has no checkpoint otherwise.
        checkpoint_minutes: 0.0,
        ..TrainConfig::default()
    };
    let data = load(&config, &Screen::silent()).expect("phantom films");
    let parent = tempfile::tempdir().expect("a temporary folder");
    let run = parent.path().join("run");
    let (written, copy) = (run.join(CHECKPOINT), parent.path().join("checkpoint"));
    let hooked = hook(&run, {
        let copy = copy.clone();
        // A run that ends well removes its checkpoint.
        move |operation| match operation {
            Operation::Remove(path) if path == written => fs::copy(path, &copy).map(drop),
            _ => Ok(()),
        }
    });
    let folder = PlannedFolder::new(Some(&run)).expect("a free name");
    pipeline::train(&config, &data, folder, &Screen::silent()).map(drop).expect("a run");
    drop(hooked);
    let file = |path: PathBuf| fs::read(path).expect("a file of the run");
    let checkpoint = file(copy).split_off(checkpoint::MAGIC.len() + checkpoint::DIGEST);
    [checkpoint, file(run.join(CONFIG)), file(run.join(MODEL)), file(run.join(predictions_file::FILE))]
}

/// Damages a file: a flipped bit; bytes 0 or 0xFF, missing or doubled bytes; a truncated end; a digit or a bracket of JSON or
/// TOML in another place.
fn damage_bytes_or_syntax(bytes: &[u8], rng: &mut CounterRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    // Half of the damage is at the front, where sizes and headers are.
    let reach = if rng.below(2) == 0 { bytes.len().min(300) } else { bytes.len() };
    let at = rng.below(reach as u32) as usize;
    let length = (1 + rng.below(40) as usize).min(bytes.len() - at);
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at..at + length].fill(0),
        2 => bytes[at..at + length.min(8)].fill(0xFF),
        3 => drop(bytes.drain(at..at + length)),
        4 => {
            let copy = bytes[at..at + length].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => bytes.truncate(at),
        _ => {
            let character = b"0123456789-.,eE{}[]\"\n"[rng.below(21) as usize];
            bytes[at] = character;
        }
    }
    bytes
}

#[test]
fn no_reader_panics_on_mutated_files() {
    let seeds = seeds();
    let wanted = std::env::var("ROENTGEN_TEST_MUTATIONS").ok();
    let n_mutations = wanted.map_or(MUTATIONS, |number| number.parse().expect("a number"));
    for reader in READERS {
        let own: Vec<&Vec<u8>> =
            seeds.iter().filter(|(name, _)| *name == reader.name).map(|(_, bytes)| bytes).collect();
        assert!(!own.is_empty(), "no file for `{}`", reader.name);
        // The reader of images is many readers.
        let n_mutations = n_mutations.max(MUTATIONS / 4 * own.len() as u64);
        for number in 0..n_mutations {
            let mut rng = CounterRng::new(number, Purpose::Synthetic, 0, 0);
            let seed = own[number as usize % own.len()];
            read(reader.name, &damage_bytes_or_syntax(&damage_bytes_or_syntax(seed, &mut rng), &mut rng));
        }
    }
}

/// Mutations of files that no reader accepts would test little.
#[test]
fn every_seed_is_read() {
    let refused: Vec<_> =
        seeds().into_iter().filter(|(name, bytes)| !read(name, bytes)).map(|(name, _)| name).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Writes the seeds as the corpora of the fuzzing targets: `cargo test --package roentgen --lib corpus -- --ignored`.
#[test]
#[ignore = "writes fuzz/corpus, for the fuzzing targets"]
fn write_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (number, (name, bytes)) in seeds().into_iter().enumerate() {
        let folder = corpus.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("seed-{number}")), bytes).expect("a file");
    }
}

#[test]
fn any_read_of_an_archive_or_a_batch_may_fail() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let batches = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&batches).expect("a folder");
    fs::write(batches.join("data_batch_1.bin"), cifar10()).expect("a file");
    fs::write(folder.path().join("set.npz"), archive()).expect("a file");
    for path in [batches, folder.path().join("set.npz")] {
        let load = || load_dataset(&path, &LoadOptions::default(), &silent);
        let expected = load().expect("a data set").train.digest();
        let n = fail_each_operation(&path, Failure::Error, |what, fault| {
            let hooked = fault();
            let loaded = load();
            drop(hooked);
            match loaded {
                Ok(data) => assert_eq!(data.train.digest(), expected, "{what}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("cannot ") && text.len() < 300, "{what}: {text}");
                }
            }
        });
        let name = path.file_name().expect("a name").display();
        show_count(&format!("reading {name}"), n);
        assert!(n > 3, "{n}");
    }
}
