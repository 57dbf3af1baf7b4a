//! The training images that are nearest to an image, in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::tests::{RUN, json};
use crate::config::TrainConfig;
use crate::serve::site::Site;
use crate::serve::tests::{ask, train_in};

/// Writes an image, another one for each number.
fn film(path: &Path, number: u32) {
    let image = image::GrayImage::from_fn(48, 40, |x, y| {
        let stripes = if number.is_multiple_of(2) { x * (3 + number) } else { y * (3 + number) };
        image::Luma([(stripes + number * 7) as u8])
    });
    image.save(path).expect("an image");
}

/// A folder with a run, and the folder of the images that it was trained on.
fn trained_on_files() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    for (class, first) in [("a", 0), ("b", 20)] {
        fs::create_dir_all(data.join("train").join(class)).expect("a folder");
        fs::create_dir_all(data.join("test").join(class)).expect("a folder");
        for number in 0..10 {
            film(&data.join(format!("train/{class}/{number}.png")), first + number);
        }
        film(&data.join(format!("test/{class}/0.png")), first + 12);
    }
    let config =
        TrainConfig { data: data.clone(), val_fraction: Some(0.0), size: 32, ..TrainConfig::default() };
    train_in(&folder, &config);
    (folder, data)
}

/// What `GET training-images` answers when it is not working any more.
async fn state_of_training_images(site: &Site) -> Value {
    for _ in 0..600 {
        let (status, _, body) = ask(site, "GET", &format!("{RUN}/training-images"), Vec::new()).await;
        let answer = json(&body);
        assert_eq!(status, StatusCode::OK, "{answer}");
        if answer["state"] != "working" {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the training images are never ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_training_image_of_a_training_image_is_itself() {
    let (folder, data) = trained_on_files();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let film = fs::read(data.join("train/a/3.png")).expect("an image");
    let (status, _, _) = ask(&site, "POST", &format!("{RUN}/nearest"), film.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT, "nothing is read before it is asked for");
    let answer = state_of_training_images(&site).await;
    assert_eq!((&answer["state"], &answer["text"]), (&"ready".into(), &"".into()));
    let (status, _, body) = ask(&site, "POST", &format!("{RUN}/nearest"), film).await;
    let near = json(&body);
    assert_eq!(status, StatusCode::OK);
    let near = near.as_array().expect("a list");
    assert!(
        near.len() == 5 && near[0]["name"].as_str().is_some_and(|name| name.ends_with("3.png")),
        "{near:?}"
    );
    assert!(near[0]["class"] == "a" && near[0]["similarity"].as_f64() > Some(0.999), "{near:?}");
    assert!(
        near.is_sorted_by(|one, next| one["similarity"].as_f64() >= next["similarity"].as_f64()),
        "{near:?}"
    );
    let (status, kind, jpeg) =
        ask(&site, "GET", &format!("{RUN}/training-images/{}", near[0]["image"]), Vec::new()).await;
    assert!(status == StatusCode::OK && kind == "image/jpeg", "{status}");
    image::load_from_memory(&jpeg).expect("a picture");
    let (status, _, _) = ask(&site, "GET", &format!("{RUN}/training-images/99"), Vec::new()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_since_is_not_shown_as_the_training_image() {
    let (folder, data) = trained_on_files();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    assert_eq!(state_of_training_images(&site).await["state"], "ready");
    let path = data.join("train/a/3.png");
    let (_, _, near) =
        ask(&site, "POST", &format!("{RUN}/nearest"), fs::read(&path).expect("an image")).await;
    image::GrayImage::from_pixel(48, 40, image::Luma([255])).save(path).expect("an image");
    let (status, _, jpeg) =
        ask(&site, "GET", &format!("{RUN}/training-images/{}", json(&near)[0]["image"]), Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    let picture = image::load_from_memory(&jpeg).expect("a picture").to_luma8();
    assert!(picture.pixels().any(|pixel| pixel.0[0] < 128), "the white image");
}

#[tokio::test(flavor = "multi_thread")]
async fn training_images_that_are_gone_or_changed_are_not_shown() {
    let (folder, data) = trained_on_files();
    film(&data.join("train/a/3.png"), 77);
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let answer = state_of_training_images(&site).await;
    assert!(answer["text"].as_str().is_some_and(|text| text.starts_with("1 image")), "{answer}");
    fs::remove_dir_all(&data).expect("a folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let answer = state_of_training_images(&site).await;
    assert_eq!(answer["state"], "unavailable");
    assert!(answer["text"].as_str().is_some_and(|text| text.contains("cannot be read any more")), "{answer}");
}
