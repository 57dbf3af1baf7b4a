//! The phantom set: chest films drawn from a small physical model, so that a fresh clone has data to train on.
//!
//! A film is a Beer-Lambert projection of a random patient ([`build`], [`anatomy`], [`vessels`]) with or without
//! [`disease`], exposed and developed ([`film`], [`marks`]). Each film has its own random numbers, keyed by
//! seed, part, class and number: films are drawn in parallel, parts share nothing, and more films of a part
//! leave the earlier ones as they are.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{DynamicImage, GrayImage};
use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::decode::Decoded;
use crate::image_set::Entry;
use crate::options::{default_val_fraction, out_of_range};
use crate::{
    DataError, Dataset, FileFacts, Findings, ImageSet, LoadOptions, Progress, Stage, Subset, SubsetOrigin,
};

mod anatomy;
mod build;
mod disease;
mod film;
mod marks;
mod texture;
mod vessels;

pub use disease::Diagnosis;

/// Which films to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhantomOptions {
    /// Decides every film.
    pub seed: u64,
    /// Films to train on, in three classes as equal as can be.
    pub train: usize,
    /// Films to validate on.
    pub val: usize,
    /// Films to test on.
    pub test: usize,
    /// Side of a film, in pixels: 32 to 1024.
    pub size: usize,
}

impl Default for PhantomOptions {
    fn default() -> Self {
        Self { seed: 0, train: 2400, val: 300, test: 600, size: 96 }
    }
}

/// One film to draw.
#[derive(Clone, Copy, Debug)]
struct FilmSpec {
    subset: Subset,
    diagnosis: Diagnosis,
    number: usize,
}

impl FilmSpec {
    /// The path that the film gets in a folder: `train/covid/00012.png`.
    fn name(self) -> String {
        format!("{}/{}/{:05}.png", self.subset, self.diagnosis.name(), self.number)
    }

    fn draw(self, options: &PhantomOptions) -> GrayImage {
        let stream = self.subset as u64 * Diagnosis::ALL.len() as u64 + self.diagnosis as u64;
        let mut rng = CounterRng::new(options.seed, Purpose::Phantom, stream, self.number as u64);
        let side = options.size as u32;
        GrayImage::from_raw(side, side, film::draw(self.diagnosis, options.size, &mut rng))
            .expect("a film has size x size pixels")
    }
}

impl PhantomOptions {
    /// The films of a part, sorted by class and number.
    fn film_specs(&self, subset: Subset) -> Vec<FilmSpec> {
        let total = match subset {
            Subset::Train => self.train,
            Subset::Val => self.val,
            Subset::Test => self.test,
        };
        let classes = Diagnosis::ALL.len();
        let of_class = |(label, &diagnosis): (usize, &Diagnosis)| {
            let count = total / classes + usize::from(label < total % classes);
            (0..count).map(move |number| FilmSpec { subset, diagnosis, number })
        };
        Diagnosis::ALL.iter().enumerate().flat_map(of_class).collect()
    }

    fn validate(&self) -> Result<(), DataError> {
        if !(32..=1024).contains(&self.size) {
            return Err(out_of_range("film size", self.size, "32 to 1024 pixels"));
        }
        if self.train < Diagnosis::ALL.len() {
            return Err(out_of_range("number of training films", self.train, "at least 3"));
        }
        for (name, count) in [
            ("number of training films", self.train),
            ("of validation films", self.val),
            ("of test films", self.test),
        ] {
            if count > 100_000 {
                return Err(out_of_range(name, count, "at most 100000"));
            }
        }
        Ok(())
    }
}

