//! Data that are loaded from a cache are the same as without one, and no cache is used that was made of something else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, imageops};
use ndarray::Array4;
use tempfile::TempDir;

use super::load_dataset;
use crate::augment::Augment;
use crate::batch::{Transform, fill_batch};
use crate::dataset::Dataset;
use crate::disk::{Operation, TEMPORARY_PREFIX, faults};
use crate::error::DataError;
use crate::image_set::ImageSet;
use crate::normalize::Normalization;
use crate::options::{Channels, Invert, LoadOptions};
use crate::pixel_file::catch_unreadable;
use crate::progress::silent;
use crate::sampler::Sample;

/// Data, and a folder for caches beside them.
pub(super) struct Bench {
    dir: TempDir,
    pub(super) options: LoadOptions,
}

/// A film: a bright disc off the centre, with noise.
fn film(number: u32, side: u32) -> GrayImage {
    GrayImage::from_fn(side, side + 8, |x, y| {
        let (dx, dy) = (f64::from(x) - 20.0 - f64::from(number % 5), f64::from(y) - 26.0);
        let noise = f64::from((x * 7919 + y * 104_729 + number * 31_337).wrapping_mul(2_654_435_761) >> 26);
        Luma([(150.0 * libm::exp(-(dx * dx + dy * dy) / 250.0) + noise) as u8])
    })
}

impl Bench {
    /// Films in two classes, with all that loading remarks: duplicates, patients, negatives, samples of 16 bits, colours, and
    /// files that cannot be used.
    pub(super) fn new() -> Self {
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
            options: LoadOptions { skip_bad: true, invert: Invert::Auto, ..LoadOptions::default() },
        };
        for class in ["a", "b"] {
            fs::create_dir_all(bench.data().join(class)).unwrap();
        }
        for number in 0..24 {
            let name = format!("{}/person{}_virus_{number}.png", ["a", "b"][number % 2], number / 4);
            let mut film = DynamicImage::ImageLuma8(film(number as u32, 48));
            match number {
                3 => film.invert(),
                5 => {
                    film = DynamicImage::ImageLuma8(imageops::resize(
                        &film.to_luma8(),
                        30,
                        36,
                        imageops::FilterType::Triangle,
                    ))
                }
                7 => {
                    film = DynamicImage::ImageRgb8(RgbImage::from_fn(40, 40, |x, y| {
                        Rgb([x as u8 * 6, y as u8 * 5, 90])
                    }))
                }
                _ => {}
            }
            film.save(bench.data().join(name)).unwrap();
        }
        let wide = |factor: u16| {
            let film = film(90, 48);
            ImageBuffer::<Luma<u16>, _>::from_fn(48, 56, |x, y| {
                Luma([u16::from(film.get_pixel(x, y).0[0]) * factor])
            })
        };
        wide(16).save(bench.data().join("a/wide.png")).unwrap();
        wide(200).save(bench.data().join("b/wide.png")).unwrap();
        bench.copy("a/person1_virus_4.png", "b/copy of 4.png");
        bench.copy("a/person1_virus_6.png", "a/6.jpg");
        let whole = fs::read(bench.path("a/person0_virus_0.png")).unwrap();
        for (name, bytes) in
            [("a/cut.png", &whole[..whole.len() / 2]), ("a/empty.png", &[][..]), ("b/text.png", b"no image")]
        {
            fs::write(bench.path(name), bytes).unwrap();
        }
        // Stamps of files that changed a moment ago are not used.
        sleep(Duration::from_millis(200));
        bench
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.dir.path().join("below/cache")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// The files in the folder for caches.
    fn cache_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.cache())
            .map_or(Vec::new(), |list| list.map(|entry| entry.unwrap().path()).collect());
        files.sort();
        files
    }

    fn cache_file(&self) -> PathBuf {
        let files = self.cache_files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    pub(super) fn with_cache(&self) -> LoadOptions {
        LoadOptions { cache: Some(self.cache()), ..self.options.clone() }
    }

    /// Loads with a cache; also returns how many files of the data were opened.
    fn load_cached(&self, options: &LoadOptions) -> (Result<Dataset, DataError>, usize) {
        let n_opened = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_opened);
        let _hooked = faults::hook(&self.data(), move |operation| {
            counter.fetch_add(usize::from(matches!(operation, Operation::Open(_))), Ordering::Relaxed);
            Ok(())
        });
        (load_dataset(&self.data(), options, &silent), n_opened.load(Ordering::Relaxed))
    }

    pub(super) fn load(&self) -> Dataset {
        load_dataset(&self.data(), &self.options, &silent).unwrap()
    }

    /// Loads with a cache what has to be the same as without; returns how many files were opened.
    fn check(&self) -> usize {
        self.check_against(&self.load())
    }

    fn check_against(&self, expected: &Dataset) -> usize {
        let (found, n_opened) = self.load_cached(&self.with_cache());
        assert_same(&found.unwrap(), expected);
        n_opened
    }
}

