//! The program as a user meets it: what it does, and what it says when it can't.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train, write_images};

#[test]
fn a_run_says_what_augmentation_really_happens() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "data", &[("ill", 12), ("well", 12)]);
    let said = |args: &[&str]| {
        let all = [&["train", "data", "--epochs", "1", "--width", "8"], args].concat();
        let output = roentgen(&all, folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let default = said(&["--out", "default"]);
    assert!(default.contains("cropped to 24x24 augmented random crops, random flips"), "{default}");
    // The images have 40x36 pixels: only their long side leaves room.
    let tight = said(&["--size", "32", "--resize", "32", "--out", "tight"]);
    assert!(tight.contains("augmented random crops along the long side, random flips"), "{tight}");
    let robust = said(&["--preset", "robust", "--out", "robust"]);
    for words in
        ["rotation by up to 15 degrees", "erased in 30 % of the images", "weights averaged with decay 0.99"]
    {
        assert!(robust.contains(words), "{words}: {robust}");
    }
    let page = fs::read_to_string(folder.path().join("robust/report.html")).unwrap();
    assert!(
        page.contains("rotation by up to 15 degrees") && page.contains("Weights averaged with decay 0.99.")
    );
}

#[test]
fn train_leaves_a_whole_run_and_evaluate_gives_its_figures_again() {
    let folder = TempDir::new().unwrap();
    let printed = train(&["--films", "48", "--out", "run"], folder.path());
    let run = folder.path().join("run");

    let metrics: Value = serde_json::from_slice(&fs::read(run.join("metrics.json")).unwrap()).unwrap();
    for key in ["train_images_per_s", "train_seconds", "data_loading_fraction", "epochs", "seed", "threads"] {
        assert!(metrics[key].is_number(), "{key} in {metrics}");
    }
    for part in ["val", "test"] {
        let figures = &metrics[part];
        let n = figures["n"].as_u64().unwrap();
        let rows = figures["confusion"].as_array().unwrap();
        let counts = rows.iter().flat_map(|row| row.as_array().unwrap()).map(|c| c.as_u64().unwrap());
        assert!(n > 0 && counts.sum::<u64>() == n, "{figures}");
        let accuracy = figures["accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&accuracy));
        for class in ["covid", "normal", "pneumonia"] {
            let class = &figures["per_class"][class];
            assert!(class["n"].is_number() && class["recall"].is_number(), "{class}");
            assert!(class.get("precision").is_some(), "{class}");
        }
    }
    assert_eq!(printed["test"], metrics["test"]);
    for (part, when) in [("val", "before"), ("val", "after"), ("test", "before"), ("test", "after")] {
        let calibration = &metrics["calibration"][part];
        assert_eq!(calibration["n"], metrics[part]["n"], "{calibration}");
        for key in ["ece_debiased", "log_loss", "brier_score"] {
            let end = |i: usize| calibration[when][format!("{key}_interval")][i].as_f64().expect("an end");
            assert!(calibration[when][key].is_number() && end(0) < end(1), "{key}: {calibration}");
        }
    }
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let line: Value = serde_json::from_str(&log).expect("one line");
    assert!(
        line["train_loss"].is_number() && line.get("seconds").is_none(),
        "log.jsonl must not contain times"
    );
    assert!(run.join("model.safetensors").exists() && run.join("model-last.safetensors").exists());

    let args = ["evaluate", "--model", "run/model.safetensors", "--quiet", "--json"];
    for data in [&["phantom"][..], &[]] {
        let output = roentgen(&[&args[..], data].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let again: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&again["test"], &again["val"]), (&metrics["test"], &metrics["val"]));
    }
}

#[test]
fn two_runs_are_compared_image_by_image() {
    let folder = TempDir::new().unwrap();
    for run in ["a", "same"] {
        train(&["--films", "40", "--out", run], folder.path());
    }
    let output = roentgen(&["compare", "a", "same", "--json"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("both runs predict equally many images correctly"),
        "{}",
        text(&output.stderr)
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["accuracy_difference"], &found["p_value"]), (&0.0.into(), &1.0.into()));
    assert_eq!((found["n"].as_u64(), &found["significant"]), (Some(10), &false.into()));

    refuses(&["compare", "a", "nowhere"], 2, &["nowhere", "predictions.jsonl"], folder.path());
    fs::create_dir(folder.path().join("broken")).unwrap();
    fs::write(folder.path().join("broken/predictions.jsonl"), "{}\n").unwrap();
    refuses(&["compare", "a", "broken"], 2, &["broken", "line 1"], folder.path());
    train(&["--films", "48", "--out", "more"], folder.path());
    refuses(&["compare", "a", "more"], 2, &["10 images", "12"], folder.path());
}

#[test]
fn other_images_of_the_same_names_are_not_compared() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films/train", &[("ill", 12), ("well", 12)]);
    write_images(here, "films/test", &[("well", 4), ("ill", 4)]);
    train(&["--data", "films", "--out", "a"], here);
    train(&["--data", "films", "--size", "16", "--out", "smaller"], here);
    let output = roentgen(&["compare", "a", "smaller", "--json", "--quiet"], here);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["n"], 8, "{found}");

    fs::copy(here.join("films/train/ill/film09.png"), here.join("films/test/ill/film02.png")).unwrap();
    train(&["--data", "films", "--out", "b"], here);
    refuses(&["compare", "a", "b"], 2, &["test/ill/film02.png", "is not the same image in both"], here);
}