/// Draws the phantom set into memory; the same data set as [`write_phantom`] and [`crate::load_dataset`] give.
///
/// # Errors
/// [`DataError::OutOfRange`] or [`DataError::ResizeBelowCrop`] for numbers out of their range.
pub fn phantom_dataset(
    options: &PhantomOptions,
    load: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    load.validate()?;
    let total = options.train + options.val + options.test;
    let done = AtomicUsize::new(0);
    let channels = if load.channels == crate::Channels::Rgb { 3 } else { 1 };
    let draw_set = |subset: Subset| {
        let draw = |spec: &FilmSpec| {
            let film = DynamicImage::ImageLuma8(spec.draw(options));
            let side = options.size as u32;
            let facts =
                FileFacts { width: side, height: side, bit_depth: 8, channels: 1, ..FileFacts::default() };
            let decoded = Decoded::new(&film, facts, load);
            let (facts, digest) = (Some(decoded.facts), Some(decoded.digest()));
            progress.report(Stage::Drawing, done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Entry { facts, digest, ..(decoded.picture, spec.name(), spec.diagnosis as u32).into() }
        };
        ImageSet::pack(channels, options.film_specs(subset).par_iter().map(draw).collect::<Vec<Entry>>())
    };
    Ok(Dataset {
        class_names: Diagnosis::ALL.map(|diagnosis| diagnosis.name().to_owned()).to_vec(),
        channels,
        train: draw_set(Subset::Train),
        val: draw_set(Subset::Val),
        test: draw_set(Subset::Test),
        val_origin: SubsetOrigin::Given,
        test_origin: SubsetOrigin::Given,
        // Drawn as a part here; what other data would be asked for with the same settings.
        val_fraction: default_val_fraction(options.train),
        fingerprint: format!("{FINGERPRINT}{}", options.seed),
        findings: Findings {
            leak_free_val: vec![true; options.val],
            leak_free_test: vec![true; options.test],
            ..Findings::default()
        },
    })
}

/// How the fingerprint of a phantom set begins; the digests of other data are hexadecimal.
const FINGERPRINT: &str = "phantom-";

impl Dataset {
    /// Whether this is the set of [`phantom_dataset`].
    #[must_use]
    pub fn is_phantom(&self) -> bool {
        self.fingerprint.starts_with(FINGERPRINT)
    }
}

/// Writes the phantom set as png files under `dir/{train,val,test}/<class>/`.
///
/// The files are drawn into a folder beside `dir`, which then takes its name: `dir` is there whole or not at all.
///
/// # Errors
/// [`DataError::OutputNotEmpty`] if `dir` is anything but an empty folder or nothing,
/// [`DataError::OutOfRange`], and [`DataError::Write`].
pub fn write_phantom(dir: &Path, options: &PhantomOptions, progress: &dyn Progress) -> Result<(), DataError> {
    options.validate()?;
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Write { path, source }
    };
    if dir.symlink_metadata().is_ok() && !fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
    {
        return Err(DataError::OutputNotEmpty { path: dir.into() });
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    let staging =
        tempfile::Builder::new().prefix(".phantom-").tempdir_in(parent).map_err(write_error(parent))?;

    let film_specs: Vec<FilmSpec> =
        Subset::ALL.into_iter().flat_map(|subset| options.film_specs(subset)).collect();
    for spec in &film_specs {
        let path = staging.path().join(spec.name());
        let folder = path.parent().expect("a film's name has folders");
        fs::create_dir_all(folder).map_err(write_error(folder))?;
    }
    let done = AtomicUsize::new(0);
    film_specs.par_iter().try_for_each(|spec| {
        let path = staging.path().join(spec.name());
        let saved = spec.draw(options).save_with_format(&path, image::ImageFormat::Png);
        saved.map_err(|error| write_error(&dir.join(spec.name()))(std::io::Error::other(error)))?;
        progress.report(Stage::Writing, done.fetch_add(1, Ordering::Relaxed) + 1, film_specs.len());
        Ok(())
    })?;
    let staged = staging.keep();
    fs::rename(&staged, dir).map_err(|source| {
        // Nothing half done stays behind; what cannot be removed here is in a hidden folder.
        let _ = fs::remove_dir_all(&staged);
        DataError::Write { path: dir.into(), source }
    })
}
