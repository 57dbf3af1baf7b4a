//! Trains on images in memory: an `ndarray` of pixels and a label for each image.
//!
//! `cargo run --example train_on_arrays`
#![forbid(unsafe_code)]

use std::error::Error;

use roentgen::data::ArrayImages;
use roentgen::ndarray::Array4;
use roentgen::{Screen, TrainConfig};

const CLASSES: [&str; 3] = ["horizontal", "vertical", "checked"];
const N: usize = 240;
const SIDE: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let labels: Vec<u32> = (0..N).map(|n| (n % CLASSES.len()) as u32).collect();
    let images = Array4::from_shape_fn((N, SIDE, SIDE, 1), |(n, y, x, _)| stripes(n, y, x));
    let arrays = ArrayImages {
        images: images.view(),
        labels: &labels,
        class_names: &CLASSES,
        subsets: None,
        patients: None,
    };
    let config = TrainConfig { data: "stripes".into(), width: 8, epochs: Some(6), ..TrainConfig::default() };

    let screen = Screen::terminal();
    let data = roentgen::load_arrays(&config, &arrays, &screen)?;
    let folder = tempfile::tempdir()?;
    let run = roentgen::train(&config, &data, &folder.path().join("run"), &screen)?;

    let test = run.test.ok_or("no image was split off for the test")?;
    println!("{} of {} test images are classified correctly", test.confusion.n_correct(), test.confusion.n());
    Ok(())
}

/// A pixel of image `n`: stripes of its class, with a width, a phase and a noise of its own.
fn stripes(n: usize, y: usize, x: usize) -> u8 {
    let (period, phase) = (6 + n / 3 % 7, n / 21);
    let in_stripe = |at: usize| (at + phase) % period < period / 2;
    let is_bright = match n % CLASSES.len() {
        0 => in_stripe(y),
        1 => in_stripe(x),
        _ => in_stripe(y) != in_stripe(x),
    };
    let noise = (n * 7919 + y * 104_729 + x * 1_299_709) % 61;
    if is_bright { 160 + noise as u8 } else { 30 + noise as u8 }
}
