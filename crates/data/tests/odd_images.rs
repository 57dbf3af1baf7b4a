//! Films of 12 bits in files of 16 bits, negatives and long images.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, imageops};
use roentgen_data::{
    Dataset, Fit, ImageSource, Invert, LoadOptions, PhantomOptions, ViewPosition, find_files, load_dataset,
    load_files, silent, write_phantom,
};

/// Phantom films in sets; `change` is applied to each, with its number in the order of the paths.
fn films(folder: &Path, change: impl Fn(usize, image::GrayImage) -> DynamicImage) {
    let phantom = PhantomOptions { train: 36, val: 6, test: 6, size: 64, ..PhantomOptions::default() };
    write_phantom(folder, &phantom, &silent).unwrap();
    for (number, path) in find_files(folder).unwrap().into_iter().enumerate() {
        let film = image::open(&path).unwrap().into_luma8();
        change(number, film).save(path).unwrap();
    }
}

fn load(folder: &Path, options: &LoadOptions) -> Dataset {
    load_dataset(folder, options, &silent).unwrap()
}

fn pixels(data: &Dataset) -> Vec<u8> {
    let sets = [&data.train, &data.val, &data.test];
    sets.iter().flat_map(|set| (0..set.len()).flat_map(|image| set.image(image).pixels.to_vec())).collect()
}

fn has_note(data: &Dataset, text: &str) -> bool {
    data.findings.notes.iter().any(|note| note.contains(text))
}

/// Samples of 12 bits, which some programs store in 16 bits as they are.
fn twelve_bits(film: &image::GrayImage) -> DynamicImage {
    let sample = |x, y| Luma([(u32::from(film.get_pixel(x, y).0[0]) * 4_095 / 255) as u16]);
    DynamicImage::ImageLuma16(ImageBuffer::from_fn(film.width(), film.height(), sample))
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().expect("pixels")
}

#[test]
fn films_of_twelve_bits_give_what_eight_bits_give() {
    let (eight, twelve) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    films(eight.path(), |_, film| film.into());
    films(twelve.path(), |_, film| twelve_bits(&film));
    let options = LoadOptions::default();
    let (eight, data) = (load(eight.path(), &options), load(twelve.path(), &options));
    assert_eq!((eight.sample_bits, data.sample_bits), (None, Some(12)));
    assert!(largest_difference(&pixels(&eight), &pixels(&data)) <= 1);
    assert!(
        has_note(&data, "48 of 48 images with samples of 16 bits use only 12 of them"),
        "{:?}",
        data.findings.notes
    );
    // A hot pixel in each makes no difference, and is white.
    let hot = tempfile::tempdir().unwrap();
    films(hot.path(), |_, film| {
        let mut film = twelve_bits(&film).into_luma16();
        film.put_pixel(40, 2, Luma([u16::MAX]));
        film.into()
    });
    let with_hot = load(hot.path(), &options);
    assert_eq!(with_hot.sample_bits, Some(12));
    let differ = pixels(&with_hot).iter().zip(pixels(&data)).filter(|(a, b)| a.abs_diff(*b) > 1).count();
    assert!(differ < 48 * 9, "{differ} pixels of 48 films");
    let path = find_files(hot.path()).unwrap().remove(0);
    let film =
        ImageSource::from(&*path).open(&LoadOptions { sample_bits: Some(12), ..options.clone() }).unwrap();
    assert_eq!(film.to_luma16().get_pixel(40, 2).0[0], u16::MAX);
    // One image for a model that was trained on 8 bits, and on 12.
    let path = find_files(&twelve.path().join("train")).unwrap().remove(0);
    for sample_bits in [None, Some(12)] {
        let options = LoadOptions { sample_bits, ..LoadOptions::default() };
        let found = load_files(&[ImageSource::File(path.clone())], 1, &options, &silent);
        assert!(largest_difference(&found.images.image(0).pixels, &eight.train.image(0).pixels) <= 1);
        let notes = found.counts.notes(&options);
        assert!(notes[0].text.contains("use only 12"), "{notes:?}");
    }
}

