//! `report.html` of a run: one file without links to elsewhere, with the metrics of `metrics.json`.
#![forbid(unsafe_code)]

use std::fs;

use tempfile::TempDir;

use program::{roentgen, text, train, write_pictures};

#[path = "support/program.rs"]
mod program;

/// Every image, link and style that a page refers to.
fn references(page: &str) -> Vec<&str> {
    let attributes = ["src=\"", "href=\"", "url(", "@import"];
    let after =
        |attribute: &'static str| page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap());
    attributes.into_iter().flat_map(after).collect()
}

#[test]
fn a_report_is_one_file_with_the_metrics_of_the_run() {
    let folder = TempDir::new().unwrap();
    let metrics = train(&["--films", "240", "--epochs", "2", "--out", "run"], folder.path());
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    let references = references(&page);
    assert!(references.len() > 20, "images and links: {}", references.len());
    for reference in references {
        let is_inside = reference.starts_with("data:image/jpeg;base64,") || reference.starts_with('#');
        assert!(is_inside, "{}", &reference[..reference.len().min(80)]);
    }
    assert!(
        !page.contains("<script") && !page.contains(" onload=") && !page.contains(" onclick="),
        "no script"
    );
    let test = &metrics["test"];
    let accuracy = format!("{:.1} %", 100.0 * test["accuracy"].as_f64().unwrap());
    for shown in [&accuracy, "of 60 test images", "Not for clinical use", "Least certain", "ROC: each class"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    let auc = format!("{:.3}", test["macro_roc_auc"].as_f64().unwrap());
    assert!(page.contains(&format!("<td>macro ROC AUC</td><td>{auc}</td>")), "{auc}");
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(page.contains(config.lines().next().unwrap()), "the page contains the settings");
    assert!(page.contains("class=\"tip\""), "curves show their values");
    let n_images = page.matches("Grad-CAM over").count();
    assert!((12..=24).contains(&n_images), "{n_images} images with a heat map");
}

#[test]
fn class_names_are_escaped() {
    let folder = TempDir::new().unwrap();
    let classes = [("<img src=x onerror=alert(1)>", 20), ("a & \"b\"", 20)];
    write_pictures(folder.path(), "data/train", &classes);
    write_pictures(folder.path(), "data/test", &classes);
    train(&["--data", "data", "--out", "run"], folder.path());
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;") && page.contains("a &amp; &quot;b&quot;"));
    assert!(!page.contains("<img src=x"), "a class name must not become a tag");
}

#[test]
fn runs_without_test_or_validation_have_a_report_too() {
    let folder = TempDir::new().unwrap();
    write_pictures(folder.path(), "data", &[("ill", 20), ("well", 20)]);
    for (name, flags, sentence) in [
        ("no-test", &["--test-fraction", "0"][..], "There is no test set"),
        ("nothing", &["--test-fraction", "0", "--val-fraction", "0"], "no image was left to test it on"),
    ] {
        train(&[&["--data", "data", "--out", name], flags].concat(), folder.path());
        let page = fs::read_to_string(folder.path().join(name).join("report.html")).unwrap();
        assert!(page.contains(sentence), "{name}");
    }
    let output = roentgen(&["train", "--films", "60", "--epochs", "1", "--width", "8"], folder.path());
    assert!(text(&output.stdout).contains("report.html"), "the run prints where it is");
}
