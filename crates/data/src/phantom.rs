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
use crate::{DataError, Dataset, FileFacts, Findings, ImageSet, LoadOptions, PartOrigin, Progress, Stage};

mod anatomy;
mod build;
mod disease;
mod film;
mod marks;
mod texture;
mod vessels;

pub use disease::Finding;

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

/// Part of the key of a film's random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train = 0,
    Val = 1,
    Test = 2,
}

/// One film to draw.
#[derive(Clone, Copy, Debug)]
struct Order {
    part: Part,
    finding: Finding,
    number: usize,
}

impl Order {
    /// The path that the film gets in a folder: `train/covid/00012.png`.
    fn name(self) -> String {
        let part = match self.part {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
        };
        format!("{part}/{}/{:05}.png", self.finding.name(), self.number)
    }

    fn draw(self, options: &PhantomOptions) -> GrayImage {
        let stream = self.part as u64 * Finding::ALL.len() as u64 + self.finding as u64;
        let mut rng = CounterRng::new(options.seed, Purpose::Phantom, stream, self.number as u64);
        let side = options.size as u32;
        GrayImage::from_raw(side, side, film::draw(self.finding, options.size, &mut rng))
            .expect("a film has size x size pixels")
    }
}

impl PhantomOptions {
    /// The films of a part, sorted by class and number.
    fn orders(&self, part: Part) -> Vec<Order> {
        let total = match part {
            Part::Train => self.train,
            Part::Val => self.val,
            Part::Test => self.test,
        };
        let classes = Finding::ALL.len();
        let of_class = |(label, &finding): (usize, &Finding)| {
            let count = total / classes + usize::from(label < total % classes);
            (0..count).map(move |number| Order { part, finding, number })
        };
        Finding::ALL.iter().enumerate().flat_map(of_class).collect()
    }

    fn validate(&self) -> Result<(), DataError> {
        if !(32..=1024).contains(&self.size) {
            return Err(out_of_range("film size", self.size, "32 to 1024 pixels"));
        }
        if self.train < Finding::ALL.len() {
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
    let part = |part: Part| {
        let draw = |order: &Order| {
            let film = DynamicImage::ImageLuma8(order.draw(options));
            let side = options.size as u32;
            let facts =
                FileFacts { width: side, height: side, bit_depth: 8, channels: 1, ..FileFacts::default() };
            let decoded = Decoded::new(&film, facts, load);
            let (facts, digest) = (Some(decoded.facts), Some(decoded.digest()));
            progress.report(Stage::Drawing, done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Entry { facts, digest, ..(decoded.picture, order.name(), order.finding as u32).into() }
        };
        ImageSet::pack(channels, options.orders(part).par_iter().map(draw).collect::<Vec<Entry>>())
    };
    Ok(Dataset {
        class_names: Finding::ALL.map(|finding| finding.name().to_owned()).to_vec(),
        channels,
        train: part(Part::Train),
        val: part(Part::Val),
        test: part(Part::Test),
        val_origin: PartOrigin::Given,
        test_origin: PartOrigin::Given,
        // Drawn as a part here; what other data would be asked for with the same settings.
        val_fraction: default_val_fraction(options.train),
        fingerprint: format!("phantom-{}", options.seed),
        findings: Findings {
            clean_val: vec![true; options.val],
            clean_test: vec![true; options.test],
            ..Findings::default()
        },
    })
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

    let orders: Vec<Order> =
        [Part::Train, Part::Val, Part::Test].into_iter().flat_map(|part| options.orders(part)).collect();
    for order in &orders {
        let path = staging.path().join(order.name());
        let folder = path.parent().expect("a film's name has folders");
        fs::create_dir_all(folder).map_err(write_error(folder))?;
    }
    let done = AtomicUsize::new(0);
    orders.par_iter().try_for_each(|order| {
        let path = staging.path().join(order.name());
        let saved = order.draw(options).save_with_format(&path, image::ImageFormat::Png);
        saved.map_err(|error| write_error(&dir.join(order.name()))(std::io::Error::other(error)))?;
        progress.report(Stage::Writing, done.fetch_add(1, Ordering::Relaxed) + 1, orders.len());
        Ok(())
    })?;
    let staged = staging.keep();
    fs::rename(&staged, dir).map_err(|source| {
        // Nothing half done stays behind; what cannot be removed here is in a hidden folder.
        let _ = fs::remove_dir_all(&staged);
        DataError::Write { path: dir.into(), source }
    })
}