/// Writes the image of a file as a TIFF of the same samples whose zero is white.
fn make_zero_white(path: &Path) {
    let mut tiff = Cursor::new(Vec::new());
    image::open(path).unwrap().write_to(&mut tiff, ImageFormat::Tiff).unwrap();
    let mut tiff = tiff.into_inner();
    // The entry PhotometricInterpretation: a tag, a type, a number of values, and the value.
    let entry = [0x06, 0x01, 3, 0, 1, 0, 0, 0, 1];
    let at = tiff.windows(9).rposition(|window| window == entry).expect("the entry");
    tiff[at + 8] = 0;
    fs::write(path, tiff).unwrap();
}

#[test]
fn films_of_twelve_bits_whose_zero_is_white_give_what_eight_bits_give() {
    let (eight, twelve) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    films(eight.path(), |_, film| film.into());
    films(twelve.path(), |_, film| {
        let mut film = twelve_bits(&film).into_luma16();
        film.iter_mut().for_each(|sample| *sample = 4_095 - *sample);
        film.into()
    });
    find_files(twelve.path()).unwrap().iter().for_each(|path| make_zero_white(path));
    let options = LoadOptions::default();
    let (eight, twelve) = (load(eight.path(), &options), load(twelve.path(), &options));
    assert_eq!(twelve.sample_bits, Some(12));
    assert!(largest_difference(&pixels(&eight), &pixels(&twelve)) <= 1);
}

/// All samples are below 1,024, and the training images use 12 bits.
#[test]
fn a_light_film_whose_zero_is_white_is_inverted_within_the_bits_of_the_training_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("light.png");
    let sample = |x: u32, y: u32| Luma([(8 * x + 7 * y) as u16]);
    DynamicImage::ImageLuma16(ImageBuffer::from_fn(64, 64, sample)).save(&path).unwrap();
    make_zero_white(&path);
    for (fit, sample_bits, range) in
        [(Fit::Crop, Some(12), 190..=255), (Fit::Stretch, Some(12), 190..=255), (Fit::Crop, None, 0..=255)]
    {
        let options = LoadOptions { sample_bits, fit, ..LoadOptions::default() };
        let found = load_files(&[ImageSource::File(path.clone())], 1, &options, &silent);
        let pixels = &found.images.image(0).pixels;
        let [least, most] = [pixels.iter().min(), pixels.iter().max()].map(|value| *value.expect("pixels"));
        assert!(range.contains(&least) && most > 250, "{fit:?}, {sample_bits:?}: {least} to {most}");
        let said = "1 of 1 images with samples of 16 bits are light";
        let notes = found.counts.notes(&options);
        let is_light = notes.iter().any(|note| note.text.contains(said));
        assert_eq!(is_light, sample_bits.is_some(), "{notes:?}");
        let film = ImageSource::from(&*path).open(&options).unwrap().to_luma16();
        assert_eq!(film.pixels().map(|pixel| pixel.0[0] >> 8).min() >= Some(190), sample_bits.is_some());
    }
}

