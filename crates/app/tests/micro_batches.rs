//! `--micro-batches`: batches that are computed in shards.

use std::fs;

use crate::program::{refuses, train};

#[test]
fn a_number_of_shards_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    refuses(&["train", "--micro-batches", "6"], 2, &["micro-batches is 6", "a power of two"], folder.path());
    let small = ["train", "--films", "24", "--batch", "8", "--micro-batches", "16"];
    refuses(&small, 2, &["--micro-batches 16 leaves 0 images", "batch of 8"], folder.path());
    // 27 images in an epoch of two batches.
    let oversampled = "train --films 24 --batch 24 --micro-batches 16 --oversample-hard 2".split(' ');
    let words = ["--micro-batches 16 leaves 0 images", "batch of 13"];
    refuses(&oversampled.collect::<Vec<_>>(), 2, &words, folder.path());
    let of_one_pixel = ["train", "--films", "24", "--batch", "8", "--micro-batches", "8", "--size", "8"];
    refuses(&of_one_pixel, 2, &["--micro-batches 8 leaves 1 image of 8 pixels"], folder.path());
}

#[test]
fn a_model_trained_in_shards_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    // 30 films in batches of 15: the shards of a batch have 4, 4, 4 and 3 images.
    let model = |micro_batches: &str, threads: &str, out: &str| {
        let args = ["--films", "30", "--batch", "15", "--epochs", "2", "--no-audit", "--out", out];
        train(
            &[&args, &["--micro-batches", micro_batches, "--threads", threads][..]].concat(),
            folder.path(),
        );
        fs::read(folder.path().join(out).join("model.safetensors")).unwrap()
    };
    let one = model("4", "1", "a");
    assert!(one == model("4", "3", "b"));
    assert!(one != model("1", "1", "c"), "batch statistics of a shard are not those of the batch");
}