/// Of the 31 files, one is empty: there is nothing to identify it by, so it is opened each time.
const N_FILES: usize = 31;
const N_UNIDENTIFIED: usize = 1;

pub(super) fn assert_same(found: &Dataset, expected: &Dataset) {
    let without_images = |data: &Dataset| {
        let sets = [ImageSet::default(), ImageSet::default(), ImageSet::default()];
        let [train, val, test] = sets;
        format!("{:?}", Dataset { train, val, test, ..data.clone() })
    };
    assert_eq!(without_images(found), without_images(expected));
    for (found, expected) in
        [(&found.train, &expected.train), (&found.val, &expected.val), (&found.test, &expected.test)]
    {
        assert_eq!((found.digest(), found.labels()), (expected.digest(), expected.labels()));
        for index in 0..expected.len() {
            assert_eq!(found.name(index), expected.name(index));
            assert_eq!(found.file(index), expected.file(index));
            assert_eq!(found.facts(index), expected.facts(index));
            assert_eq!(found.patient(index), expected.patient(index));
            assert_eq!(found.image_digest(index), expected.image_digest(index));
        }
    }
}

#[test]
fn a_second_run_has_the_same_data_and_opens_no_file() {
    let bench = Bench::new();
    let without = bench.load();
    let notes = without.findings.notes.join("\n");
    assert!(notes.contains("negatives") && notes.contains("16 bits"), "{notes}");
    assert!(
        without.findings.bad.len() == 3 && without.findings.duplicates.len() >= 2,
        "{:?}",
        without.findings
    );
    assert!(without.findings.patients.is_some() && without.sample_bits == Some(16));
    assert_eq!(bench.check(), N_FILES);
    let first = fs::read(bench.cache_file()).unwrap();
    assert_eq!(bench.check(), if cfg!(unix) { N_UNIDENTIFIED } else { N_FILES });
    assert_eq!(fs::read(bench.cache_file()).unwrap(), first, "it is not written again");
}

#[test]
fn splits_share_a_cache_and_sizes_do_not() {
    let mut bench = Bench::new();
    bench.check();
    for seed in [1, 2] {
        bench.options = LoadOptions { seed, val_fraction: Some(0.3), ..bench.options };
        assert!(bench.check() <= N_UNIDENTIFIED || cfg!(not(unix)));
    }
    bench.options.skip_bad = false;
    let expected = load_dataset(&bench.data(), &bench.options, &silent).unwrap_err().to_string();
    assert!(expected.contains("3 of 31"), "{expected}");
    let (error, n_opened) = bench.load_cached(&bench.with_cache());
    assert_eq!(error.unwrap_err().to_string(), expected);
    assert!(n_opened <= N_UNIDENTIFIED || cfg!(not(unix)));
    bench.options = LoadOptions { skip_bad: true, crop: 20, resize: 24, ..bench.options };
    assert_eq!(bench.check(), N_FILES);
    assert_eq!(bench.cache_files().len(), 2);
}

#[test]
fn what_changed_in_the_data_is_never_taken_from_the_cache() {
    let bench = Bench::new();
    bench.check();
    let changed = bench.path("b/person0_virus_1.png");
    let times = fs::FileTimes::new().set_modified(changed.metadata().unwrap().modified().unwrap());
    let mut bytes = fs::read(&changed).unwrap();
    let remade = |what: &str| {
        sleep(Duration::from_millis(200));
        let n_files: usize =
            ["a", "b"].map(|class| fs::read_dir(bench.path(class)).unwrap().count()).iter().sum();
        assert!(bench.check() >= n_files, "{what}");
        bench.cache_file();
    };
    // As many bytes, and the old time: now it is damaged.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&changed, &bytes).unwrap();
    fs::File::options().write(true).open(&changed).unwrap().set_times(times).unwrap();
    remade("other content");
    fs::rename(bench.path("a/person0_virus_0.png"), bench.path("a/person0_virus_0.jpg")).unwrap();
    remade("another name");
    fs::remove_file(bench.path("b/text.png")).unwrap();
    remade("a file less");
    fs::rename(bench.path("b/wide.png"), bench.path("a/wide too.png")).unwrap();
    remade("another class, and another order");
    bench.copy("a/person1_virus_4.png", "a/empty.png");
    remade("an image where nothing could be read");
    fs::write(bench.path("a/empty.png"), b"").unwrap();
    remade("nothing where there was an image");
}