#[test]
fn a_class_of_negatives_is_found_and_inverted() {
    let (plain, odd) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    films(plain.path(), |_, film| film.into());
    let expected = load(plain.path(), &LoadOptions::default());
    assert!(!has_note(&expected, "negatives"), "{:?}", expected.findings.notes);
    films(odd.path(), |_, film| film.into());
    let negatives = find_files(&odd.path().join("train/covid")).unwrap();
    for path in &negatives {
        let mut film = image::open(path).unwrap();
        film.invert();
        film.save(path).unwrap();
    }
    let found = load(odd.path(), &LoadOptions::default());
    assert!(has_note(&found, "12 of 48 images look like negatives"), "{:?}", found.findings.notes);
    assert!(has_note(&found, "(12 of 16 of `covid`)") && has_note(&found, "--invert auto inverts them"));
    let inverted = load(odd.path(), &LoadOptions { invert: Invert::Auto, ..LoadOptions::default() });
    assert!(largest_difference(&pixels(&inverted), &pixels(&expected)) <= 1);
    // One image for the model.
    let options =
        LoadOptions { pattern: inverted.pattern.clone(), invert: Invert::Auto, ..LoadOptions::default() };
    let one = load_files(&[ImageSource::File(negatives[0].clone())], 1, &options, &silent);
    assert!(largest_difference(&one.images.image(0).pixels, &expected.train.image(0).pixels) <= 1);
    let notes = one.counts.notes(&options);
    assert!(notes.iter().any(|note| note.text.contains("they are inverted")), "{notes:?}");
}

#[test]
fn options_that_change_no_image_have_a_note() {
    let options =
        LoadOptions { views: vec![ViewPosition::Pa], invert: Invert::Auto, ..LoadOptions::default() };
    for (train, has_pattern) in [(12, false), (36, true)] {
        let folder = tempfile::tempdir().unwrap();
        let phantom = PhantomOptions { train, val: 6, test: 6, size: 64, ..PhantomOptions::default() };
        write_phantom(folder.path(), &phantom, &silent).unwrap();
        let data = load(folder.path(), &options);
        assert_eq!(data.pattern.is_some(), has_pattern);
        assert!(has_note(&data, "--view is not used: no image is DICOM"), "{:?}", data.findings.notes);
        assert_eq!(
            has_note(&data, "--invert auto inverts nothing"),
            !has_pattern,
            "{:?}",
            data.findings.notes
        );
        let unused = load(folder.path(), &LoadOptions::default());
        assert!(
            !has_note(&unused, "--view") && !has_note(&unused, "--invert"),
            "{:?}",
            unused.findings.notes
        );
    }
}

#[test]
fn long_images_are_counted_unless_the_model_sees_the_whole_of_them() {
    let folder = tempfile::tempdir().unwrap();
    // The first three are 64 x 32.
    films(folder.path(), |number, film| match number {
        0..3 => imageops::crop_imm(&film, 0, 16, 64, 32).to_image().into(),
        _ => film.into(),
    });
    let cropped = load(folder.path(), &LoadOptions::default());
    assert!(has_note(&cropped, "3 of 48 images are more than 1.5 times"), "{:?}", cropped.findings.notes);
    for fit in [Fit::Pad, Fit::Stretch] {
        let data = load(folder.path(), &LoadOptions { fit, ..LoadOptions::default() });
        assert!(!has_note(&data, "1.5 times"), "{:?}", data.findings.notes);
        assert!((0..data.train.len()).all(|image| data.train.image(image).pixels.len() == 28 * 28));
    }
}

#[test]
fn files_whose_second_half_is_zeros_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let film = image::GrayImage::from_fn(64, 48, |x, y| Luma([(x + 3 * y + 1) as u8]));
    // The rows that come last in the file.
    for (name, rows) in [("half.bmp", 0..24), ("half.tif", 24..48)] {
        let path = folder.path().join(name);
        film.save(&path).unwrap();
        let options = LoadOptions::default();
        let notes = || load_files(&[path.as_path().into()], 1, &options, &silent).counts.notes(&options);
        assert!(!notes().iter().any(|note| note.text.contains("incomplete")), "{:?}", notes());
        let mut bytes = fs::read(&path).unwrap();
        for row in rows {
            let row = &film.as_raw()[row * 64..][..64];
            let at = bytes.windows(64).position(|window| window == row).expect("without compression");
            bytes[at..at + 64].fill(0);
        }
        fs::write(&path, bytes).unwrap();
        let expected = "1 of 1 images have one single value in the last quarter of their rows or more";
        assert!(notes().iter().any(|note| note.text.starts_with(expected)), "{:?}", notes());
    }
}
