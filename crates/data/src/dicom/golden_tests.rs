//! Every readable test file of pydicom gives the pixels that pydicom gives; `tests/dicom_golden.py` wrote the figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::DynamicImage;

use super::{header, image_of, parse};
use crate::options::SizeLimits;

/// Where the files may be: `ROENTGEN_DICOM_FILES`, folders separated by colons, else Debian's package python3-pydicom.
const DEBIAN: &str = "/usr/lib/python3/dist-packages/pydicom/data/test_files";
/// Files that pydicom reads and this crate does not: what they are, and the words that the error must have.
const NOT_READ: [(&str, &str); 6] = [
    ("a last fragment that is longer than the rest of the file", "truncated"),
    ("32 bits a sample", "32 bits"),
    ("1 bits a sample", "1 bits"),
    ("16 bits and colour", "of colour images 8"),
    ("palettes", "colour space"),
    ("12-bit JPEG and colour JPEG-LS", "which is not read; convert"),
];

fn files() -> Vec<PathBuf> {
    let folders = std::env::var("ROENTGEN_DICOM_FILES").unwrap_or_else(|_| DEBIAN.to_owned());
    let mut files: Vec<PathBuf> = folders
        .split(':')
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "dcm"))
        .collect();
    files.sort();
    files
}

/// Width, height, checksum and mean of the displayed pixels, whatever kind of image it is.
fn displayed(path: &Path) -> Result<(u32, u32, u32, f64), String> {
    let object = parse(&fs::read(path).unwrap(), &SizeLimits::default())?;
    let layout = header::pixel_layout(&object)?;
    let image = image_of(&object, &layout)?;
    let (values, bytes): (Vec<f64>, Vec<u8>) = match &image {
        DynamicImage::ImageLuma16(grey) => (
            grey.iter().map(|&value| f64::from(value)).collect(),
            grey.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ),
        other => {
            (other.as_bytes().iter().map(|&value| f64::from(value)).collect(), other.as_bytes().to_vec())
        }
    };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Ok((image.width(), image.height(), crc32fast::hash(&bytes), mean))
}

#[test]
fn the_files_of_pydicom_are_displayed_as_pydicom_displays_them() {
    let golden: BTreeMap<u32, Vec<&str>> = include_str!("../../tests/dicom_golden.csv")
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|cells| (u32::from_str_radix(cells[0], 16).unwrap(), cells))
        .collect();
    let files = files();
    if files.is_empty() {
        eprintln!("skipped: no DICOM files; install python3-pydicom or set ROENTGEN_DICOM_FILES");
        return;
    }
    let (mut n_exact, mut n_close, mut n_not_read) = (0, 0, 0);
    let mut wrong = Vec::new();
    for path in &files {
        let Some(cells) = golden.get(&crc32fast::hash(&fs::read(path).unwrap())) else { continue };
        let (width, height, checksum, mean) = match displayed(path) {
            Ok(found) => found,
            Err(error) if NOT_READ.iter().any(|(_, words)| error.contains(words)) => {
                n_not_read += 1;
                continue;
            }
            Err(error) => {
                wrong.push(format!("{}: {error}", cells[1]));
                continue;
            }
        };
        let is_same_size = (width.to_string(), height.to_string()) == (cells[3].into(), cells[4].into());
        let expected_mean: f64 = cells[6].parse().unwrap();
        let is_same = match cells[2] {
            "exact" => u32::from_str_radix(cells[5], 16).unwrap() == checksum,
            // A quarter of a grey level of 8 bits, in the units of the image.
            _ => (mean - expected_mean).abs() <= if expected_mean > 255.0 { 64.0 } else { 0.25 },
        };
        match (is_same && is_same_size, cells[2]) {
            (true, "exact") => n_exact += 1,
            (true, _) => n_close += 1,
            (false, _) => {
                wrong.push(format!("{}: {width}x{height}, mean {mean:.3}, expected {cells:?}", cells[1]))
            }
        }
    }
    eprintln!("{n_exact} files exact, {n_close} close, {n_not_read} not read by design");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_exact >= 10, "too few files compared: {n_exact}");
}
