//! The phantom set: the same films everywhere, and hard enough to need more than a linear classifier.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Array4, Axis};
use roentgen_data::{
    DataError, Dataset, ImageSet, LoadOptions, Normalization, PhantomOptions, Sample, Transform, TtaView,
    fill_batch, load_dataset, phantom_dataset, silent, write_phantom,
};

/// A few films.
const FEW: PhantomOptions = PhantomOptions { seed: 1, train: 12, val: 3, test: 6, size: 96 };

fn draw(options: &PhantomOptions) -> Dataset {
    phantom_dataset(options, &LoadOptions::default(), &silent).unwrap()
}

fn digest(set: &ImageSet) -> String {
    let mut hasher = blake3::Hasher::new();
    for index in 0..set.len() {
        hasher.update(&set.image(index).pixels);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[test]
fn films_are_the_same_on_every_machine() {
    // At the full size of the films, so that the digest is over every pixel that is drawn.
    let full = LoadOptions { resize: 96, crop: 96, ..Default::default() };
    let data = phantom_dataset(&FEW, &full, &silent).unwrap();
    let digests = [&data.train, &data.val, &data.test].map(digest);
    assert_eq!(digests, ["b973faa330a1c1a0", "a3f079f5a82e873d", "02f37606d6921981"]);
}

#[test]
fn films_do_not_depend_on_the_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| draw(&FEW)).train
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn more_films_leave_the_earlier_ones_unchanged() {
    let (few, more) = (draw(&FEW), draw(&PhantomOptions { train: 30, ..FEW }));
    for index in 0..4 {
        assert_eq!(few.train.name(index), more.train.name(index));
        assert_eq!(few.train.image(index).pixels, more.train.image(index).pixels);
    }
}

#[test]
fn sets_and_classes_have_the_requested_sizes_and_are_disjoint() {
    let data = draw(&FEW);
    assert_eq!(data.class_names, ["covid", "normal", "pneumonia"]);
    assert_eq!([&data.train, &data.val, &data.test].map(|s| s.class_counts(3)), [[4; 3], [1; 3], [2; 3]]);
    let mut films = BTreeMap::new();
    for set in [&data.train, &data.val, &data.test] {
        for index in 0..set.len() {
            let earlier = films.insert(set.image(index).pixels.to_vec(), set.name(index).to_owned());
            assert_eq!(earlier, None, "{} was generated twice", set.name(index));
        }
    }
}

#[test]
fn the_written_folder_is_the_set_in_memory() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/films");
    write_phantom(&dir, &FEW, &silent).unwrap();
    let (read, drawn) = (load_dataset(&dir, &LoadOptions::default(), &silent).unwrap(), draw(&FEW));
    assert_eq!(read.class_names, drawn.class_names);
    for (read, drawn) in [(&read.train, &drawn.train), (&read.val, &drawn.val), (&read.test, &drawn.test)] {
        let names =
            |set: &ImageSet| (0..set.len()).map(|index| set.name(index).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            (names(read), read.labels(), read.digest()),
            (names(drawn), drawn.labels(), drawn.digest())
        );
        let is_in_folder = |index: usize| read.file(index).is_some_and(|file| file.starts_with(&dir));
        assert!(
            (0..read.len())
                .all(|index| is_in_folder(index) && read.image(index).pixels == drawn.image(index).pixels)
        );
    }
    assert_eq!(read.findings.notes, Vec::<String>::new());

    let error = write_phantom(&dir, &FEW, &silent).unwrap_err();
    assert!(matches!(error, DataError::OutputNotEmpty { .. }), "{error}");
    let entries: Vec<_> = fs::read_dir(parent.path().join("new")).unwrap().collect();
    assert_eq!(entries.len(), 1, "only the films remain: {entries:?}");
}

#[test]
fn a_failed_write_leaves_no_files() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    let error = write_phantom(&parent.path().join("file/films"), &FEW, &silent).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn numbers_out_of_range_are_rejected() {
    for options in [
        PhantomOptions { size: 16, ..FEW },
        PhantomOptions { train: 2, ..FEW },
        PhantomOptions { test: 100_001, ..FEW },
    ] {
        let error = phantom_dataset(&options, &LoadOptions::default(), &silent).unwrap_err();
        assert!(matches!(error, DataError::OutOfRange { .. }), "{error}");
    }
}

