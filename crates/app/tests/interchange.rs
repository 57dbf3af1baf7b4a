//! Models that come from elsewhere and go elsewhere.

use std::fs;

use tempfile::TempDir;

use crate::program::{roentgen, text, train, write_images};

#[test]
fn a_run_starts_from_the_weights_of_another_one() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "60", "--out", "first"], here);
    let weights = |run: &str| fs::read(here.join(run).join("model.safetensors")).unwrap();
    // At a rate of nearly nothing the weights stay what they were; from random ones they would not be.
    let still = ["--films", "60", "--max-lr", "1e-12", "--weight-decay", "0", "--seed", "5"];
    train(&[&still[..], &["--init", "first", "--out", "second"]].concat(), here);
    train(&[&still[..], &["--out", "random"]].concat(), here);
    let filter = |run: &str| {
        let bytes = weights(run);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let values = tensors.tensor("conv4.0.weight").unwrap().data().to_vec();
        values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
    };
    let difference =
        |a: &str, b: &str| filter(a).iter().zip(filter(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference("first", "second") < 1e-6, "{}", difference("first", "second"));
    assert!(difference("first", "random") > 1e-2);

    // Other classes: all but the classifier; a width that differs: an error, and no run.
    write_images(here, "data", &[("ill", 20), ("well", 20)]);
    let args =
        ["train", "--data", "data", "--width", "8", "--epochs", "1", "--init", "first", "--out", "third"];
    let output = roentgen(&args, here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("except for the classifier"), "{}", text(&output.stdout));
    let model = fs::read(here.join("first/model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&model).unwrap().tensors();
    fs::write(here.join("torch.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    for (flags, words) in [
        (
            &["--width", "16", "--init", "torch.safetensors"][..],
            "its model has width 8 and not 16; add --width 8",
        ),
        (
            &["--width", "16", "--init", "first"][..],
            "cannot start from the weights of first: its model has width 8 and not 16; add --width 8",
        ),
        (
            &["--width", "8", "--channels", "rgb", "--init", "first"],
            "its model sees grey images and not colour ones; add --channels grey",
        ),
        (&["--init", "missing"], "cannot read the model missing"),
        (&["--init", "data/ill/film00.png"], "not a whole safetensors file"),
    ] {
        let output =
            roentgen(&[&["train", "--films", "60", "--epochs", "1", "--out", "no"], flags].concat(), here);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
        assert!(!here.join("no").exists(), "a run that cannot begin leaves nothing");
    }
}

#[test]
fn a_model_knows_the_images_of_the_one_it_starts_from() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "first-films", &[("ill", 20), ("well", 20)]);
    let films = ["data", "phantom", "--films", "60", "--quiet", "--out", "films"];
    assert!(roentgen(&films, here).status.success());
    train(&["--data", "first-films", "--out", "first"], here);
    train(&["--data", "films", "--init", "first", "--out", "second"], here);
    train(&["--data", "films", "--init", "second", "--out", "third"], here);
    let n_seen = |run: &str| {
        write_images(here, "asked/test", &[("covid", 20), ("normal", 20)]);
        for (from, to) in [("ill", "covid"), ("well", "normal")] {
            let name = |at: u32| format!("film{at:02}.png");
            for at in 0..20 {
                let from = here.join("first-films").join(from).join(name(at));
                fs::copy(from, here.join("asked/test").join(to).join(name(at))).unwrap();
            }
        }
        let output = roentgen(&["evaluate", "--model", run, "--data", "asked", "--json", "--quiet"], here);
        let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("figures");
        figures["n_seen"].as_u64()
    };
    // 40 but for the four that were split off to test on; the grandchild knows them too.
    assert_eq!([n_seen("second"), n_seen("third")], [Some(36), Some(36)]);
}

#[test]
fn what_the_first_model_was_trained_on_is_no_test_for_the_next() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 20), ("well", 20)]);
    train(&["--data", "films", "--out", "first"], here);
    // Another seed splits off other test images.
    let second =
        ["train", "--data", "films", "--seed", "1", "--width", "8", "--epochs", "1", "--init", "first"];
    let output = roentgen(&[&second[..], &["--json", "--out", "second"]].concat(), here);
    let metrics: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metrics");
    let n_leaked = metrics["n_leaked"].as_u64().unwrap();
    assert!(n_leaked > 0, "{metrics}");
    let expected = format!(
        "{n_leaked} of {} test images are training or validation images of the model of --init",
        metrics["test"]["n"]
    );
    let printed = text(&output.stderr);
    assert!(
        printed.split_whitespace().collect::<Vec<_>>().join(" ").contains(&expected),
        "{expected}: {printed}"
    );
    let words: Vec<_> = printed.split_whitespace().collect();
    assert!(words.join(" ").contains("split them as there, with its --seed and fractions"), "{printed}");
}

