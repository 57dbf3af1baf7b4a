//! Image files that tests of folders write.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};

/// Writes a grey image of 32 x 30 pixels of noise that depends on the name; the extension determines the format.
pub(crate) fn save_image(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut state =
        name.bytes().fold(1u32, |state, byte| state.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let noise = |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Luma([(state >> 24) as u8])
    };
    GrayImage::from_fn(32, 30, noise).save(path).unwrap();
}

/// Several such images, in one folder.
pub(crate) fn save_images(root: &Path, folder: &str, count: usize) {
    for number in 0..count {
        save_image(root, &format!("{folder}/{number:02}.png"));
    }
}