#[test]
fn the_shipped_sample_is_what_the_program_generates() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/phantom-sample");
    let fresh = tempfile::tempdir().unwrap();
    let drawn = fresh.path().join("films");
    // `roentgen data phantom --films 36`: an eighth as many validate, a quarter as many test.
    let options = PhantomOptions { seed: 0, train: 36, val: 4, test: 9, ..PhantomOptions::default() };
    write_phantom(&drawn, &options, &silent).unwrap();
    let (shipped_files, drawn_files) = (files(&shipped), files(&drawn));
    assert_eq!(shipped_files, drawn_files);
    assert_eq!(drawn_files.len(), 49);
    for name in &drawn_files {
        // Pixels, not bytes: another version of the encoder may compress them differently.
        let [a, b] = [&shipped, &drawn].map(|root| image::open(root.join(name)).unwrap().to_luma8());
        assert!(a == b, "{} differs", name.display());
    }
    let bytes: u64 = shipped_files.iter().map(|name| fs::metadata(shipped.join(name)).unwrap().len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

/// Every file below a folder, by its path inside, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                files.push(path.strip_prefix(root).unwrap().into())
            }
        }
    }
    files.sort();
    files
}

/// The linear baseline: multinomial logistic regression with an L2 term on the standardised 24x24 pixels of the
/// default set, by gradient descent with momentum. ResNet9 reaches at least 0.95 on the same films.
#[test]
fn a_linear_classifier_stays_under_80_percent() {
    let data = draw(&PhantomOptions::default());
    let (x, y) = pixels(&data.train);
    let (x_test, y_test) = pixels(&data.test);
    let mean = x.mean_axis(Axis(0)).unwrap();
    let std = x.std_axis(Axis(0), 0.0).mapv(|std| std.max(1e-3));
    let standardised = |x: Array2<f32>| (x - &mean) / &std;
    let (x, x_test) = (standardised(x), standardised(x_test));

    let best = [0.04, 0.004]
        .map(|l2| {
            let weights = fit(&x, &y, l2);
            let (train, test) = (accuracy(&x, &weights, &y), accuracy(&x_test, &weights, &y_test));
            println!("l2 {l2}: {train:.3} on training films, {test:.3} on test films");
            assert!(train > test - 0.02, "the fit has converged to something");
            test
        })
        .into_iter()
        .fold(0.0, f64::max);
    assert!(best < 0.80, "{best}: the films are too easy");
    assert!(best > 0.45, "{best}: not even a linear classifier learns something");
}

/// The centre crops of a set, one image per row, and their labels.
fn pixels(set: &ImageSet) -> (Array2<f32>, Vec<u32>) {
    let norm = Normalization { mean: vec![0.0], std: vec![1.0], per_image: false };
    let (mut x, mut labels) = (Array4::default((0, 0, 0, 0)), Vec::new());
    let samples: Vec<Sample> = (0..set.len() as u32).map(Sample::first).collect();
    fill_batch(
        set,
        &samples,
        Transform::Centre { crop: 24, view: TtaView::PLAIN },
        &norm,
        &mut x,
        &mut labels,
    );
    (x.into_shape_with_order((set.len(), 24 * 24)).unwrap(), labels)
}

/// Softmax regression, `(pixels, classes)`. Classes are balanced and pixels centred, so it needs no bias.
fn fit(x: &Array2<f32>, y: &[u32], l2: f32) -> Array2<f32> {
    const STEP: f32 = 0.01;
    const MOMENTUM: f32 = 0.95;
    let mut weights = Array2::<f32>::zeros((x.ncols(), 3));
    let mut velocity = weights.clone();
    for _ in 0..500 {
        let mut error = probabilities(x, &weights);
        for (mut row, &label) in error.rows_mut().into_iter().zip(y) {
            row[label as usize] -= 1.0;
        }
        let gradient = x.t().dot(&error) / x.nrows() as f32 + &weights * l2;
        velocity = velocity * MOMENTUM - gradient * STEP;
        weights += &velocity;
    }
    weights
}

fn probabilities(x: &Array2<f32>, weights: &Array2<f32>) -> Array2<f32> {
    let mut scores = x.dot(weights);
    for mut row in scores.rows_mut() {
        let largest = row.fold(f32::MIN, |a, &b| a.max(b));
        row.mapv_inplace(|score| (score - largest).exp());
        let sum = row.sum();
        row /= sum;
    }
    scores
}

fn accuracy(x: &Array2<f32>, weights: &Array2<f32>, y: &[u32]) -> f64 {
    let scores = x.dot(weights);
    let right = scores.rows().into_iter().zip(y).filter(|(row, label)| {
        let own = row[**label as usize];
        row.iter().all(|&score| score <= own)
    });
    right.count() as f64 / y.len() as f64
}
