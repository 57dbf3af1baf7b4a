//! Damaged images by the thousand, with names of any kind: each is answered, and the server goes on as before.

use std::io::Cursor;

use axum::http::StatusCode;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use roentgen_tensor::rng::{CounterRng, Purpose};
use serde_json::Value;

use super::layout::encoded;
use super::site::Site;
use super::tests::{ask, trained};

/// Uploads; a number in `ROENTGEN_TEST_MUTATIONS` replaces it.
const UPLOADS: u64 = 300;
const NAMES: [&str; 6] = ["film.png", "../../etc/passwd", "a\0b", "<img src=x>", "", "\u{202e}gnp.exe"];

fn images() -> Vec<Vec<u8>> {
    let image = GrayImage::from_fn(40, 36, |x, y| Luma([(x * 5 + y * 3) as u8]));
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Gif,
    ];
    let written = formats.map(|format| {
        let mut bytes = Cursor::new(Vec::new());
        let image = DynamicImage::ImageLuma8(image.clone()).to_rgb8();
        image.write_to(&mut bytes, format).expect("an image in memory");
        bytes.into_inner()
    });
    written.into()
}

/// Flips, removes, doubles or overwrites bytes in a few places, half of them in the headers.
fn damaged(mut bytes: Vec<u8>, rng: &mut CounterRng) -> Vec<u8> {
    for _ in 0..1 + rng.below(3) {
        let reach = if rng.below(2) == 0 { bytes.len().min(100) } else { bytes.len() };
        if reach == 0 {
            break;
        }
        let at = rng.below(reach as u32) as usize;
        let length = (1 + rng.below(40) as usize).min(bytes.len() - at);
        match rng.below(5) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at..at + length].fill(0xFF),
            2 => drop(bytes.drain(at..at + length)),
            3 => bytes.extend_from_within(at..at + length),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_uploads_are_answered_one_by_one() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let images = images();
    let address = |name: &str| format!("/api/v1/runs/my%20run/predict?name={}", encoded(name));
    let (_, _, before) = ask(&site, "POST", &address("film.png"), images[0].clone()).await;

    let wanted = std::env::var("ROENTGEN_TEST_MUTATIONS").ok();
    let n_uploads = wanted.map_or(UPLOADS, |number| number.parse().expect("a number"));
    let mut n_read = 0;
    for number in 0..n_uploads {
        let mut rng = CounterRng::new(number, Purpose::Synthetic, 0, 0);
        let bytes = damaged(images[number as usize % images.len()].clone(), &mut rng);
        let name = NAMES[rng.below(NAMES.len() as u32) as usize];
        let (status, kind, answer) = ask(&site, "POST", &address(name), bytes).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"), "upload {number}");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["path"], name);
        // Each is read, or not with a reason.
        assert_ne!(answer["rejected"].is_boolean(), answer["error"].is_string(), "upload {number}: {answer}");
        n_read += u64::from(answer["error"].is_null());
    }
    println!("{n_uploads} damaged uploads, {n_read} of them read as images");
    assert!(0 < n_read && n_read < n_uploads, "{n_read} of {n_uploads} were read");
    let (_, _, after) = ask(&site, "POST", &address("film.png"), images[0].clone()).await;
    assert_eq!(before, after, "another answer for the same image");
}