#[test]
fn patience_ends_a_run_early_and_needs_validation_as_select_does() {
    let folder = TempDir::new().unwrap();
    let args =
        ["train", "--films", "40", "--width", "8", "--epochs", "30", "--patience", "1", "--out", "run"];
    let output = roentgen(&args, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("has not improved for 1 epoch"), "{}", text(&output.stdout));
    let metrics = fs::read(folder.path().join("run/metrics.json")).unwrap();
    let metrics: Value = serde_json::from_slice(&metrics).unwrap();
    let epochs = metrics["epochs"].as_u64().unwrap();
    assert!((2..30).contains(&epochs), "{epochs}");
    let log = fs::read_to_string(folder.path().join("run/log.jsonl")).unwrap();
    assert_eq!(log.lines().count() as u64, epochs);
    assert!(folder.path().join("run/model-last.safetensors").exists());
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(config.contains("patience = 1"), "{config}");

    write_images(folder.path(), "films", &[("ill", 12), ("well", 12)]);
    let none = ["train", "--data", "films", "--val-fraction", "0", "--patience", "1", "--out", "none"];
    refuses(&none, 2, &["--patience", "--val-fraction"], folder.path());
    let none = ["train", "--data", "films", "--val-fraction", "0", "--select", "auc", "--out", "none"];
    refuses(&none, 2, &["--select", "needs a validation set", "--val-fraction"], folder.path());
}

