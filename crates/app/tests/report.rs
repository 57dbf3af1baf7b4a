//! `report.html` of a run: one file without links to elsewhere, with the metrics of `metrics.json`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{GrayImage, Luma};
use tempfile::TempDir;

use crate::program::{roentgen, text, train, write_images};

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
    let formats = "One grey image: DICOM, png, jpeg, tiff, bmp, webp or gif";
    let rejects = "Images unlike the training images are rejected";
    let words =
        ["of 60 test images", "Not for clinical use", "Least certain", "ROC: each class", formats, rejects];
    for shown in words.into_iter().chain([accuracy.as_str()]) {
        assert!(page.contains(shown), "{shown}");
    }
    let auc = format!("{:.3}", test["macro_roc_auc"].as_f64().unwrap());
    assert!(page.contains(&format!("<td>macro ROC AUC</td><td>{auc}</td>")), "{auc}");
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(page.contains(config.lines().next().unwrap()), "the page contains the settings");
    assert!(page.contains("class=\"tip\""), "curves show their values");
    assert!(
        page.contains("none <span class=\"bar\" style=\"background: linear-gradient"),
        "heat maps have a legend"
    );
    let images = page.split("Worst errors").nth(1).unwrap().split("id=\"card\"").next().unwrap();
    assert!(!images.contains("100.0 %"), "no probability is certain");
    let n_images = page.matches("Grad-CAM over").count();
    assert!((12..=36).contains(&n_images), "{n_images} images with a heat map");
}

/// Writes square images of noise between two grey values: `n` in each class folder of `root`.
fn write_noise(root: &Path, n: u32, side: u32, values: [u8; 2]) {
    write_classes(root, ["normal", "pneumonia"], n, side, values);
}

/// The same with these classes.
fn write_classes(root: &Path, classes: [&str; 2], n: u32, side: u32, [low, high]: [u8; 2]) {
    for (class_idx, class) in classes.into_iter().enumerate() {
        fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..n {
            let mut state = 1 + i * 7 + class_idx as u32 * 1000 + u32::from(low);
            let image = GrayImage::from_fn(side, side, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Luma([if state >> 31 == 0 { low } else { high }])
            });
            image.save(root.join(class).join(format!("{i:02}.png"))).unwrap();
        }
    }
}

/// Mean and standard deviation of the grey values of each image without a heat map in a part of a page.
fn brightness(page: &str) -> Vec<[f64; 2]> {
    let images = page.split("src=\"data:image/jpeg;base64,").skip(1);
    let originals = images.filter_map(|rest| rest.split_once("\" alt=\"image ").map(|(data, _)| data));
    let originals = originals.filter(|data| !data.contains('"'));
    let statistics = |data: &str| {
        let image = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap().to_luma8();
        let n = f64::from(image.width() * image.height());
        let mean = image.pixels().map(|pixel| f64::from(pixel[0])).sum::<f64>() / n;
        let variance = image.pixels().map(|pixel| (f64::from(pixel[0]) - mean).powi(2)).sum::<f64>() / n;
        [mean, variance.sqrt()]
    };
    originals.map(statistics).collect()
}

#[test]
fn training_images_come_from_the_data_and_test_images_from_the_test_set() {
    let folder = TempDir::new().unwrap();
    // The same file names in both folders: bright to train on, dark to test on.
    write_noise(&folder.path().join("data"), 20, 40, [200, 250]);
    write_noise(&folder.path().join("other"), 20, 40, [0, 50]);
    for data in ["data", "other"] {
        let class = folder.path().join(data).join("normal");
        fs::rename(class.join("00.png"), class.join("person1_virus_1.png")).unwrap();
    }
    train(&["--data", ".", "--test", "../other", "--out", "../run"], &folder.path().join("data"));
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(page.contains("<title>Roentgen: model trained on data</title>"));
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(
        page.contains(&config.replace('"', "&quot;")),
        "the settings repeat the run in any folder: {config}"
    );
    let (training, test) = page.split_once("Worst errors").unwrap();
    let (training, test) = (brightness(training), brightness(test));
    assert!(training.len() >= 8 && test.len() >= 8, "{} and {} images", training.len(), test.len());
    assert!(training.iter().all(|[mean, _]| *mean > 150.0), "{training:?}");
    assert!(test.iter().all(|[mean, _]| *mean < 100.0), "{test:?}");
    assert!(!page.contains("was found in more than one set"), "person1 may be one patient");
}

