//! The phantom set: artificial chest films from a small physical model, so that a fresh clone has data to train on.
//!
//! A film is a Beer-Lambert projection of a random patient ([`chest`], [`anatomy`], [`vessels`]) with or without a
//! [`disease`], exposed and developed ([`film`], [`marks`]). Each film has its own random numbers, keyed by seed, set, class
//! and number: films are generated in parallel, no two sets share a film, and generating more films of a set leaves the
//! earlier ones unchanged.

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{DynamicImage, GrayImage};
use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::dataset::{Dataset, Findings, SubsetOrigin};
use crate::decode::Decoded;
use crate::disk::{self, TemporaryFolder};
use crate::error::DataError;
use crate::file_facts::FileFacts;
use crate::image_set::{Entry, ImageSet};
use crate::options::{Channels, LoadOptions, default_val_fraction, out_of_range};
use crate::progress::{Progress, Stage};
use crate::subset::Subset;

mod anatomy;
mod chest;
mod disease;
mod film;
mod marks;
mod texture;
mod vessels;

pub use disease::Diagnosis;

/// Which films to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhantomOptions {
    /// Determines every film.
    pub seed: u64,
    /// Number of training films, divided evenly among the three classes.
    pub train: usize,
    /// Number of validation films.
    pub val: usize,
    /// Number of test films.
    pub test: usize,
    /// Side of a film, in pixels: 32 to 1024.
    pub size: usize,
}

impl Default for PhantomOptions {
    fn default() -> Self {
        Self { seed: 0, train: 2400, val: 300, test: 600, size: 96 }
    }
}

/// One film to generate.
#[derive(Clone, Copy, Debug)]
struct FilmSpec {
    subset: Subset,
    diagnosis: Diagnosis,
    number: usize,
}

impl FilmSpec {
    /// The path of the film in a data folder, such as `train/covid/00012.png`.
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

    /// The film as a set stores it.
    fn entry(self, options: &PhantomOptions, load: &LoadOptions) -> Entry {
        let film = DynamicImage::ImageLuma8(self.draw(options));
        let side = options.size as u32;
        let facts =
            FileFacts { width: side, height: side, bit_depth: 8, channels: 1, ..FileFacts::default() };
        let decoded = Decoded::new(&film, facts, load);
        let (name, facts, digest) = (self.name().into(), Some(decoded.facts), decoded.digest());
        let (file, label, patient, group) = (None, self.diagnosis as u32, None, None);
        Entry { image: decoded.image, name, file, label, patient, group, facts, digest }
    }
}

impl PhantomOptions {
    /// The films of a set, sorted by class and number.
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
            ("number of validation films", self.val),
            ("number of test films", self.test),
        ] {
            if count > 100_000 {
                return Err(out_of_range(name, count, "at most 100000"));
            }
        }
        Ok(())
    }
}

/// Generates the phantom set in memory: the same images and labels as with [`write_phantom`] and
/// [`load_dataset`](crate::load_dataset). [`Dataset::fingerprint`] and [`Dataset::pattern`] differ, and duplicates are not
/// searched for.
///
/// # Errors
/// [`DataError::OutOfRange`] or [`DataError::ResizeBelowCrop`] for numbers outside their range.
pub fn phantom_dataset(
    options: &PhantomOptions,
    load: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    load.validate()?;
    let total = options.train + options.val + options.test;
    let n_done = AtomicUsize::new(0);
    let channels = if load.channels == Channels::Rgb { 3 } else { 1 };
    let draw = |spec: FilmSpec| {
        let entry = spec.entry(options, load);
        progress.report(Stage::Drawing, n_done.fetch_add(1, Ordering::Relaxed) + 1, total);
        entry
    };
    let draw_set = |subset: Subset| {
        let entries: Vec<Entry> = options.film_specs(subset).into_par_iter().map(draw).collect();
        ImageSet::pack(channels, entries)
    };
    Ok(Dataset {
        sample_bits: None,
        pattern: None,
        class_names: Diagnosis::ALL.map(|diagnosis| diagnosis.name().to_owned()).to_vec(),
        channels,
        train: draw_set(Subset::Train),
        val: draw_set(Subset::Val),
        test: draw_set(Subset::Test),
        val_origin: SubsetOrigin::Given,
        test_origin: SubsetOrigin::Given,
        // Not used here: the validation set is given. It is what other data would get with the same options.
        val_fraction: default_val_fraction(options.train),
        fingerprint: format!("{FINGERPRINT}{}", options.seed),
        findings: Findings {
            is_leaked_val: vec![false; options.val],
            is_leaked_test: vec![false; options.test],
            ..Findings::default()
        },
        pseudonyms: Vec::new(),
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
/// The files are written to a temporary folder beside `dir`, which is then renamed: `dir` is complete or absent, unless the
/// power fails soon afterwards.
///
/// # Errors
/// [`DataError::OutputNotEmpty`] if `dir` exists and is not an empty folder,
/// [`DataError::OutOfRange`], and [`DataError::Write`].
pub fn write_phantom(dir: &Path, options: &PhantomOptions, progress: &dyn Progress) -> Result<(), DataError> {
    options.validate()?;
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Write { path, source }
    };
    if dir.symlink_metadata().is_ok() && !disk::list(dir).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(DataError::OutputNotEmpty { path: dir.into() });
    }
    let parent = disk::folder_of(dir);
    let staged = TemporaryFolder::new(parent).map_err(write_error(parent))?;
    let film_specs: Vec<FilmSpec> =
        Subset::ALL.into_iter().flat_map(|subset| options.film_specs(subset)).collect();
    for name in film_specs.iter().map(|spec| spec.name()) {
        let folder = disk::folder_of(Path::new(&name));
        staged.create_folders(folder).map_err(write_error(&dir.join(folder)))?;
    }
    let done = AtomicUsize::new(0);
    film_specs.par_iter().try_for_each(|spec| {
        let (name, mut png) = (spec.name(), Cursor::new(Vec::new()));
        spec.draw(options).write_to(&mut png, image::ImageFormat::Png).expect("a film fits into memory");
        let written = staged.write(Path::new(&name), png.get_ref());
        written.map_err(write_error(&dir.join(&name)))?;
        progress.report(Stage::Writing, done.fetch_add(1, Ordering::Relaxed) + 1, film_specs.len());
        Ok(())
    })?;
    staged.rename(dir).map_err(write_error(dir))
}