#[test]
fn a_config_repeats_its_run_to_the_bit_at_any_number_of_threads() {
    let folder = TempDir::new().unwrap();
    train(&["--films", "40", "--seed", "5", "--threads", "2", "--out", "a"], folder.path());
    let args = ["train", "--config", "a/config.toml", "--threads", "3", "--out", "b", "--quiet"];
    let output = roentgen(&args, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |run: &str| fs::read(folder.path().join(run).join("model.safetensors")).unwrap();
    assert!(read("a") == read("b"), "the weights differ");
    train(&["--films", "40", "--seed", "6", "--out", "c"], folder.path());
    assert!(read("a") != read("c"), "another seed gives other weights");
}

#[test]
fn what_people_type_first_works() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    let trained = train(&["films", "--lr", "0.005", "--out", "run"], here);
    let config = fs::read_to_string(here.join("run/config.toml")).unwrap();
    assert!(config.contains("max-lr = 0.005\n"), "{config}");

    let image = "films/ill/film00.png";
    let by_argument = roentgen(&["predict", "run", image, "--json"], here);
    let by_flag = roentgen(&["predict", "--model", "run", image, "--json"], here);
    assert!(by_argument.status.success(), "{}", text(&by_argument.stderr));
    assert_eq!(by_argument.stdout, by_flag.stdout);
    for args in [
        &["evaluate", "run", "films", "--json", "-q"][..],
        &["evaluate", "run", "--data", "films", "--json", "-q"],
        &["evaluate", "--model", "run", "films", "--json", "-q"],
    ] {
        let tested: Value = serde_json::from_slice(&roentgen(args, here).stdout).unwrap();
        assert_eq!(tested["test"], trained["test"], "{args:?}");
    }
    for args in [
        &["explain", "run", image, "--out", "why.png"][..],
        &["export", "run", "--onnx", "m.onnx"],
        &["describe", "run"],
        &["describe", "--model", "run"],
    ] {
        let output = roentgen(args, here);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }

    for (args, words) in [
        (&["train", "films", "--data", "films"][..], "cannot be used with '--data"),
        (&["inspect"], "<DATA>"),
        (&["inspect", "films", "--data", "films"], "cannot be used with '--data"),
        (&["predict", "run"], "<FILES>"),
        (&["predict", "run/model.safetensors", image, "--model", "run"], "the model is given twice"),
        (&["describe", "run", "--model", "run"], "cannot be used with"),
        (&["evaluate"], "<MODEL>"),
        (&["evaluate", "run", "films", "--data", "films"], "cannot be used with '--data"),
        (&["evaluate", "--model", "run", "films", "--data", "films"], "given twice"),
        (&["evaluate", "--model", "run", "films", "films"], "a second argument cannot be used with --model"),
        (&["explain", "run", "--out", "why.png"], "<FILE>"),
    ] {
        refuses(args, 2, &[words], here);
    }
}

#[test]
fn a_flag_overrides_a_preset_and_a_config_file() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "30", "--preset", "robust", "--no-tta", "--size", "16", "--out", "a"], here);
    let config = |run: &str| fs::read_to_string(here.join(run).join("config.toml")).unwrap();
    assert!(config("a").contains("\ntta = false\n") && config("a").contains("\nresize = 19\n"));

    let again = |more: &[&str]| {
        let output = roentgen(&[&["train", "--quiet", "--config", "a"], more].concat(), here);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    again(&["--out", "same"]);
    let weights = |run: &str| fs::read(here.join(run).join("model.safetensors")).unwrap();
    assert!(weights("a") == weights("same") && config("a") == config("same"), "not the same run");
    again(&["--size", "24", "--tta", "--no-flip", "--out", "b"]);
    for line in ["size = 24", "resize = 28", "tta = true", "flip = false", "zoom = 0.3", "films = 30"] {
        assert!(config("b").contains(&format!("\n{line}\n")), "{line}: {}", config("b"));
    }
}

#[test]
fn a_config_repeats_its_run_from_another_folder() {
    let folder = TempDir::new().unwrap();
    let (here, elsewhere) = (folder.path(), TempDir::new().unwrap());
    write_images(here, "films", &[("ill", 12), ("well", 12)]);
    write_images(here, "others", &[("ill", 5), ("well", 5)]);
    train(&["--data", "films", "--test", "others", "--out", "a"], here);
    let run = here.join("a");
    train(&["--config", run.to_str().unwrap(), "--out", "b"], elsewhere.path());
    let read = |folder: &std::path::Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(read(&run) == read(&elsewhere.path().join("b")), "the weights differ");
    refuses(&["train", "--config", "a/no"], 2, &["a/no", "check the path"], here);

    // Also from inside of the data, which then are `.`.
    train(&["--data", ".", "--out", "../c"], &here.join("films"));
    let config = fs::read_to_string(here.join("c/config.toml")).unwrap();
    assert!(config.contains("/films\"\n"), "{config}");
    let described = text(&roentgen(&["describe", "c"], here).stdout);
    assert!(described.contains("on films: "), "{described}");
}

