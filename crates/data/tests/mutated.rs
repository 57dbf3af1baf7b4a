//! A thousand mutated files: none causes a panic or uses a gigabyte, and each bad one is named.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use roentgen_data::{DataError, LoadOptions, load_dataset, silent};
use roentgen_tensor::rng::{CounterRng, Purpose};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

const IMAGES: usize = 700;
const ARCHIVES: usize = 150;
const MANIFESTS: usize = 150;

fn encoded_image(number: u32, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(60 + number % 7, 50, |x, y| {
        let wave = (x * (3 + number % 5) + y * (2 + number % 3) + number * 11) % 256;
        Rgb([wave as u8, (wave / 2) as u8, (255 - wave) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Damages a file: flipped bits; zero, missing, doubled, huge or exchanged bytes; a truncated end.
fn damage_bytes(bytes: &[u8], rng: &mut CounterRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = rng.below(bytes.len() as u32) as usize;
    let length = (1 + rng.below(40) as usize).min(bytes.len() - at);
    match rng.below(8) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at..at + length].fill(0),
        2 => bytes[at..at + length].fill(0xFF),
        3 => drop(bytes.drain(at..at + length)),
        4 => {
            let copy = bytes[at..at + length].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => bytes.truncate(at),
        6 => (0..1 + rng.below(30)).for_each(|_| {
            let at = rng.below(bytes.len() as u32) as usize;
            bytes[at] = rng.below(256) as u8;
        }),
        _ => {
            // The sizes are at the front.
            let at = rng.below(bytes.len().min(40) as u32) as usize;
            bytes[at] = rng.below(256) as u8;
        }
    }
    bytes
}

/// Gives every chunk of a png the right checksum, so that the decoder reads its content.
fn with_right_checksums(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(head) = png.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(content) = at.checked_add(8 + length).and_then(|end| png.get(at + 4..end)) else { break };
        let checksum = crc32fast::hash(content).to_be_bytes();
        let end = at + 8 + length;
        let Some(stored) = png.get_mut(end..end + 4) else { break };
        stored.copy_from_slice(&checksum);
        at = end + 4;
    }
    png
}

fn archive(rng: &mut CounterRng) -> Vec<u8> {
    let npy = |shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    let pixels: Vec<u8> = (0..12 * 28 * 28).map(|_| rng.below(256) as u8).collect();
    let labels: Vec<u8> = (0..12).map(|image| image % 2).collect();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in
        [("train_images.npy", npy("(12, 28, 28)", &pixels)), ("train_labels.npy", npy("(12, 1)", &labels))]
    {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        // Before compression, so that the checksum of the archive is right.
        let bytes = if rng.below(2) == 0 { damage_bytes(&bytes, rng) } else { bytes };
        zip.write_all(&bytes).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    if rng.below(2) == 0 { damage_bytes(&bytes, rng) } else { bytes }
}

/// The peak memory of this process, where the system reports it.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}

/// Whether a file is rejected; the error names it.
fn is_rejected(path: &Path) -> bool {
    match load_dataset(path, &LoadOptions::default(), &silent) {
        Ok(_) => false,
        Err(error) => {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(error.to_string().contains(&name), "{error}");
            true
        }
    }
}

#[test]
fn a_thousand_mutated_files_give_data_or_errors() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let rng = |number: usize| CounterRng::new(0, Purpose::Synthetic, 77, number as u64);
    let data = root.join("data");
    for class in ["a", "b"] {
        fs::create_dir_all(data.join(class)).unwrap();
        // Good images, so that no class is empty.
        for number in 0..4 {
            fs::write(
                data.join(class).join(format!("good{number}.png")),
                encoded_image(900 + number, ImageFormat::Png),
            )
            .unwrap();
        }
    }
    for number in 0..IMAGES {
        let mut rng = rng(number);
        let (name, bytes) = match number % 3 {
            0 => ("png", damage_bytes(&encoded_image(number as u32, ImageFormat::Png), &mut rng)),
            1 => (
                "png",
                with_right_checksums(damage_bytes(&encoded_image(number as u32, ImageFormat::Png), &mut rng)),
            ),
            _ => ("jpg", damage_bytes(&encoded_image(number as u32, ImageFormat::Jpeg), &mut rng)),
        };
        let class = if number % 2 == 0 { "a" } else { "b" };
        fs::write(data.join(class).join(format!("{number}.{name}")), bytes).unwrap();
    }
    let Err(DataError::BadFiles { files, total }) = load_dataset(&data, &LoadOptions::default(), &silent)
    else {
        panic!("bad files are an error");
    };
    assert_eq!(total, IMAGES + 8);
    assert!(files.iter().all(|bad| !bad.reason.is_empty() && bad.path.is_file()));
    assert!(!files.iter().any(|bad| bad.path.file_name().unwrap().to_string_lossy().starts_with("good")));
    assert!(files.len() > IMAGES / 3, "{} of {IMAGES} are found", files.len());
    // With skip_bad the others are loaded.
    let options = LoadOptions { skip_bad: true, ..LoadOptions::default() };
    let loaded = load_dataset(&data, &options, &silent).expect("the good files are loaded");
    let n_used = loaded.train.len() + loaded.val.len() + loaded.test.len();
    assert_eq!(n_used + files.len(), total);

    let mut n_rejected = 0;
    for number in 0..ARCHIVES {
        let path = root.join(format!("{number}.npz"));
        fs::write(&path, archive(&mut rng(10_000 + number))).unwrap();
        n_rejected += u32::from(is_rejected(&path));
    }
    let rows =
        |class: &str| (0..4).map(|n| format!("data/{class}/good{n}.png,{class}\n")).collect::<String>();
    let manifest = format!("path,label\n{}{}", rows("a"), rows("b"));
    for number in 0..MANIFESTS {
        let path = root.join(format!("{number}.csv"));
        fs::write(&path, damage_bytes(manifest.as_bytes(), &mut rng(20_000 + number))).unwrap();
        // The error may be about an image of the list; then it names that image.
        if let Err(error) = load_dataset(&path, &LoadOptions::default(), &silent) {
            let text = error.to_string();
            assert!(text.contains(&root.display().to_string()), "{text}");
            n_rejected += 1;
        }
    }
    println!(
        "{} of {IMAGES} images and {n_rejected} of {} archives and manifests are rejected",
        files.len(),
        ARCHIVES + MANIFESTS
    );
    assert!(n_rejected > 50, "{n_rejected}");
    if let Some(peak) = peak_bytes() {
        println!("the peak memory is {} MiB", peak >> 20);
        assert!(peak < 1 << 30, "{} MiB", peak >> 20);
    }
}
