//! The smaller commands: describe, lr-find, completions, man; TensorBoard's file; the number of phantom films; file names.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train, write_images};

fn said(args: &[&str], folder: &TempDir) -> String {
    let output = roentgen(args, folder.path());
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn describe_adds_up() {
    let folder = TempDir::new().unwrap();
    let figures = train(&["--films", "60", "--out", "run"], folder.path());
    let json: Value =
        serde_json::from_str(&said(&["describe", "run", "--json", "--quiet"], &folder)).unwrap();
    assert_eq!(json["parameters"], figures["n_parameters"]);
    let sum: u64 =
        json["layers"].as_array().unwrap().iter().map(|layer| layer["multiply_adds"].as_u64().unwrap()).sum();
    assert_eq!(json["multiply_adds"], sum);
    // conv1: 24 x 24 places, 9 taps, 1 to 8 channels.
    assert_eq!(json["layers"][0]["multiply_adds"], 24 * 24 * 9 * 8);
    assert_eq!(json["layers"][7]["output"], serde_json::json!([3, 3, 64]));
    assert_eq!(json["card"]["trained_on"]["n_train"], 60);
    let digest = blake3::hash(&fs::read(folder.path().join("run/model.safetensors")).unwrap()).to_hex();
    assert_eq!(json["digest"], digest.as_str());
    assert!(said(&["describe", "run"], &folder).contains("rejects images unlike"));
}

#[test]
fn lr_find_suggests_a_rate_and_draws_its_curve() {
    let folder = TempDir::new().unwrap();
    let args = ["lr-find", "phantom", "--width", "8", "--out", "rates.svg", "--json", "--quiet"];
    let json: Value = serde_json::from_str(&said(&args, &folder)).unwrap();
    let rate = |key: &str| json[key].as_f64().unwrap();
    assert!((1e-4..=0.5).contains(&rate("max_lr")), "{}", rate("max_lr"));
    assert!(
        rate("lr_at_min_loss") <= rate("max_lr") * 1.05 && rate("max_lr") <= rate("lr_at_divergence") * 1.05
    );
    let steps = json["steps"].as_array().unwrap();
    assert!(steps.windows(2).all(|pair| pair[0][0].as_f64() < pair[1][0].as_f64()));
    let svg = fs::read_to_string(folder.path().join("rates.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("xmlns") && svg.ends_with("</svg>"));
    assert!(said(&["lr-find", "phantom", "--width", "8"], &folder).contains("--lr "));
}

#[test]
fn shells_and_man_know_every_command() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(said(&["completions", shell], &folder).contains("lr-find"), "{shell}");
    }
    assert!(said(&["man"], &folder).contains(".TH roentgen"));
    said(&["man", "--out", "pages"], &folder);
    for page in ["roentgen.1", "roentgen-train.1", "roentgen-data-phantom.1"] {
        assert!(folder.path().join("pages").join(page).exists(), "{page}");
    }
}

#[test]
fn tensorboard_gets_a_record_per_epoch() {
    let folder = TempDir::new().unwrap();
    train(&["--films", "60", "--epochs", "3", "--tensorboard", "--out", "run"], folder.path());
    let bytes = fs::read(folder.path().join("run/tensorboard/events.out.tfevents.0.roentgen")).unwrap();
    let (mut rest, mut n_records) = (&bytes[..], 0);
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        rest = &after[4 + u64::from_le_bytes(*length) as usize + 4..];
        n_records += 1;
    }
    assert_eq!((n_records, rest.len()), (1 + 3, 0), "the version of the file, then the epochs");
}

#[test]
fn the_number_of_films_is_for_phantom_films_alone() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 12), ("well", 12)]);
    for command in ["train", "inspect", "audit", "lr-find"] {
        refuses(&[command, "films", "--films", "30"], 2, &["--films cannot be used with DATA"], here);
    }
    for command in ["inspect", "audit", "lr-find"] {
        let args = [command, "phantom", "--films", "24", "--size", "8", "--quiet"];
        let output = roentgen(&args, here);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
}

#[test]
fn other_images_with_the_names_of_the_training_images_are_evaluated_whole() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("ill", 24), ("well", 20)]);
    train(&["--data", "films", "--out", "run"], folder.path());
    let other = folder.path().join("other");
    for (from, to) in [("ill", "well"), ("well", "ill")] {
        fs::create_dir_all(other.join(to)).unwrap();
        for entry in fs::read_dir(folder.path().join("films").join(from)).unwrap() {
            let path = entry.unwrap().path();
            let mut film = image::open(&path).unwrap().to_luma8();
            image::imageops::flip_vertical_in_place(&mut film);
            film.save(other.join(to).join(path.file_name().unwrap())).unwrap();
        }
    }
    // 24 and 20 films: the four names that only one class has are added to the other.
    for number in 20..24 {
        let name = format!("film{number}.png");
        fs::rename(other.join("well").join(&name), other.join("ill").join(&name)).unwrap();
    }
    let output = roentgen(&["evaluate", "run", "other", "--json"], folder.path());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["test"]["n"], &found["n_seen"]), (&44.into(), &0.into()), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("other: all images, 44 images"), "{}", text(&output.stderr));
}
