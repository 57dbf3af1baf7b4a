//! JPEG files of every structure that libjpeg-turbo's `cjpeg` writes are decoded to the pixels of its `djpeg`, or refused by name;
//! and with a part missing before their end mark they are rejected.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::{DynamicImage, RgbImage};
use roentgen_data::{ImageSource, LoadOptions};

const SAMPLINGS: [&str; 16] = [
    "1x1",
    "2x1",
    "1x2",
    "2x2",
    "4x1",
    "1x4",
    "4x2",
    "2x1,2x1,2x1",
    "1x1,2x1,2x1",
    "1x1,1x2,1x2",
    "1x1,2x2,2x2",
    "2x2,2x1,1x2",
    "2x1,1x2,1x1",
    "1x2,2x1,1x1",
    "2x2,1x2,2x1",
    "2x2,2x2,1x1",
];
/// Names and arguments of the coding.
const CODINGS: [(&str, &[&str]); 4] = [
    ("baseline", &[]),
    ("progressive", &["-progressive"]),
    ("restart", &["-restart", "1B"]),
    ("one scan per component", &["-scans", "scans.txt"]),
];
/// Odd sizes, below and beyond a block.
const SIZES: [(u32, u32); 3] = [(7, 5), (33, 47), (96, 64)];
/// Largest difference in grey levels: decoders round differently.
const MAX_DIFFERENCE: u8 = 2;

fn run(folder: &Path, program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn difference_in_grey(a: RgbImage, b: RgbImage) -> u8 {
    let grey = |image| DynamicImage::ImageRgb8(image).to_luma8().into_raw();
    grey(a).iter().zip(grey(b)).map(|(a, b)| a.abs_diff(b)).max().unwrap()
}

/// Without a part of the coded data, which ends with the end mark, the file is rejected.
fn check_parts_missing(folder: &Path, name: &str) {
    let whole = fs::read(folder.join("film.jpg")).unwrap();
    let scan = whole.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
    let (n_coded, cut) = (whole.len() - 2 - scan, folder.join("cut.jpg"));
    for percent in [10, 50, 90] {
        fs::write(&cut, [&whole[..scan + n_coded * percent / 100], &[0xFF, 0xD9]].concat()).unwrap();
        let reason = ImageSource::from(&*cut).open(&LoadOptions::default()).map(|_| ()).expect_err(name);
        assert!(reason.starts_with("truncated") || reason.starts_with("damaged"), "{name}: {reason}");
    }
}

#[test]
fn every_structure_is_decoded_as_libjpeg_turbo_decodes_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // A grey picture in the colours of a film: structure in luma, little chroma, so that the way of sampling chroma up
    // matters little, while a wrong order of blocks matters much.
    for (at, (width, height)) in SIZES.into_iter().enumerate() {
        let image = RgbImage::from_fn(width, height, |x, y| {
            let grey = (x * 5 + y * 3) % 200 + 20;
            image::Rgb([(grey + x * 30 / width) as u8, grey as u8, (grey + y * 30 / height) as u8])
        });
        let mut pnm = format!("P6 {width} {height} 255\n").into_bytes();
        pnm.extend(image.into_raw());
        fs::write(folder.join(format!("{at}.ppm")), pnm).unwrap();
    }
    fs::write(folder.join("scans.txt"), "0;\n1;\n2;\n").unwrap();
    if !run(folder, "cjpeg", &["-outfile", "test.jpg", "0.ppm"]) {
        eprintln!("skipped: no cjpeg; install libjpeg-turbo-progs");
        return;
    }
    let (mut n, mut n_refused, mut worst) = (0, 0, 0);
    for sampling in SAMPLINGS {
        for (coding, arguments) in CODINGS {
            for (at, size) in SIZES.iter().enumerate() {
                let (source, mut all) = (format!("{at}.ppm"), vec!["-quality", "90", "-sample", sampling]);
                all.extend(arguments);
                all.extend(["-outfile", "film.jpg", &source]);
                if !run(folder, "cjpeg", &all) {
                    // cjpeg refuses blocks of more than ten units.
                    continue;
                }
                assert!(run(folder, "djpeg", &["-outfile", "film.pnm", "film.jpg"]));
                let expected = fs::read(folder.join("film.pnm")).unwrap();
                match ImageSource::File(folder.join("film.jpg")).open(&LoadOptions::default()) {
                    Err(reason) => {
                        assert!(reason.starts_with("not read: it is"), "{sampling} {coding} {at}: {reason}");
                        n_refused += 1;
                    }
                    Ok(found) => {
                        let found = found.to_rgb8();
                        let n_bytes = found.as_raw().len();
                        let expected = expected[expected.len() - n_bytes..].to_vec();
                        let expected = RgbImage::from_raw(found.width(), found.height(), expected).unwrap();
                        let difference = difference_in_grey(found, expected);
                        worst = worst.max(difference);
                        assert!(difference <= MAX_DIFFERENCE, "{sampling} {coding} {:?}: {difference}", size);
                        n += 1;
                        check_parts_missing(folder, &format!("{sampling} {coding} {size:?}"));
                    }
                }
            }
        }
    }
    eprintln!("{n} files, {n_refused} refused by name, largest difference {worst}");
    assert!(n > 100, "{n}");
}