#[test]
fn a_folder_of_images_is_trained_on_and_evaluated() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("ill", 24), ("well", 20)]);
    let printed = train(&["--data", "films", "--out", "run"], folder.path());
    assert!(printed["val"]["n"].as_u64().unwrap() >= 2);
    let args = ["evaluate", "--model", "run/model.safetensors", "--data", "films", "--quiet", "--json"];
    let output = roentgen(&args, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(again["test"], printed["test"]);
}

#[test]
fn plain_output_has_a_line_per_epoch_and_the_test_table() {
    let folder = TempDir::new().unwrap();
    let args = ["train", "--films", "40", "--width", "8", "--epochs", "2", "--threads", "2", "--out", "run"];
    let output = roentgen(&args, folder.path());
    let shown = text(&output.stdout);
    assert!(output.status.success());
    for word in ["1/2", "2/2", "recall", "precision", "confusion", "threads", "parameters", "pneumonia"] {
        assert!(shown.contains(word), "no {word:?} in {shown}");
    }
    assert!(
        !shown.contains('\r') && !shown.contains('\u{1b}'),
        "plain lines where the output is not a terminal"
    );
}

#[test]
fn data_phantom_writes_a_folder_that_trains() {
    let folder = TempDir::new().unwrap();
    let args = ["data", "phantom", "--out", "films", "--films", "30", "--quiet"];
    assert!(roentgen(&args, folder.path()).status.success());
    let printed = train(&["--data", "films", "--out", "run"], folder.path());
    assert!(printed["test"]["n"].as_u64().unwrap() > 0);
    refuses(&args, 2, &["films", "empty"], folder.path());
}

#[test]
fn bad_files_stop_the_run_with_all_of_them_listed() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("ill", 12), ("well", 12)]);
    let ill = folder.path().join("films/ill");
    let whole = fs::read(ill.join("film00.png")).unwrap();
    fs::write(ill.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(ill.join("empty.png"), b"").unwrap();
    fs::write(ill.join("text.jpg"), b"this is not an image").unwrap();
    // A header that claims a image of 60,000 x 60,000 pixels.
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    fs::write(ill.join("huge.png"), &huge).unwrap();
    let names = ["cut.png", "empty.png", "text.jpg", "huge.png", "--skip-bad"];
    refuses(&["train", "--data", "films", "--out", "run"], 2, &names, folder.path());

    let args = ["train", "--data", "films", "--skip-bad", "--width", "8", "--epochs", "1", "--out", "run"];
    let output = roentgen(&args, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("4 unusable files"), "{}", text(&output.stdout));
}

#[test]
fn unusable_folders_are_refused() {
    let folder = TempDir::new().unwrap();
    refuses(&["train", "--data", "nowhere", "--out", "run"], 2, &["nowhere", "not exist"], folder.path());
    fs::create_dir(folder.path().join("bare")).unwrap();
    refuses(&["train", "--data", "bare", "--out", "run"], 2, &["bare"], folder.path());
    write_images(folder.path(), "single", &[("ill", 3)]);
    refuses(&["train", "--data", "single", "--out", "run"], 2, &["one class"], folder.path());
    write_images(folder.path(), "hollow", &[("ill", 3), ("well", 0)]);
    refuses(&["train", "--data", "hollow", "--out", "run"], 2, &["well"], folder.path());
    fs::write(folder.path().join("file"), b"x").unwrap();
    refuses(&["train", "--data", "file", "--out", "run"], 2, &["file"], folder.path());
}

#[test]
fn small_images_are_scaled_up_with_a_note() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("ill", 12), ("well", 12)]);
    let tiny = image::GrayImage::from_pixel(10, 9, image::Luma([90]));
    tiny.save(folder.path().join("films/ill/tiny.png")).unwrap();
    let args = ["train", "--data", "films", "--width", "8", "--epochs", "1", "--out", "run"];
    let output = roentgen(&args, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("scaled up"), "{}", text(&output.stdout));
}

