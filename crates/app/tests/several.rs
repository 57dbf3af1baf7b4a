//! Commands that train more than once: each training is the same as if it were alone, and what was interrupted goes on to the
//! same bytes.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train, write_images};

/// What has to be the same to the byte.
const FILES: [&str; 7] = [
    "model.safetensors",
    "model-last.safetensors",
    "log.jsonl",
    "predictions.jsonl",
    "predictions_val.jsonl",
    "config.toml",
    "data.json",
];

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&read(folder, name)).unwrap()
}

fn assert_same(folder: &Path, one: &str, other: &str) {
    for name in FILES {
        assert!(
            read(&folder.join(one), name) == read(&folder.join(other), name),
            "{one} and {other}: {name}"
        );
    }
}

#[test]
fn every_seed_is_the_run_of_that_seed_alone() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    // The validation and the test set are split off by the seed.
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    let printed = train(&["films", "--seeds", "2..4", "--out", "seeds"], here);
    for seed in ["2", "3", "4"] {
        let out = format!("alone-{seed}");
        train(&["films", "--seed", seed, "--out", &out], here);
        assert_same(here, &format!("seeds/seed-{seed}"), &out);
    }
    assert_ne!(read(here, "seeds/seed-2/predictions.jsonl"), read(here, "seeds/seed-3/predictions.jsonl"));
    assert_eq!((&printed["n_seeds"], json(here, "seeds/metrics.json")), (&3.into(), printed.clone()));
    let accuracies: Vec<f64> = ["2", "3", "4"]
        .iter()
        .map(|seed| json(here, &format!("alone-{seed}/metrics.json"))["test"]["accuracy"].as_f64().unwrap())
        .collect();
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    let sd = (accuracies.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    for (key, expected) in [("mean", mean), ("sd", sd)] {
        let found = printed[key]["accuracy"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{key}: {found}, expected {expected}");
    }
    assert_eq!((&printed["seeds"][1]["seed"], &printed["seeds"][1]["main_set"]), (&3.into(), &"test".into()));
}

#[test]
fn seeds_that_were_broken_off_go_on_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let args = ["--films", "40", "--pseudonyms", "--seeds", "0..1", "--out"];
    let whole = train(&[&args[..], &["whole"]].concat(), here);
    // As if it had been killed in the second training, before its first checkpoint.
    for entry in ["metrics.json", "seed-1/metrics.json", "seed-1/model.safetensors", "seed-1/log.jsonl"] {
        fs::remove_file(here.join("whole").join(entry)).unwrap();
    }
    // Edited after the first training had ended.
    let settings = read(here, "whole/config.toml");
    let edited = String::from_utf8(settings.clone()).unwrap().replace("max-lr = 0.01\n", "max-lr = 0.02\n");
    fs::write(here.join("whole/config.toml"), edited).unwrap();
    let resume = ["train", "--resume", "whole", "--quiet"];
    refuses(&resume, 2, &["whole/seed-0: its max-lr is 0.01", "now have 0.02"], here);
    fs::write(here.join("whole/config.toml"), settings).unwrap();
    // As if the first one had been killed at its very end.
    let left = ["checkpoint.bin", ".lock"].map(|name| here.join("whole/seed-0").join(name));
    left.iter().for_each(|file| fs::write(file, "").unwrap());
    let first = read(here, "whole/seed-0/times.jsonl");
    let second = read(here, "whole/seed-1/predictions.jsonl");
    let output = roentgen(&["train", "--resume", "whole", "--json"], here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    for words in ["seed 0, 1 of 2", "again: whole/seed-0 has ended", "test set, over 2 seeds", "sd"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(left.iter().all(|file| !file.exists()), "{left:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), whole);
    assert_eq!(
        (read(here, "whole/seed-0/times.jsonl"), read(here, "whole/seed-1/predictions.jsonl")),
        (first, second)
    );
    refuses(&["train", "--resume", "whole"], 2, &["the run is finished", "whole/metrics.json"], here);
}

#[test]
fn a_seed_begins_with_the_initial_weights_of_the_others() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "40", "--out", "first"], here);
    train(&["--films", "40", "--max-lr", "0.02", "--out", "second"], here);
    train(&["--films", "40", "--seeds", "0..1", "--init", "first", "--out", "whole"], here);
    // As if it had been killed before the second training.
    fs::remove_file(here.join("whole/metrics.json")).unwrap();
    fs::remove_dir_all(here.join("whole/seed-1")).unwrap();
    let initial = read(here, "first/model.safetensors");
    fs::copy(here.join("second/model.safetensors"), here.join("first/model.safetensors")).unwrap();
    let resume = ["train", "--resume", "whole", "--quiet"];
    refuses(&resume, 2, &["whole: the file of --init is no longer the one that it began with"], here);
    fs::write(here.join("first/model.safetensors"), initial).unwrap();
    let output = roentgen(&resume, here);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn seeds_that_make_no_sense_are_refused() {
    let folder = TempDir::new().unwrap();
    let both = "--seed cannot be used with --seeds: one model is trained for each of several seeds";
    for (args, words) in [
        ("--seeds 4", "'4' for '--seeds <FIRST..LAST>': expected FIRST..LAST, both included"),
        ("--seeds 4..4", "at least 2 and at most 1000 seeds"),
        ("--seeds 0..1000000", "at least 2 and at most 1000 seeds"),
        ("--seeds 0..4 --seed 3", both),
        ("films --seeds 0..4 --folds 5", "--seeds cannot be used with --folds"),
    ] {
        let args: Vec<&str> = ["train"].into_iter().chain(args.split(' ')).collect();
        refuses(&args, 2, &[words], folder.path());
    }
    write_images(folder.path(), "films", &[("ill", 12), ("well", 12)]);
    let untested = ["train", "films", "--seeds", "0..1", "--test-fraction", "0", "--out", "run"];
    refuses(&untested, 2, &["there are no test images"], folder.path());
}