#[test]
fn what_the_first_model_was_trained_on_is_no_validation_for_the_next() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 20), ("well", 20)]);
    train(&["--data", "films", "--out", "first"], here);
    let lines = |file: &str| -> Vec<serde_json::Value> {
        let text = fs::read_to_string(here.join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let held_out = [lines("first/predictions.jsonl"), lines("first/predictions_val.jsonl")].concat();
    let is_held_out =
        |line: &serde_json::Value| held_out.iter().any(|other| other["digest"] == line["digest"]);
    // Another seed makes training images of the first model to validation images, and there is no test set.
    let seed = ["--seed", "1", "--val-fraction", "0.3", "--test-fraction", "0"];
    let metrics =
        train(&[&["--data", "films", "--init", "first", "--out", "second"][..], &seed].concat(), here);
    let val = lines("second/predictions_val.jsonl");
    let n_leaked = val.iter().filter(|line| !is_held_out(line)).count();
    assert!(n_leaked > 0 && metrics["n_leaked_val"] == n_leaked, "{n_leaked}: {metrics}");
    assert!(val.iter().all(|line| line["leaked"] == !is_held_out(line)));
    let report = fs::read_to_string(here.join("second/report.html")).unwrap();
    assert!(
        report.contains("or in that of the initial model") && !report.contains("No image was found in more")
    );
    assert!(
        report.contains("on all of them: the images are those of the initial model; split them as there")
    );
    // The same split: its validation images are those of the first model, and no weight was computed from them.
    let metrics = train(&["--data", "films", "--init", "first", "--out", "third"], here);
    assert!(metrics["n_leaked_val"] == 0 && metrics["n_leaked"] == 0, "{metrics}");
    // Evaluated again, a run has the same figures.
    let metrics = train(&["--data", "films", "--init", "first", "--seed", "1", "--out", "fourth"], here);
    let evaluated =
        roentgen(&["evaluate", "--model", "fourth", "--data", "films", "--json", "--quiet"], here);
    let figures: serde_json::Value = serde_json::from_slice(&evaluated.stdout).expect("figures");
    for key in ["n_leaked_val", "val", "val_deduplicated"] {
        assert_eq!(figures[key], metrics[key], "{key}");
    }
    let report = fs::read_to_string(here.join("fourth/report.html")).unwrap();
    let is_said = report.contains("or in that of the initial model. The epoch was chosen");
    assert_eq!(is_said, metrics["n_leaked_val"] != 0, "{metrics}");
}

#[test]
fn where_every_test_image_leaked_no_sentence_claims_otherwise() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 20), ("well", 20)]);
    train(&["--data", "films", "--test-fraction", "0", "--out", "first"], here);
    let folds =
        ["train", "--data", "films", "--folds", "2", "--width", "8", "--epochs", "1", "--init", "first"];
    let output = roentgen(&[&folds[..], &["--json", "--out", "folds"]].concat(), here);
    let metrics: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metrics");
    assert_eq!((&metrics["n_leaked"], &metrics["main_set"]), (&40.into(), &"pooled".into()), "{metrics}");
    assert_eq!(
        (&metrics["folds"][0]["main_set"], &metrics["folds"][0]["n_leaked"]),
        (&"test".into(), &20.into())
    );
    let printed = text(&output.stderr);
    let of_folds = &printed[printed.find("over the folds").expect("a table")..];
    assert!(of_folds.contains("every test image leaked") && !printed.contains("without images"), "{printed}");
    let of_fold = fs::read(here.join("folds/fold-1/metrics.json")).unwrap();
    let of_fold: serde_json::Value = serde_json::from_slice(&of_fold).unwrap();
    let verdict = of_fold["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("Every test image, or its patient,"), "{verdict}");
}