#[test]
fn wrong_settings_are_refused() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for (flag, value) in [
        ("--epochs", "0"),
        ("--batch", "0"),
        ("--size", "4"),
        ("--max-lr", "0"),
        ("--max-lr", "NaN"),
        ("--weight-decay", "-1"),
        ("--threads", "0"),
        ("--clip", "value:-1"),
        ("--clip", "hard"),
        ("--class-weights", "some"),
        ("--prior", "some"),
        ("--val-fraction", "0.9"),
        ("--seed", "many"),
        ("--rotate", "-5"),
        ("--label-smoothing", "-0.1"),
        ("--folds", "-5"),
    ] {
        let name = flag.trim_start_matches("--");
        refuses(&["train", flag, value, "--films", "30", "--out", "run"], 2, &[name, value], here);
    }
    for (flag, value, words) in [
        ("--folds", "-5", "invalid value '-5' for '--folds <N>': expected 2 to 100"),
        ("--epochs", "-5", "invalid value '-5' for '--epochs <N>': expected 1 to 100000"),
        ("--epochs", "2.5", "invalid value '2.5' for '--epochs <N>': expected 1 to 100000"),
        ("--size", "99999999999", "'--size <PIXELS>': expected 8 to 512 pixels"),
        ("--seed", "-1", "'-1' for '--seed <N>': expected 0 to 9223372036854775807"),
        ("--fold", "-1", "'-1' for '--fold <N>': expected 1 up to --folds"),
        ("--resize", "x", "'x' for '--resize <PIXELS>': expected at least --size"),
        ("--lr", "abc", "expected above 0, at most 1000 (--lr is --max-lr)"),
        ("--rotate", "x", "'x' for '--rotate <DEGREES>': expected 0 to 45 degrees"),
        ("--resize", "20", "resize is 20: expected at least --size, at most 8192 pixels (flag --resize"),
    ] {
        refuses(&["train", flag, value], 2, &[words], here);
    }
    refuses(&["data", "phantom", "--out", "x", "--films", "-5"], 2, &["expected 24 to 100000"], here);
    refuses(&["inspect", "x", "--threads", "-5"], 2, &["expected 1 to 1024"], here);
    refuses(&["bench", "--size", "4"], 2, &["'4' for '--size <PIXELS>': expected 8 to 512 pixels"], here);
    refuses(&["bench", "--rounds", "-5"], 2, &["'-5' for '--rounds <N>': -5 is not in 1..=100"], here);
    refuses(&["train", "-5"], 2, &["unexpected argument '-5'"], here);
    refuses(&["train", "--colour"], 2, &["--colour"], here);
    refuses(&["tarin"], 2, &["train"], here);
    fs::write(here.join("run.toml"), "epochs = 3\nepoch = 4\n").unwrap();
    refuses(&["train", "--config", "run.toml", "--out", "run"], 2, &["run.toml", "line 2", "epoch"], here);
    refuses(&["train", "--config", "gone.toml", "--out", "run"], 2, &["gone.toml"], here);
    fs::create_dir(here.join("full")).unwrap();
    fs::write(here.join("full/precious"), b"x").unwrap();
    refuses(&["train", "--films", "30", "--out", "full"], 2, &["full", "--out"], here);
    assert_eq!(fs::read(here.join("full/precious")).unwrap(), b"x");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_with_its_place() {
    let folder = TempDir::new().unwrap();
    // Decoupled decay at this rate multiplies every weight by -1000 and more in each step.
    let wild = ["--max-lr", "1000", "--decay", "decoupled", "--weight-decay", "10"];
    let small = ["train", "--films", "30", "--width", "8", "--epochs", "30", "--quiet", "--out", "run"];
    let output = roentgen(&[&small[..], &wild[..]].concat(), folder.path());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["epoch", "batch 1", "--lr (it is 1000)"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(output.stdout.is_empty() && !folder.path().join("run/metrics.json").exists());
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("m.safetensors"), b"not a model").unwrap();
    refuses(&["evaluate", "--model", "m.safetensors"], 2, &["m.safetensors", "not a model"], folder.path());
    refuses(&["evaluate", "--model", "gone.safetensors"], 2, &["gone.safetensors"], folder.path());
}

