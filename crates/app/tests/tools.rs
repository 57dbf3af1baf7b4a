//! The smaller commands: describe, lr-find, completions, man; TensorBoard's file; the number of phantom films; file names.

use std::fs;
use std::path::{Path, PathBuf};

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
    assert!(json["card"].get("seen").is_none(), "a digest of each image");
    let digest = blake3::hash(&fs::read(folder.path().join("run/model.safetensors")).unwrap()).to_hex();
    assert_eq!(json["digest"], digest.as_str());
    assert!(said(&["describe", "run"], &folder).contains("rejects images unlike"));
}

#[test]
fn lr_find_suggests_a_rate_and_draws_its_curve() {
    let folder = TempDir::new().unwrap();
    let args =
        ["lr-find", "phantom", "--films", "600", "--width", "16", "--out", "rates.svg", "--json", "--quiet"];
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
    assert!(said(&["lr-find", "phantom", "--films", "240", "--width", "8"], &folder).contains("--lr "));
    let png = ["lr-find", "phantom", "--films", "240", "--width", "8", "--out", "rates.png"];
    refuses(&png, 2, &["rates.png", ".svg"], folder.path());
    let small = ["lr-find", "phantom", "--films", "24", "--size", "8", "--batch", "1"];
    refuses(&small, 2, &["a batch of one image of 8 pixels", "batch norm needs two"], folder.path());
    assert!(!said(&["lr-find", "--help"], &folder).contains("--test"));
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
    // Pages are replaced, and nothing else.
    said(&["man", "--out", "pages"], &folder);
    fs::write(folder.path().join("pages/roentgen.1"), "mine").unwrap();
    refuses(&["man", "--out", "pages"], 2, &["pages/roentgen.1", "--force"], folder.path());
    assert_eq!(fs::read(folder.path().join("pages/roentgen.1")).unwrap(), b"mine");
    said(&["man", "--out", "pages", "--force"], &folder);
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
    for command in ["inspect", "audit --epochs 1", "lr-find --width 8"] {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.extend(["phantom", "--films", "24", "--size", "8", "--quiet"]);
        let output = roentgen(&args, here);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
}

#[test]
fn a_model_of_colour_films_is_evaluated_on_its_films_again() {
    let folder = TempDir::new().unwrap();
    let trained = train(&["--films", "24", "--channels", "rgb", "--out", "run"], folder.path());
    let found: Value =
        serde_json::from_str(&said(&["evaluate", "run", "--json", "--quiet"], &folder)).unwrap();
    assert_eq!(found["test"], trained["test"]);
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
    let said = text(&output.stderr);
    for words in
        ["other: all images, 44 images", "no test image is a training or validation image of the model"]
    {
        let joined = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(joined.contains(words), "{words}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_or_too_large_is_refused_without_waiting() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    fs::File::create(path("large.safetensors")).unwrap().set_len(100 << 30).unwrap();
    fs::create_dir(path("run")).unwrap();
    fs::File::create(path("run/config.toml")).unwrap().set_len(100 << 30).unwrap();
    fs::write(path("film.png"), "x").unwrap();
    for (args, words) in [
        (&["describe", "pipe"][..], "not a regular file, but a pipe"),
        (&["describe", "large.safetensors"], "107374182400 bytes, more than the limit of"),
        (&["describe", "/dev/zero"], "not a regular file, but a device"),
        (&["predict", "pipe", "film.png"], "not a regular file, but a pipe"),
        (&["train", "--config", "pipe"], "not a regular file, but a pipe"),
        (&["train", "--config", "run"], "more than the limit of"),
        (&["train", "--resume", "run"], "more than the limit of"),
        (&["train", "--init", "pipe", "--films", "24", "--quiet"], "not a regular file, but a pipe"),
        (&["train", "pipe"], "not a data set"),
        (&["bench", "--compare", "pipe"], "not a regular file, but a pipe"),
    ] {
        refuses(args, 2, &[words], folder.path());
    }
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The files below a folder that contain the marker.
fn files_with_marker(folder: &Path) -> Vec<PathBuf> {
    let has_marker = |path: &PathBuf| fs::read(path).unwrap().windows(6).any(|bytes| bytes == b"MARKER");
    files_below(folder).into_iter().filter(has_marker).collect()
}

/// A table of images whose folder, files and patients have marked names: some duplicates, and an unusable file among them.
fn write_marked_data(root: &Path) {
    write_images(root, "MARKER-data", &[("ill", 20), ("well", 20)]);
    let folder = root.join("MARKER-data");
    let mut table = "path,label,patient,split\n".to_owned();
    for class in ["ill", "well"] {
        for number in 0..20 {
            let name = format!("{class}/MARKER-{number:02}.png");
            fs::rename(folder.join(format!("{class}/film{number:02}.png")), folder.join(&name)).unwrap();
            let split = ["train", "train", "test", "val"][number % 4];
            table += &format!("{name},{class},MARKER {class} {},{split}\n", number / 3);
        }
    }
    fs::copy(folder.join("ill/MARKER-00.png"), folder.join("ill/MARKER-02.png")).unwrap();
    fs::write(folder.join("ill/MARKER-bad.png"), "no image").unwrap();
    table += "ill/MARKER-bad.png,ill,MARKER ill 9,train\n";
    fs::write(folder.join("MARKER-list.csv"), table).unwrap();
}

#[test]
fn with_pseudonyms_no_file_of_a_run_but_the_key_has_a_name() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_marked_data(folder.path());
    let list = "MARKER-data/MARKER-list.csv";
    let inspected = text(&roentgen(&["inspect", list], folder.path()).stdout);
    assert!(inspected.contains("1 unusable file") && inspected.contains("unless --skip-bad"), "{inspected}");
    let args = [list, "--skip-bad", "--size", "8", "--pseudonyms"];
    train(&[&args[..], &["--tensorboard", "--out", "run"]].concat(), folder.path());
    let key = path("run/pseudonyms.csv");
    assert_eq!(files_with_marker(&path("run")), std::slice::from_ref(&key));
    let names = fs::read_to_string(&key).unwrap();
    for words in ["path,data,/", "ill/MARKER-00.png", "MARKER well 6", "file 1.png", "image,image 00001.png"]
    {
        assert!(names.contains(words), "{words}: {names}");
    }
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions()) & 0o777,
        0o600
    );
    let report = fs::read_to_string(path("run/report.html")).unwrap();
    assert!(
        report.contains(
            "as config.toml, put pseudonyms.csv of this run beside it, which has the paths, and run"
        )
    );
    let data = fs::read_to_string(path("run/data.json")).unwrap();
    assert!(data.contains("\"patient 1\"") && data.contains("image 00"), "{data}");

    // The run goes on, from its beginning, to the same files.
    let predictions = fs::read(path("run/predictions.jsonl")).unwrap();
    fs::remove_file(path("run/metrics.json")).unwrap();
    fs::rename(&key, path("key")).unwrap();
    refuses(&["train", "--resume", "run"], 2, &["pseudonyms.csv"], folder.path());
    fs::rename(path("key"), &key).unwrap();
    said(&["train", "--resume", "run", "--quiet"], &folder);
    assert!(fs::read(path("run/predictions.jsonl")).unwrap() == predictions);
    assert_eq!(files_with_marker(&path("run")), std::slice::from_ref(&key));

    // It can be repeated, tested and compared.
    said(&["train", "--config", "run", "--lr", "0.001", "--out", "other", "--quiet"], &folder);
    assert_eq!(files_with_marker(&path("other")), [path("other/pseudonyms.csv")]);
    said(&["evaluate", "run", list, "--skip-bad", "--quiet"], &folder);
    said(&["compare", "run", "other", "--quiet"], &folder);
    said(&["describe", "run", "--quiet"], &folder);

    // The folds of a cross-validation have one key.
    train(&[&args[..], &["--folds", "2", "--out", "folds"]].concat(), folder.path());
    assert_eq!(files_with_marker(&path("folds")), [path("folds/pseudonyms.csv")]);
    fs::remove_file(path("folds/metrics.json")).unwrap();
    fs::remove_file(path("folds/fold-2/metrics.json")).unwrap();
    said(&["train", "--resume", "folds", "--quiet"], &folder);
    assert_eq!(files_with_marker(&path("folds")), [path("folds/pseudonyms.csv")]);

    // What was broken off goes on with images that were moved: the names and numbers are the same.
    fs::rename(path("MARKER-data"), path("MARKER-moved")).unwrap();
    for (run, broken) in [("run", "run"), ("folds", "folds/fold-2")] {
        fs::remove_file(path(run).join("metrics.json")).unwrap();
        let expected = fs::read(path(broken).join("predictions.jsonl")).unwrap();
        if run == "folds" {
            // It had not begun.
            fs::remove_dir_all(path(broken)).unwrap();
        }
        said(&["train", "--resume", run, "--data", "MARKER-moved/MARKER-list.csv", "--quiet"], &folder);
        assert!(fs::read(path(broken).join("predictions.jsonl")).unwrap() == expected, "{broken}");
        assert_eq!(files_with_marker(&path(run)), [path(run).join("pseudonyms.csv")]);
    }
}

/// The weights in a model file; the rest of it may name what it was trained on.
fn weights(run: &Path) -> Vec<u8> {
    let bytes = fs::read(run.join("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

#[test]
fn with_pseudonyms_test_data_initial_weights_and_a_broken_run_leave_no_name_and_the_weights_are_the_same() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_marked_data(folder.path());
    write_images(folder.path(), "MARKER-test", &[("ill", 3), ("well", 3)]);
    for class in ["ill", "well"] {
        let name = |name: &str| path(&format!("MARKER-test/{class}/{name}"));
        fs::rename(name("film02.png"), name("MARKER-new.png")).unwrap();
    }
    let args = ["MARKER-data/MARKER-list.csv", "--skip-bad", "--size", "8", "--batch", "8", "--no-audit"];
    train(&[&args[..], &["--out", "MARKER-first"]].concat(), folder.path());
    let more = ["--test", "MARKER-test", "--init", "MARKER-first", "--tensorboard", "--epochs", "2"];
    let with_test = [&args[..], &more].concat();
    train(&[&with_test[..], &["--out", "plain"]].concat(), folder.path());
    assert!(files_with_marker(&path("plain")).len() > 3, "the marker is in a run without pseudonyms");
    train(&[&with_test[..], &["--pseudonyms", "--out", "run"]].concat(), folder.path());
    assert_eq!(files_with_marker(&path("run")), [path("run/pseudonyms.csv")]);
    assert!(weights(&path("run")) == weights(&path("plain")), "the weights differ");

    // Broken off in its middle: neither the checkpoint nor a file that is half written has a name.
    let broken = ["--pseudonyms", "--checkpoint-minutes", "0", "--epochs", "300", "--width", "8", "--quiet"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.arg("train").args(&with_test[..args.len() + 5]).args(broken).args(["--out", "broken"]);
    let mut child = command.current_dir(folder.path()).spawn().unwrap();
    while !path("broken/checkpoint.bin").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had a checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(files_with_marker(&path("broken")), [path("broken/pseudonyms.csv")]);
}

#[test]
fn with_pseudonyms_no_file_of_a_sweep_but_the_key_has_the_path_of_the_initial_weights() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shared = ["--films", "24", "--size", "16"];
    train(&[&shared[..], &["--out", "MARKER-first"]].concat(), folder.path());
    let args = [&["sweep", "space.toml", "--epochs", "1", "--pseudonyms"], &shared[..]].concat();
    fs::write(path("space.toml"), "[settings]\nwidth = [16, 8]\n").unwrap();
    said(&[&args[..], &["--init", "MARKER-first", "--out", "sweep", "--quiet"]].concat(), &folder);
    assert_eq!(files_with_marker(&path("sweep")), [path("sweep/pseudonyms.csv")]);
    let record = fs::read_to_string(path("sweep/sweep.json")).unwrap();
    assert!(record.contains("the weights of initial weights: its model has width 8"), "{record}");

    fs::write(path("space.toml"), "[settings]\nwidth = [16, 8]\ninit = \"MARKER-first\"\n").unwrap();
    let words = "--pseudonyms cannot be used with `init` in the search space";
    refuses(&[&args[..], &["--out", "other"]].concat(), 2, &[words], folder.path());
}

#[test]
fn a_setting_that_the_images_do_not_use_is_refused() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 12), ("well", 12)]);
    std::fs::create_dir(here.join("runs")).unwrap();
    train(&["--films", "24", "--out", "run"], here);
    for (args, words) in [
        (
            "train films --patient-column id",
            "--patient-column cannot be used with images without a table: it names a column; find patients",
        ),
        ("inspect films --label-column finding", "--label-column cannot be used with images without a table"),
        ("train films --seeds 0..1 --split-column part", "--split-column cannot be used with"),
        ("train --patient-pattern (.)", "--patient-pattern cannot be used with the phantom films"),
        ("sweep space.toml --classes a=b", "--classes cannot be used with the phantom films"),
        ("evaluate run --classes a=b", "--classes cannot be used with the phantom films"),
        ("evaluate run --skip-bad", "--skip-bad cannot be used with the phantom films"),
    ] {
        std::fs::write(here.join("space.toml"), "[settings]\nwidth = [8, 16]\n").unwrap();
        refuses(&args.split(' ').collect::<Vec<_>>(), 2, &[words], here);
    }
}
