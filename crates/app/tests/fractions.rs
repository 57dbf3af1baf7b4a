//! Shares of the images: those of sets that are split off, and those of the classes.

use std::fs;

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

#[test]
fn a_class_without_a_test_image_is_named_by_train_evaluate_and_the_report() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("covid", 20), ("normal", 20), ("sick", 20)]);
    // Other images: their noise depends on the position of the class.
    write_images(here, "others", &[("a", 0), ("b", 0), ("c", 0), ("normal", 12), ("sick", 12)]);
    ["a", "b", "c"].iter().for_each(|class| fs::remove_dir(here.join("others").join(class)).unwrap());
    let said = |args: &str| {
        let output = roentgen(&args.split(' ').collect::<Vec<_>>(), here);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let trained = said("train films --test others --epochs 1 --width 8 --out run");
    let of_data = "the test set (24 images) has no image of `covid`";
    assert!(trained.contains(of_data), "{trained}");
    let of_metrics = "there is no image of `covid`: balanced accuracy, macro F1 and macro ROC AUC are means";
    let of_baseline = "than that of always predicting the most frequent class, 50.0 %.";
    assert!(trained.contains(of_metrics) && trained.contains(of_baseline), "{trained}");
    let evaluated = said("evaluate run others");
    assert!(evaluated.contains(of_metrics) && evaluated.contains(of_baseline), "{evaluated}");
    let page = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(page.contains("There is no image of <code>covid</code>: balanced accuracy"), "the report too");
}

#[test]
fn inspect_names_the_sizes_of_sets_that_whole_patients_make_larger() {
    let folder = TempDir::new().unwrap();
    let note = |patients: &[(&str, u32)], data: &str| {
        write_images(folder.path(), data, patients);
        let output = roentgen(&["inspect", data, "--json", "--quiet"], folder.path());
        let inspected: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        inspected["notes"].to_string()
    };
    let large =
        ["normal/p1", "normal/p2", "normal/p3", "sick/p4", "sick/p5", "sick/p6"].map(|name| (name, 8));
    let sizes =
        "stays in one set, so the validation set has 16 of 48 images and the test set has 16 of 48 images";
    let said = note(&large, "large");
    assert!(said.contains("10 % as the test set") && said.contains(sizes), "{said}");
    let said = note(&[("normal", 24), ("sick", 24)], "single");
    assert!(said.contains("stays in one set\""), "{said}");
}
