//! Images that are decoded once and split several times: by fold, and by seed.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::images::save_images;
use roentgen_data::{Alone, Dataset, DecodedImages, Fold, LoadOptions, Stage, load_dataset, silent};

fn write_folder(root: &Path) {
    save_images(root, "train/a", 12);
    save_images(root, "train/b", 9);
    save_images(root, "test/a", 2);
    save_images(root, "test/b", 2);
    fs::copy(root.join("train/a/00.png"), root.join("train/b/duplicate.png")).unwrap();
}

/// Decoded images, and how many there were.
fn decoded(root: &Path, options: &LoadOptions) -> (DecodedImages, usize) {
    let n_decoded = AtomicUsize::new(0);
    let count = |stage: Stage, _, _| {
        n_decoded.fetch_add(usize::from(stage == Stage::Decoding), Ordering::Relaxed);
    };
    let images = DecodedImages::load(root, options, &Alone, &count).unwrap();
    (images, n_decoded.into_inner())
}

/// The data set of these options, after it was compared with that of a single load.
fn split(images: &DecodedImages, root: &Path, options: &LoadOptions) -> Dataset {
    let data = images.split(options).unwrap();
    let single = load_dataset(root, options, &silent).unwrap();
    assert_eq!((&data.train, &data.val, &data.test), (&single.train, &single.val, &single.test));
    assert_eq!((&data.fingerprint, data.val_fraction), (&single.fingerprint, single.val_fraction));
    assert_eq!(format!("{:?}", data.findings), format!("{:?}", single.findings));
    data
}

fn names(set: &roentgen_data::ImageSet) -> Vec<&str> {
    (0..set.len()).map(|index| set.name(index)).collect()
}

#[test]
fn folds_decode_once_and_are_those_of_a_single_load() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let of_fold = |index| LoadOptions { fold: Some(Fold { index, of: 3 }), ..LoadOptions::default() };
    let (images, n_decoded) = decoded(dir.path(), &of_fold(0));
    let mut tested = Vec::new();
    for index in 0..3 {
        let data = split(&images, dir.path(), &of_fold(index));
        assert_eq!(data.findings.notes, ["3 folds: the given test set is not used"]);
        tested.extend(names(&data.test).into_iter().map(str::to_owned));
    }
    tested.sort_unstable();
    tested.dedup();
    assert_eq!((tested.len(), n_decoded), (22, 22), "every training image once");
}

#[test]
fn seeds_decode_once_and_are_those_of_a_single_load() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let of_seed = |seed| LoadOptions { seed, ..LoadOptions::default() };
    let (images, n_decoded) = decoded(dir.path(), &of_seed(5));
    assert_eq!(n_decoded, 26);
    let validated: Vec<Vec<String>> = (0..4)
        .map(|seed| {
            let data = split(&images, dir.path(), &of_seed(seed));
            names(&data.val).into_iter().map(str::to_owned).collect()
        })
        .collect();
    assert!(validated.iter().any(|names| *names != validated[0]), "the seed decides: {validated:?}");
    let larger = LoadOptions { val_fraction: Some(0.4), ..of_seed(1) };
    assert!(split(&images, dir.path(), &larger).val.len() > validated[1].len());
    let others = [
        LoadOptions { crop: 16, ..of_seed(0) },
        LoadOptions { fold: Some(Fold { index: 0, of: 2 }), ..of_seed(0) },
    ];
    assert!(others.iter().all(|options| !images.can_be_split_by(options)));
}
