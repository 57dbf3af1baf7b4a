//! A few images of a run as its network sees them: cropped, augmented and normalised, as in the first epochs.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage, imageops};
use ndarray::{Array4, ArrayView3, Axis};
use roentgen_data::{ImageSet, Sample, Transform, fill_batch, load_some, phantom_dataset, silent};

use crate::config::TrainConfig;
use crate::config::build::normalization;
use crate::data_loading::phantom;
use crate::run_dir::file_names::CONFIG;

/// Images, side by side.
pub(super) const N_IMAGES: usize = 6;
/// Epochs, one below the other.
pub(super) const N_EPOCHS: usize = 4;
/// Longest side of an image in the picture.
const MAX_SIDE: usize = 96;
/// Pixels between the images.
const GAP: usize = 1;
/// Phantom films that are drawn.
const N_FILMS: u32 = 24;
/// Largest file of many images: it is read whole, beside the training.
const MAX_BYTES: u64 = 1 << 30;
/// Black and white in the picture, in standard deviations from the mean.
const RANGE: f32 = 2.0;

/// The picture of the run in `folder`, as a png file; `None` where its images cannot be read, or not without much memory.
pub(super) fn picture(folder: &Path) -> Option<Vec<u8>> {
    let config = TrainConfig::read(&folder.join(CONFIG)).ok()?;
    let images = some_images(&config)?;
    let side = (config.size as usize).min(MAX_SIDE);
    let [width, height] = [N_IMAGES, N_EPOCHS].map(|n| (n * (side + GAP) - GAP) as u32);
    let mut sheet = RgbImage::new(width, height);
    for epoch in 0..N_EPOCHS {
        let batch = batch(&config, &images, epoch as u64);
        for (index, crop) in batch.axis_iter(Axis(0)).enumerate() {
            let crop = imageops::thumbnail(&shown(crop), side as u32, side as u32);
            let [x, y] = [index, epoch].map(|at| (at * (side + GAP)) as i64);
            imageops::replace(&mut sheet, &crop, x, y);
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    sheet.write_to(&mut bytes, ImageFormat::Png).ok()?;
    Some(bytes.into_inner())
}

/// Images of the run, evenly spaced over its training set.
fn some_images(config: &TrainConfig) -> Option<ImageSet> {
    let options = config.load_options().ok()?;
    if config.uses_phantom() {
        let data = phantom_dataset(&phantom::options(N_FILMS, config.seed), &options, &silent).ok()?;
        return Some(data.train.select(&(0..N_IMAGES).collect::<Vec<_>>()));
    }
    let is_large = config.data.is_file() && config.data.metadata().ok()?.len() > MAX_BYTES;
    if is_large {
        return None;
    }
    load_some(&config.data, N_IMAGES, &options).ok().filter(|images| !images.is_empty())
}

/// The images as they are in a batch of an epoch.
fn batch(config: &TrainConfig, images: &ImageSet, epoch: u64) -> Array4<f32> {
    let samples: Vec<Sample> = (0..images.len() as u32).map(Sample::first).collect();
    let augment = &config.augment();
    let transform = Transform::Augment { seed: config.seed, epoch, augment };
    let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
    fill_batch(images, &samples, transform, &normalization(config, images), &mut x, &mut labels);
    x
}

/// Normalised values as colours.
fn shown(crop: ArrayView3<'_, f32>) -> RgbImage {
    let (height, width, channels) = crop.dim();
    let level = |value: f32| (255.0 * (value / RANGE + 1.0) / 2.0).clamp(0.0, 255.0) as u8;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([0, 1, 2].map(|channel| level(crop[[y as usize, x as usize, channel.min(channels - 1)]])))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_picture_has_the_crops_of_the_first_epochs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let films = folder.path().join("films");
        for class in ["a", "b"] {
            fs::create_dir_all(films.join("train").join(class)).expect("a folder");
            let image = image::GrayImage::from_fn(40, 36, |x, y| image::Luma([(x * 5 + y * 3) as u8]));
            image.save(films.join("train").join(class).join("film.png")).expect("an image");
        }
        let size = |config: &TrainConfig| {
            fs::write(folder.path().join(CONFIG), config.to_toml()).expect("a file");
            let picture = picture(folder.path());
            picture.map(|png| image::load_from_memory(&png).expect("a png file").to_rgb8())
        };
        let phantoms = TrainConfig::default();
        let films = TrainConfig { data: films, size: 120, ..TrainConfig::default() };
        let sheet = size(&phantoms).expect("a picture");
        assert_eq!(sheet.dimensions(), (149, 99));
        let cell = |row: u32| imageops::crop_imm(&sheet, 0, row * 25, 24, 24).to_image();
        assert!((1..4).any(|row| cell(row) != cell(0)), "each epoch has another crop");
        assert_eq!(size(&films).expect("a picture").dimensions(), (581, 387));
        let table = folder.path().join("films.csv");
        let lines = "path,label\nfilms/train/a/film.png,a\nfilms/train/b/film.png,b\n";
        fs::write(&table, lines).expect("a file");
        assert_eq!(
            size(&TrainConfig { data: table, ..films.clone() }).expect("a picture").dimensions(),
            (581, 387)
        );
        let npz = folder.path().join("set.npz");
        crate::serve::tests::write_npz(&npz);
        let of_npz = size(&TrainConfig { data: npz, ..phantoms.clone() }).expect("a picture");
        assert_eq!(of_npz.dimensions(), (149, 99));
        let crop = |column: u32| imageops::crop_imm(&of_npz, column * 25, 0, 24, 24).to_image();
        assert!((1..6).all(|column| crop(column) != crop(0)), "six images");
        let cifar = folder.path().join("cifar");
        fs::create_dir(&cifar).expect("a folder");
        for batch in
            ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
        {
            let image =
                |class: u8| (0..3073).map(move |at: u32| if at == 0 { class } else { (at * 7) as u8 });
            let bytes: Vec<u8> = (0..10).flat_map(image).collect();
            fs::write(cifar.join(format!("{batch}.bin")), bytes).expect("a file");
        }
        assert_eq!(
            size(&TrainConfig { data: cifar, ..phantoms }).expect("a picture").dimensions(),
            (149, 99)
        );
        let missing = TrainConfig { data: folder.path().join("nosuch"), ..TrainConfig::default() };
        assert!(size(&missing).is_none());
    }
}