#[test]
fn a_touched_file_is_compared_by_its_content() {
    let bench = Bench::new();
    bench.check();
    let touched = bench.path("a/wide.png");
    let bytes = fs::read(&touched).unwrap();
    fs::remove_file(&touched).unwrap();
    fs::write(&touched, bytes).unwrap();
    let before = fs::read(bench.cache_file()).unwrap();
    // It is read once more to be compared.
    assert!(bench.check() <= N_UNIDENTIFIED + 1 || cfg!(not(unix)));
    assert_eq!(fs::read(bench.cache_file()).unwrap(), before);
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let bench = Bench::new();
    bench.check();
    let file = bench.cache_file();
    let whole = fs::read(&file).unwrap();
    let n = whole.len();
    let expected = bench.load();
    let remade = |bytes: &[u8], what: &str| {
        fs::write(&file, bytes).unwrap();
        assert!(bench.check_against(&expected) >= N_FILES, "{what}");
        assert_eq!(fs::read(bench.cache_file()).unwrap(), whole, "{what}");
    };
    for length in [0, 50, n / 3, n - 1] {
        remade(&whole[..length], &format!("{length} of {n} bytes"));
    }
    remade(&[&whole[..], b"x"].concat(), "a byte too many");
    // In the pixels, in the records, and in each part of what comes after them.
    for at in [1000, n - 600, n - 56, n - 49, n - 48, n - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        remade(&bytes, &format!("byte {at} of {n}"));
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let error = load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }), "a folder in its place: {error}");
}

#[test]
fn a_cache_of_other_data_is_not_used() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.check();
    let grey = film(77, 48);
    grey.save(other.path("a/person0_virus_0.png")).unwrap();
    other.check();
    // As large, of files with the same names, and in the place of the other one.
    fs::copy(bench.cache_file(), other.cache_file()).unwrap();
    assert!(other.check() >= N_FILES);
}

#[test]
fn runs_that_make_a_cache_at_once_do_not_disturb_each_other() {
    let bench = Bench::new();
    let expected = bench.load();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2 {
                    assert_same(
                        &load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap(),
                        &expected,
                    );
                }
            });
        }
    });
    bench.cache_file();
}

#[test]
fn images_stay_in_the_file_whatever_is_made_of_a_set() {
    let mut bench = Bench::new();
    for channels in [Channels::Grey, Channels::Rgb] {
        bench.options.channels = channels;
        let expected = bench.load();
        // Written by the first, read by the second.
        for _ in 0..2 {
            let found = load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap();
            let n_saved = expected.train.n_bytes() - found.train.n_bytes();
            assert!(n_saved > 700 * found.train.len(), "pixels are not in memory");
            let all = |data: &Dataset| data.train.concat(&data.test).select(&[3, 17, 3, 0]);
            let (found_part, expected_part) = (all(&found), all(&expected));
            assert!(found_part.n_bytes() < 4 * 500, "nor those of a part");
            assert_eq!(found_part.digest(), expected_part.digest());
            assert_eq!(found_part.squared(12), expected_part.squared(12));
            let in_both = found_part.concat(&expected_part);
            assert_eq!(in_both.digest(), expected_part.concat(&expected_part).digest());
            let norm = Normalization::of(&expected.train);
            assert_eq!(Normalization::of(&found.train), norm);
            let augment = Augment::crop_and_flip(24, 28, true);
            let samples: Vec<Sample> =
                (0..16).map(|image| Sample { image: image * 5 % 16, repeat: 0 }).collect();
            let batch = |data: &Dataset| {
                let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
                let transform = Transform::Augment { seed: 1, epoch: 2, augment: &augment };
                fill_batch(&data.train, &samples, transform, &norm, &mut x, &mut labels);
                (x, labels)
            };
            assert_eq!(batch(&found), batch(&expected));
        }
    }
}