#[test]
fn the_images_of_a_csv_file_are_shown_as_they_are() {
    let folder = TempDir::new().unwrap();
    write_noise(folder.path(), 20, 224, [0, 250]);
    let lines = ["normal", "pneumonia"].into_iter();
    let lines: String =
        lines.flat_map(|class| (0..20).map(move |i| format!("{class}/{i:02}.png,{class},\n"))).collect();
    // One cell of the patients is filled.
    let lines = lines.replacen(",\n", ",P1\n", 1);
    fs::write(folder.path().join("list.csv"), "path,label,patient\n".to_owned() + &lines).unwrap();
    train(&["--data", "list.csv", "--out", "run"], folder.path());
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    let shown = brightness(&page);
    assert!(shown.len() >= 10, "{} images", shown.len());
    // Reduced to 28 pixels, the noise would average out.
    assert!(shown.iter().all(|[_, deviation]| *deviation > 60.0), "{shown:?}");
    let found =
        "No image, and no known patient, was found in more than one set (patient unknown: 39 images).";
    assert!(page.contains(found));
}

#[test]
fn photographs_get_no_medical_words() {
    let folder = TempDir::new().unwrap();
    write_classes(&folder.path().join("animals"), ["cat", "dog"], 20, 40, [0, 250]);
    let run = |flags: &[&str], out: &str| {
        let args = ["train", "animals", "--epochs", "1", "--width", "8", "--out", out];
        let output = roentgen(&[&args[..], flags].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let page = fs::read_to_string(folder.path().join(out).join("report.html")).unwrap();
        // Without the styles and images.
        let page: String = page
            .split("</style>")
            .nth(1)
            .unwrap()
            .split("base64,")
            .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest))
            .collect();
        (text(&output.stdout), page)
    };
    let (said, page) = run(&[], "run");
    let evaluated = text(&roentgen(&["evaluate", "run", "--data", "animals"], folder.path()).stdout);
    let inspected = text(&roentgen(&["inspect", "animals"], folder.path()).stdout);
    for (place, shown) in
        [("run", &said), ("report", &page), ("evaluate", &evaluated), ("inspect", &inspected)]
    {
        let shown = shown.to_lowercase();
        assert!(shown.contains("images"), "{place}: {shown}");
        for word in ["patient", "film", "clinical", "medical", "disease"] {
            assert!(!shown.contains(word), "{place} says {word:?}: {shown}");
        }
    }
    let (said, page) = run(&["--medical"], "medical");
    assert!(said.contains("Not a medical device") && page.contains("Not for clinical use"));
    write_noise(&folder.path().join("films"), 20, 40, [0, 250]);
    let args = ["train", "films", "--no-medical", "--epochs", "1", "--width", "8", "--out", "no"];
    let said = text(&roentgen(&args, folder.path()).stdout);
    assert!(said.contains("caution") && !said.contains("medical"), "{said}");
}

#[test]
fn a_run_reports_a_shortcut_in_its_first_sentence_and_the_check_changes_no_weight() {
    let folder = TempDir::new().unwrap();
    write_noise(&folder.path().join("data"), 40, 32, [0, 250]);
    for i in 0..40 {
        let path = folder.path().join(format!("data/pneumonia/{i:02}.png"));
        let mut image = image::open(&path).unwrap().to_luma8();
        (0..32).for_each(|x| (0..3).for_each(|y| image.put_pixel(x, y, Luma([250]))));
        image.save(path).unwrap();
    }
    let run = |flags: &[&str]| {
        let args = ["train", "data", "--epochs", "8", "--size", "32", "--resize", "32", "--quiet", "--json"];
        let output = roentgen(&[&args[..], flags].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let metrics = run(&["--out", "run"]);
    assert_eq!(metrics["audit"]["flagged"], true, "{}", metrics["audit"]);
    assert_eq!(metrics["audit"]["border"]["flagged"], true);
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    let verdict = page.split("class=\"verdict\">").nth(1).unwrap().split("</p>").next().unwrap();
    let words = "on its own test set; the classes can be predicted from the outermost pixels of the images alone, \
                 so this says little about the disease.";
    assert!(verdict.contains(words), "{verdict}");
    assert!(metrics["verdict"].as_str().unwrap().contains(words), "{}", metrics["verdict"]);
    assert!(page.contains("id=\"shortcuts\""));
    let without = run(&["--no-audit", "--out", "without"]);
    assert!(without.get("audit").is_none(), "{without}");
    let model = |out: &str| fs::read(folder.path().join(out).join("model.safetensors")).unwrap();
    assert!(model("run") == model("without"), "the check must not change the model");
}

#[test]
fn class_names_are_escaped() {
    let folder = TempDir::new().unwrap();
    let classes = [("<img src=x onerror=alert(1)>", 20), ("a & \"b\"", 20)];
    write_images(folder.path(), "data/train", &classes);
    write_images(folder.path(), "data/test", &classes);
    train(&["--data", "data", "--out", "run"], folder.path());
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;") && page.contains("a &amp; &quot;b&quot;"));
    assert!(!page.contains("<img src=x"), "a class name must not become a tag");
}

#[test]
fn runs_without_test_or_validation_have_a_report_too() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "data", &[("ill", 20), ("well", 20)]);
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
