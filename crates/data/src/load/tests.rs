//! Files that cannot be opened; a few images of a data set.

use std::io;

use super::*;
use crate::disk::{Operation, faults};
use crate::progress::silent;

#[cfg(unix)]
#[test]
fn too_many_open_files_are_no_fault_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    for (number, class) in (0..8).map(|number| (number, ["a", "b"][number % 2])) {
        std::fs::create_dir_all(dir.path().join(class)).unwrap();
        let image = image::GrayImage::from_fn(30, 30, |x, y| image::Luma([(x * y + number as u32) as u8]));
        image.save(dir.path().join(class).join(format!("{number}.png"))).unwrap();
    }
    let refused = dir.path().join("b/5.png");
    let _hooked = faults::hook(dir.path(), move |operation| match operation {
        Operation::Open(path) if path == refused => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        _ => Ok(()),
    });
    let options = LoadOptions { skip_bad: true, ..LoadOptions::default() };
    let error = load_dataset(dir.path(), &options, &silent).unwrap_err().to_string();
    assert!(
        error.contains("5.png: too many files are open; raise the limit") && error.contains("ulimit -n"),
        "{error}"
    );
}

#[test]
fn negatives_among_a_few_images_are_inverted_as_for_training() {
    let dir = tempfile::tempdir().expect("a folder");
    for number in 0..60u32 {
        let film = image::GrayImage::from_fn(32, 32, |x, y| {
            let bright = 255 - 3 * (x.abs_diff(16).pow(2) + y.abs_diff(16).pow(2) + number % 7).min(80);
            image::Luma([if number % 10 == 0 { 255 - bright } else { bright } as u8])
        });
        let folder = dir.path().join(if number < 30 { "a" } else { "b" });
        std::fs::create_dir_all(&folder).expect("a folder");
        film.save(folder.join(format!("{number:02}.png"))).expect("a file");
    }
    let means = |invert: Invert| -> Vec<f32> {
        let options =
            LoadOptions { invert, val_fraction: Some(0.0), test_fraction: 0.0, ..Default::default() };
        let images = load_some(dir.path(), 6, &options).expect("images");
        (0..images.len()).filter_map(|index| Some(images.facts(index)?.mean)).collect()
    };
    let [as_stored, inverted] = [Invert::Never, Invert::Auto].map(means);
    assert!(as_stored.len() == 6 && as_stored.iter().any(|&mean| mean > 0.6), "{as_stored:?}");
    assert!(inverted.len() == 6 && inverted.iter().all(|&mean| mean < 0.4), "{inverted:?}");
}
