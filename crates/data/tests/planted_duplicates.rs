//! Planted duplicates of films are found, and films of different patients are not taken for duplicates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, codecs::jpeg::JpegEncoder};
use roentgen_data::{LoadOptions, PhantomOptions, load_dataset, silent, write_phantom};

use crate::real_sets::{cxr3_train, real_data};

/// The change that makes a duplicate of a film.
type Change = fn(&DynamicImage) -> DynamicImage;

const KINDS: [(&str, Change); 7] = [
    ("jpeg at quality 50", |film| film.clone()),
    ("half the size", |film| film.resize_exact(film.width() / 2, film.height() / 2, FilterType::Triangle)),
    ("5 % off the width and the height", |film| cropped(film, [0.025; 4])),
    ("5 % off every side", |film| cropped(film, [0.05; 4])),
    ("5 % off two sides", |film| cropped(film, [0.0, 0.05, 0.05, 0.0])),
    ("gamma 0.8", |film| toned(film, 0.8)),
    ("gamma 1.25", |film| toned(film, 1.25)),
];

/// Cropped by `[left, right, top, bottom]`, as fractions of the sides.
fn cropped(film: &DynamicImage, cut: [f32; 4]) -> DynamicImage {
    let (width, height) = (film.width() as f32, film.height() as f32);
    let [left, right, top, bottom] = [cut[0] * width, cut[1] * width, cut[2] * height, cut[3] * height];
    let [x, y, w, h] =
        [left, top, width - left - right, height - top - bottom].map(|side| side.round() as u32);
    film.crop_imm(x, y, w, h)
}

fn toned(film: &DynamicImage, gamma: f32) -> DynamicImage {
    let mut film = film.to_luma8();
    film.iter_mut()
        .for_each(|value| *value = ((f32::from(*value) / 255.0).powf(gamma) * 255.0).round() as u8);
    film.into()
}

/// Writes every film of `films` into a folder, with a duplicate of each kind, and checks what is found.
fn assert_found(films: &[PathBuf]) {
    let root = tempfile::tempdir().unwrap();
    for class in ["originals", "duplicates"] {
        std::fs::create_dir(root.path().join(class)).unwrap();
    }
    for (number, path) in films.iter().enumerate() {
        let film = image::open(path).unwrap();
        film.to_luma8().save(root.path().join(format!("originals/{number:04}.png"))).unwrap();
        for (kind, (_, change)) in KINDS.iter().enumerate() {
            let quality = if kind == 0 { 50 } else { 90 };
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode_image(&change(&film).to_luma8())
                .unwrap();
            std::fs::write(root.path().join(format!("duplicates/{number:04}-{kind}.jpg")), bytes).unwrap();
        }
    }
    let data = load_dataset(root.path(), &LoadOptions::default(), &silent).unwrap();

    let mut group_of = BTreeMap::new();
    for (group, locations) in data.findings.duplicates.iter().enumerate() {
        for location in locations {
            group_of.insert(location.path.clone(), group);
        }
    }
    for (kind, (name, _)) in KINDS.iter().enumerate() {
        let is_found = |number: &usize| {
            let original = group_of.get(&format!("originals/{number:04}.png"));
            original.is_some() && original == group_of.get(&format!("duplicates/{number:04}-{kind}.jpg"))
        };
        let found = (0..films.len()).filter(is_found).count();
        println!("{name}: {found} of {} found", films.len());
        assert!(found * 100 >= films.len() * 95, "{name}: {found} of {} found", films.len());
    }
    let number = |path: &str| path.split('/').nth(1).unwrap()[..4].to_owned();
    let is_mixed = |locations: &&Vec<roentgen_data::ImageLocation>| {
        locations.iter().any(|location| number(&location.path) != number(&locations[0].path))
    };
    let mixed: Vec<_> = data.findings.duplicates.iter().filter(is_mixed).collect();
    assert!(
        mixed.len() * 200 < films.len(),
        "groups of different films: {:?}",
        mixed.iter().map(|m| m.iter().map(|p| &p.path[..]).collect::<Vec<_>>()).collect::<Vec<_>>()
    );
}

/// The patient of a paediatric film: `person1000` of `person1000_virus_1681`, `IM-0115` of `IM-0115-0001`.
fn patient(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    match name.find("IM-") {
        Some(at) => name.get(..at + 7),
        None if name.starts_with("person") => name.split('_').next(),
        None => None,
    }
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn duplicates_of_phantom_films_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let phantom = PhantomOptions { train: 60, val: 0, test: 0, size: 128, ..PhantomOptions::default() };
    write_phantom(dir.path(), &phantom, &silent).unwrap();
    assert_found(&files_under(dir.path()));
}

#[test]
fn duplicates_of_real_films_are_found() {
    let Some(dir) = real_data("cxr3-train/normal") else { return };
    assert_found(&files_under(&dir).into_iter().step_by(6).collect::<Vec<_>>());
}

#[test]
fn films_of_different_patients_are_not_taken_for_duplicates() {
    let Some(data) = cxr3_train() else { return };
    let total = data.train.len() + data.val.len() + data.test.len();
    let is_mixed = |locations: &&Vec<roentgen_data::ImageLocation>| {
        let patients: BTreeSet<&str> =
            locations.iter().filter_map(|location| patient(&location.path)).collect();
        patients.len() > 1
    };
    let mixed: usize = data.findings.duplicates.iter().filter(is_mixed).map(Vec::len).sum();
    println!("{mixed} of {total} films are in groups of different patients");
    assert!(mixed * 200 < total, "{mixed} of {total}");
}