#[test]
fn a_file_that_fails_while_it_is_used_is_an_error_with_its_name() {
    let bench = Bench::new();
    for (damage, reason) in [
        ("nothing", ""),
        ("cut", "it is shorter than it was"),
        ("changed", "it has changed, or the disk is faulty"),
        ("unreadable", "permission denied"),
        ("replaced", ""),
    ] {
        let data = load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap();
        let expected = data.train.digest();
        let file = bench.cache_file();
        let whole = fs::read(&file).unwrap();
        let mut hooked = None;
        match damage {
            "cut" => fs::File::options().write(true).open(&file).unwrap().set_len(900).unwrap(),
            "changed" => fs::write(&file, vec![7; whole.len()]).unwrap(),
            "unreadable" => {
                hooked = Some(faults::hook(&bench.cache(), |_| Err(io::ErrorKind::PermissionDenied.into())));
            }
            // By another run: this one goes on with the file that it has opened.
            "replaced" => {
                fs::remove_file(&file).unwrap();
                fs::write(&file, b"another").unwrap();
            }
            _ => {}
        }
        let found = catch_unreadable(|| data.train.digest());
        drop(hooked);
        if reason.is_empty() {
            assert_eq!(found.unwrap(), expected, "{damage}");
        } else {
            let error = found.unwrap_err().to_string();
            let name = file.display().to_string();
            assert!(error.contains(reason) && error.contains(&name), "{damage}: {error}");
            assert!(error.contains("--resume"), "{error}");
        }
        assert_eq!(
            load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap().train.digest(),
            expected
        );
        assert_eq!(fs::read(bench.cache_file()).unwrap(), whole, "made anew");
    }
    // Anything else panics on.
    let other = std::panic::catch_unwind(|| catch_unreadable(|| std::panic::resume_unwind(Box::new(7u8))));
    assert_eq!(*other.map(|_: Result<(), _>| ()).unwrap_err().downcast::<u8>().unwrap(), 7);
}

#[test]
fn a_cache_in_the_data_is_an_error() {
    let bench = Bench::new();
    for folder in ["data", "data/cache", "data/a", "data/a/../cache"] {
        let cache = Some(bench.dir.path().join(folder));
        let error = load_dataset(&bench.data(), &LoadOptions { cache, ..bench.options.clone() }, &silent);
        let error = error.unwrap_err();
        assert!(matches!(error, DataError::CacheInData { .. }), "{folder}: {error}");
        assert!(!bench.data().join("cache").exists());
    }
    let options = LoadOptions { test_dir: Some(bench.dir.path().join("below")), ..bench.with_cache() };
    fs::create_dir_all(bench.cache()).unwrap();
    let error = load_dataset(&bench.data(), &options, &silent).unwrap_err();
    assert!(matches!(error, DataError::CacheInData { .. }), "in the test data: {error}");
}

/// Loads with a cache in whose folder operation `number` fails; also returns how many there were.
fn load_with_fault(bench: &Bench, number: usize) -> (Result<Dataset, DataError>, usize) {
    let n_done = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_done);
    let hooked = faults::hook(&bench.dir.path().join("below"), move |_| {
        match counter.fetch_add(1, Ordering::Relaxed) {
            at if at == number => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    });
    let loaded = load_dataset(&bench.data(), &bench.with_cache(), &silent);
    drop(hooked);
    (loaded, n_done.load(Ordering::Relaxed))
}

#[test]
fn whatever_fails_no_wrong_data_and_no_half_cache_are_left() {
    let bench = Bench::new();
    let expected = bench.load();
    for is_made in [false, true] {
        for number in 0.. {
            let _ = fs::remove_dir_all(bench.dir.path().join("below"));
            if is_made {
                load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap();
            }
            let (loaded, n_operations) = load_with_fault(&bench, number);
            match loaded {
                Ok(found) => assert_same(&found, &expected),
                Err(DataError::Write { .. }) => {}
                Err(error) => panic!("operation {number}: {error}"),
            }
            let is_temporary =
                |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(TEMPORARY_PREFIX);
            let files = bench.cache_files();
            assert!(number >= n_operations || files.iter().filter(|path| is_temporary(path)).count() <= 1);
            assert_same(&load_dataset(&bench.data(), &bench.with_cache(), &silent).unwrap(), &expected);
            if number >= n_operations {
                println!("{n_operations} operations failed, one after the other");
                assert!(n_operations > 3);
                break;
            }
        }
    }
}

#[test]
fn nothing_is_decoded_if_the_cache_cannot_be_written() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("below"), "a file where the folder should be").unwrap();
    let (error, n_opened) = bench.load_cached(&bench.with_cache());
    let error = error.unwrap_err();
    assert!(matches!(error, DataError::Write { .. }) && n_opened == 0, "{error}");
}