#[test]
fn a_bench_measures_what_the_filter_names_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let args = "bench --filter infer:1 --size 8 --width 16 --threads 1 --json --quiet";
    let output = roentgen(&args.split(' ').collect::<Vec<_>>(), folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["peak_gflops", "copy_gb_per_s", "threads"] {
        assert!(figures[key].as_f64().unwrap() > 0.0, "{key} in {figures}");
    }
    assert_eq!(figures["width"], 16, "{figures}");
    assert!(
        !figures["cpu"].as_str().unwrap().is_empty() && !figures["build_target"].as_str().unwrap().is_empty()
    );
    let infer = figures["infer_images_per_s"].as_object().unwrap();
    assert_eq!(infer.keys().collect::<Vec<_>>(), ["1", "128"], "names that have infer:1 in them");
    let latency = &figures["batch1_latency_ms"];
    assert!(latency["p50"].as_f64().unwrap() <= latency["p99"].as_f64().unwrap(), "{latency}");
    assert!(figures["train_images_per_s"].as_object().unwrap().is_empty());
    assert!(figures["conv_layers"].as_array().unwrap().is_empty());

    refuses(&["bench", "--channels", "2"], 2, &["'--channels <N>': expected 1 or 3"], folder.path());
    refuses(&["bench", "--filter", "conv9"], 2, &["conv9", "conv1", "train:128"], folder.path());
    fs::write(folder.path().join("record.json"), "{}").unwrap();
    refuses(&["bench", "--compare", "record.json"], 2, &["record.json", "--save"], folder.path());
    refuses(
        &["bench", "--torch", "/nowhere/python", "--filter", "infer:1", "--size", "8"],
        1,
        &["/nowhere/python"],
        folder.path(),
    );
}

#[test]
fn help_teaches_each_command() {
    let folder = TempDir::new().unwrap();
    for (command, words) in [
        ("train", ["--data", "--max-lr", "--class-weights", "Examples"]),
        ("evaluate", ["--model", "--data", "--json", "Examples"]),
        ("bench", ["--torch", "--compare", "--profile", "Examples"]),
    ] {
        let output = roentgen(&[command, "--help"], folder.path());
        let shown = text(&output.stdout);
        assert!(output.status.success());
        assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
    }
    let says = |args: &[&str], words: &str| {
        let shown = text(&roentgen(args, folder.path()).stdout);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(words), "{args:?}: {shown}");
    };
    says(&["train", "--help"], "at most one standard error worse than the best");
    says(&["train", "--help"], "[range: 0 to 0.5] [default: 0]");
    says(&["sweep", "--help"], "the sweep itself tests on none");
    for page in ["--help", "man"] {
        says(&[page], "Exit codes");
        says(&[page], "143");
    }
}

/// Nothing wraps a line that has to be typed as it stands.
#[test]
fn examples_fit_a_narrow_terminal() {
    let folder = TempDir::new().unwrap();
    let help = |args: &[&str]| text(&roentgen(args, folder.path()).stdout);
    let all = help(&["--help"]);
    let commands = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands =
        commands.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let mut n_examples = 0;
    for shown in commands.map(|command| help(&[command, "--help"])).chain([all.clone()]) {
        for line in shown.lines().filter(|line| line.starts_with("  roentgen ") || line.starts_with("  # ")) {
            assert!(line.len() <= 60, "{} columns: {line}", line.len());
            n_examples += usize::from(line.starts_with("  roentgen "));
        }
    }
    assert!(n_examples >= 20, "{n_examples}");
}
