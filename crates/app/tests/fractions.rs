//! Shares of the images: those of sets that are split off, and those of the classes.

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{roentgen, text, train, write_images};

#[test]
fn the_class_prior_counts_hard_examples_as_often_as_they_are_used() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("common", 40), ("rare", 6)]);
    let args = ["films", "--oversample-hard", "10", "--out", "run"];
    let metrics = train(&args, folder.path());
    let prior = &metrics["class_prior"];
    let share = |of: &str| prior[of]["rare"].as_f64().unwrap();
    // No image of so small a class is repeated.
    assert!(share("predictions") < 0.7 * share("training_set"), "{prior}");
    let described = text(&roentgen(&["describe", "run"], folder.path()).stdout);
    assert!(described.contains("--oversample-hard"), "the model names what changed its prior: {described}");
}

#[test]
fn a_fraction_of_a_set_that_is_not_split_off_has_a_note() {
    let folder = TempDir::new().unwrap();
    for part in ["given/train", "given/val", "given/test", "plain"] {
        write_images(folder.path(), part, &[("normal", 12), ("sick", 12)]);
    }
    let notes = |args: &[&str]| {
        let args = [&["inspect"][..], args, &["--json", "--quiet"]].concat();
        let output = roentgen(&args, folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let inspected: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        inspected["notes"].to_string()
    };
    let both = ["--val-fraction", "0.2", "--test-fraction", "0.3"];
    let given = notes(&[&["given"], &both[..]].concat());
    assert!(given.contains("--val-fraction is not used: the data have a validation set"), "{given}");
    assert!(given.contains("--test-fraction is not used: the data have a test set"), "{given}");
    let other = notes(&[&["plain", "--test", "given/test"], &both[..]].concat());
    assert!(other.contains("--test-fraction is not used: --test has the test set"), "{other}");
    assert!(!other.contains("--val-fraction is not used"), "{other}");
    assert!(!notes(&["given"]).contains("is not used") && !notes(&["plain"]).contains("is not used"));
}