#[test]
fn initial_weights_with_an_unknown_training_set_have_a_note() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "60", "--out", "first"], here);
    // The tensors without our metadata, as PyTorch would write them.
    let bytes = fs::read(here.join("first/model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    fs::write(here.join("bare.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    let says = |init: &str, out: &str| {
        let args = ["train", "--films", "60", "--width", "8", "--epochs", "1", "--init", init, "--out", out];
        let output = roentgen(&args, here);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("may include the test images")
    };
    assert!(says("bare.safetensors", "second") && !says("first", "third"));

    // The models that start from such a run have it too.
    assert!(says("second", "fourth"));
    write_images(here, "other/test", &[("covid", 5), ("normal", 5)]);
    for (run, is_unknown) in [("second", true), ("third", false), ("fourth", true)] {
        let metrics = fs::read(here.join(run).join("metrics.json")).unwrap();
        let metrics: serde_json::Value = serde_json::from_slice(&metrics).unwrap();
        assert_eq!(metrics.get("has_unknown_training_images").is_some(), is_unknown, "{run}");
        let page = fs::read_to_string(here.join(run).join("report.html")).unwrap();
        assert_eq!(page.contains("The training images of the initial weights are not all known"), is_unknown);
        assert_eq!(page.contains("No image was found in more than one set"), !is_unknown, "{run}");
        let printed = text(&roentgen(&["evaluate", run, "--data", "other"], here).stdout);
        let printed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(printed.contains("no test image is a training or validation image"), !is_unknown);
        assert_eq!(printed.contains("may include the test images"), is_unknown, "{printed}");
    }
}

#[test]
fn an_exported_model_says_what_it_needs() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "60", "--out", "run"], here);
    let output = roentgen(&["export", "--model", "run", "--onnx", "model.onnx"], here);
    assert!(
        output.status.success() && text(&output.stdout).contains("(batch, 1, 24, 24)"),
        "{}",
        text(&output.stdout)
    );
    let bytes = fs::read(here.join("model.onnx")).unwrap();
    let has = |words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
    for words in [
        "pixels",
        "probabilities",
        "GlobalMaxPool",
        "class_names",
        "[\"covid\",\"normal\",\"pneumonia\"]",
        "batch",
        "crop_size",
        "resize_filter",
        "triangle (bilinear with antialiasing), f32, rows before columns, rounded once",
        "resize_long_side",
        "halves to even",
        "sample_bits",
        "invert",
        "never",
    ] {
        assert!(has(words), "{words}");
    }
    assert!(!has("BatchNormalization"), "batch norm is folded in");
    train(&["--films", "60", "--tta", "--zoom", "0.2", "--out", "views"], here);
    let output = roentgen(&["export", "--model", "views", "--onnx", "views.onnx"], here);
    assert!(
        text(&output.stdout).contains("(batch, 1, 28, 28)"),
        "a look from farther shows more than the crop"
    );
    train(&["--films", "60", "--normalize", "image", "--out", "own"], here);
    let output = roentgen(&["export", "--model", "own", "--onnx", "own.onnx"], here);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--normalize set") && !here.join("own.onnx").exists());
}

#[test]
fn a_model_that_is_not_the_final_one_of_its_run_has_a_note() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 20), ("well", 20)]);
    train(&["--data", "films", "--out", "run"], here);
    for (model, has_note) in [("run/model.safetensors", false), ("run/model-last.safetensors", true)] {
        for command in ["predict", "evaluate"] {
            let output = roentgen(&[command, model, "films"], here);
            let said = [output.stdout, output.stderr].concat();
            let note = "this model (epoch 1) rejects no image";
            assert_eq!(text(&said).contains(note), has_note, "{command} {model}: {}", text(&said));
        }
    }
}
