//! A sweep compares settings on the validation set alone, goes on after an interruption, and ends with the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train, write_images};

/// Settings that all trainings share.
const SHARED: [&str; 8] = ["--films", "60", "--width", "8", "--batch", "16", "--size", "16"];
/// Nine settings, of which three have whole trainings.
const HALVING: &str = "search = \"random\"\ntrainings = 9\nhalving = 3\nmin-epochs = 1\n[settings]\nepochs = 3\n\
                       max-lr = { from = 0.001, to = 0.1, spacing = \"log\" }\nflip = [true, false]\n";

fn sweep(space: &str, more: &[&str], folder: &Path) -> Value {
    fs::write(folder.join("space.toml"), space).unwrap();
    let args = [&["sweep", "space.toml", "--quiet", "--json"], &SHARED[..], more].concat();
    let output = roentgen(&args, folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else")
}

/// The files in the folders of a sweep, without times.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let (folders, mut paths): (Vec<_>, Vec<_>) = list(folder).into_iter().partition(|path| path.is_dir());
    paths.extend(folders.iter().flat_map(|folder| list(folder)));
    // These have times; the figures that are used of the metrics are in sweep.json.
    paths.retain(|path| {
        !["times.jsonl", "metrics.json", "report.html"].iter().any(|name| path.ends_with(name))
    });
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_sweep_halves_by_validation_and_its_best_is_what_train_trains() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let found = sweep(HALVING, &["--out", "sweep"], here);
    assert_eq!(
        serde_json::from_slice::<Value>(&fs::read(here.join("sweep/sweep.json")).unwrap()).unwrap(),
        found
    );
    let n_trainings = |rung: usize| found["rungs"][rung]["n_trainings"].as_u64().unwrap();
    assert_eq!((n_trainings(0), n_trainings(1), found["rungs"].as_array().unwrap().len()), (9, 3, 2));
    let trainings = found["trainings"].as_array().unwrap();
    let reached: Vec<usize> =
        trainings.iter().map(|training| training["rungs"].as_array().unwrap().len()).collect();
    assert_eq!(reached, [2, 2, 2, 1, 1, 1, 1, 1, 1]);
    let score = |training: &Value, rung: usize| training["rungs"][rung]["score"].as_f64().unwrap();
    let best_left_out = trainings[3..].iter().map(|training| score(training, 0)).fold(0.0, f64::max);
    assert!(trainings[..3].iter().all(|training| score(training, 0) >= best_left_out), "{found}");

    // Nothing knows of the test set, and no model is left.
    for (path, bytes) in files(&here.join("sweep")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.starts_with("model") && name != "predictions.jsonl", "{}", path.display());
        assert!(name != "data.json" || !text(&bytes).contains("\"test\""), "{}", text(&bytes));
    }
    let best = trainings[0]["rungs"][1]["folder"].as_str().unwrap();
    let metrics: Value =
        serde_json::from_slice(&fs::read(here.join("sweep").join(best).join("metrics.json")).unwrap())
            .unwrap();
    assert!(metrics.get("test").is_none() && metrics["val"]["accuracy"] == trainings[0]["rungs"][1]["score"]);

    let page = fs::read_to_string(here.join("sweep").join(best).join("report.html")).unwrap();
    assert!(page.contains("The model rejects no image.") && !page.contains("model.safetensors"));

    let command = found["command"].as_str().unwrap();
    let args: Vec<&str> = command.split(' ').skip(1).chain(["--quiet", "--out", "best"]).collect();
    let output = roentgen(&args, here);
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    let log = |run: PathBuf| fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert_eq!(log(here.join("best")), log(here.join("sweep").join(best)), "{command}");
    assert!(here.join("best/predictions.jsonl").exists(), "its test set is evaluated");
}

#[test]
fn a_sweep_that_was_broken_off_goes_on_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let found = sweep(HALVING, &["--pseudonyms", "--out", "sweep"], here);
    let expected = files(&here.join("sweep"));
    // As if it had been killed in the first training of the last rung, before its first checkpoint.
    let ended = found["trainings"][3]["rungs"][0]["folder"].as_str().unwrap();
    let broken = here.join("sweep").join(found["trainings"][0]["rungs"][1]["folder"].as_str().unwrap());
    for name in ["sweep.json", "sweep.html"] {
        fs::remove_file(here.join("sweep").join(name)).unwrap();
    }
    for name in ["metrics.json", "log.jsonl", "times.jsonl", "report.html"] {
        fs::remove_file(broken.join(name)).unwrap();
    }
    // And another one at its very end.
    for name in ["checkpoint.bin", ".lock"] {
        fs::write(here.join("sweep").join(ended).join(name), "").unwrap();
    }
    let times = || fs::read(here.join("sweep").join(ended).join("times.jsonl")).unwrap();
    let before = times();
    refuses(&["train", "--resume", "sweep"], 2, &["roentgen sweep --resume sweep"], here);
    let broken = broken.to_str().unwrap();
    refuses(&["train", "--resume", broken], 2, &["a training of a sweep", "roentgen sweep --resume"], here);
    let output = roentgen(&["sweep", "--resume", "sweep", "--threads", "3"], here);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for words in
        ["rung 2 of 2", "the test set is not evaluated", "train the best setting once", "  roentgen train "]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(times(), before, "a training that had ended was repeated");
    for ((path, expected), (found_path, found)) in expected.iter().zip(files(&here.join("sweep"))) {
        assert!(*path == found_path && *expected == found, "{} and {}", path.display(), found_path.display());
    }
    refuses(&["sweep", "--resume", "sweep"], 2, &["the run is finished"], here);
}

#[test]
fn a_training_that_diverges_is_the_worst_and_ends_nothing() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let space =
        "[settings]\nmax-lr = [1000, 0.01]\nclip = \"off\"\ndecay = \"decoupled\"\nweight-decay = 10\n";
    let found = sweep(space, &["--epochs", "2", "--out", "sweep"], here);
    let trainings = &found["trainings"];
    assert_eq!((&trainings[0]["number"], &trainings[1]["number"]), (&2.into(), &1.into()), "{found}");
    let failure = trainings[1]["rungs"][0]["failure"].as_str().unwrap();
    assert!(failure.contains("diverged") && trainings[1]["rungs"][0]["score"].is_null(), "{found}");
    assert!(fs::read_to_string(here.join("sweep/sweep.html")).unwrap().contains("failed: "));

    let all = space.replace("[1000, 0.01]", "[1000, 999]");
    fs::write(here.join("space.toml"), all).unwrap();
    let args = [&["sweep", "space.toml", "--quiet", "--epochs", "2", "--out", "none"], &SHARED[..]].concat();
    let output = roentgen(&args, here);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("none of the 2 trainings of the sweep can be used") && said.contains("diverged"),
        "{said}"
    );
}

#[test]
fn a_batch_too_small_for_its_shards_is_the_worst_and_ends_nothing() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::write(here.join("space.toml"), "[settings]\nbatch = [2, 16]\n").unwrap();
    let args = ["--films", "60", "--width", "8", "--size", "16", "--epochs", "1", "--micro-batches", "4"];
    let output = roentgen(&[&["sweep", "space.toml", "--quiet", "--json"], &args[..]].concat(), here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    let failure = found["trainings"][1]["rungs"][0]["failure"].as_str().unwrap();
    assert!(found["trainings"][0]["number"] == 2 && failure.contains("--micro-batches 4 leaves"), "{found}");
}

#[test]
fn a_width_that_the_initial_weights_do_not_have_is_the_worst_and_ends_nothing() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let shared = ["--films", "60", "--batch", "16", "--size", "16", "--epochs", "1"];
    train(&[&shared[..], &["--out", "first"]].concat(), here);
    fs::write(here.join("space.toml"), "[settings]\nwidth = [16, 8]\n").unwrap();
    let sweep = ["sweep", "space.toml", "--init", "first", "--quiet", "--json"];
    let output = roentgen(&[&sweep[..], &shared].concat(), here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    let failure = found["trainings"][1]["rungs"][0]["failure"].as_str().unwrap();
    assert!(found["trainings"][0]["number"] == 2 && failure.contains("has width 8 and not 16"), "{found}");
}

#[test]
fn trainings_are_compared_by_the_figures_that_their_epochs_are_selected_by() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("common", 48), ("rare", 16)]);
    fs::write(here.join("space.toml"), "[settings]\nflip = [true, false]\n").unwrap();
    // The predictions assume another class prior than the figures of an epoch.
    let more = ["--prior", "balanced", "--select", "log-loss", "--val-fraction", "0.3", "--epochs", "3"];
    let args = ["sweep", "space.toml", "films", "--width", "8", "--size", "16", "--quiet", "--json", "--out"];
    let output = roentgen(&[&args[..], &["sweep"], &more].concat(), here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    for training in found["trainings"].as_array().unwrap() {
        let result = &training["rungs"][0];
        let run = here.join("sweep").join(result["folder"].as_str().unwrap());
        let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
        let saved_epoch = result["saved_epoch"].as_u64().unwrap() as usize;
        let line: Value = serde_json::from_str(log.lines().nth(saved_epoch - 1).unwrap()).unwrap();
        assert_eq!(result["set"], "val", "{found}");
        for key in ["score", "log_loss"] {
            let err = (result[key].as_f64().unwrap() - line["val_loss"].as_f64().unwrap()).abs();
            assert!(err <= 1e-5, "{key}: {found} and {line}");
        }
    }
}

#[test]
fn a_sweep_goes_on_with_images_that_were_moved_and_with_no_others() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    write_images(here, "others", &[("ill", 20), ("well", 24)]);
    fs::write(here.join("space.toml"), "[settings]\nwidth = [8, 16]\n").unwrap();
    let args = ["sweep", "space.toml", "films", "--size", "16", "--epochs", "1", "--quiet", "--out", "sweep"];
    let output = roentgen(&args, here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let trainings = || -> Value {
        let text = fs::read(here.join("sweep/sweep.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["trainings"].clone()
    };
    let expected = trainings();
    // As if it had been killed before the second training.
    fs::remove_file(here.join("sweep/sweep.json")).unwrap();
    fs::remove_dir_all(here.join("sweep/training-2")).unwrap();
    fs::rename(here.join("films"), here.join("moved")).unwrap();
    refuses(&["sweep", "--resume", "sweep"], 2, &["films"], here);
    let resume = ["sweep", "--resume", "sweep", "--quiet", "--data"];
    refuses(&[&resume[..], &["others"]].concat(), 2, &["the images are no longer those"], here);
    let output = roentgen(&[&resume[..], &["moved"]].concat(), here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(trainings(), expected);
}

#[test]
fn a_training_of_other_settings_is_no_training_of_the_sweep() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    sweep("[settings]\nmax-lr = [0.01, 0.02]\n", &["--epochs", "1", "--out", "sweep"], here);
    // As if it had been killed before the second training, and edited then.
    let space = here.join("sweep/space.toml");
    fs::remove_file(here.join("sweep/sweep.json")).unwrap();
    fs::remove_dir_all(here.join("sweep/training-2")).unwrap();
    fs::write(&space, "[settings]\nmax-lr = [0.02, 0.01]\n").unwrap();
    for command in ["sweep --resume sweep", "collect sweep"] {
        if command.starts_with("collect") {
            fs::create_dir(here.join("sweep/training-2")).unwrap();
            fs::write(here.join("sweep/training-2/failure.json"), "{\"reason\": \"diverged\"}").unwrap();
        }
        let words = ["sweep/training-1: its max-lr is 0.01", "now have 0.02", "it is trained again"];
        refuses(&command.split(' ').collect::<Vec<_>>(), 2, &words, here);
    }
    fs::write(space, "[settings]\nmax-lr = [0.01, 0.02]\nflip = [true, false]\n").unwrap();
    fs::remove_dir_all(here.join("sweep/training-2")).unwrap();
    let output = roentgen(&["sweep", "--resume", "sweep", "--quiet"], here);
    assert!(output.status.success(), "more trainings after those that were: {}", text(&output.stderr));
}

#[test]
fn a_training_begins_with_the_initial_weights_of_the_others() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "60", "--size", "16", "--out", "first"], here);
    train(&["--films", "60", "--size", "16", "--max-lr", "0.02", "--out", "second"], here);
    let space = "[settings]\nflip = [true, false]\n";
    sweep(space, &["--epochs", "1", "--init", "first", "--out", "sweep"], here);
    // As if it had been killed before the second training.
    fs::remove_file(here.join("sweep/sweep.json")).unwrap();
    fs::remove_dir_all(here.join("sweep/training-2")).unwrap();
    fs::copy(here.join("second/model.safetensors"), here.join("first/model.safetensors")).unwrap();
    let words = ["sweep: the file of --init is no longer the one that it began with"];
    refuses(&["sweep", "--resume", "sweep", "--quiet"], 2, &words, here);
}

#[test]
fn a_training_of_other_arithmetic_is_collected_but_a_sweep_with_it_is_refused() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    sweep("[settings]\nflip = [true, false]\n", &["--epochs", "1", "--out", "sweep"], here);
    fs::remove_file(here.join("sweep/sweep.json")).unwrap();
    // One letter of the name of the arithmetic differs.
    let log = here.join("sweep/training-1/log.jsonl");
    let (key, line) = ("\"instruction_sets\":[\"", fs::read_to_string(&log).unwrap());
    let name = line.rfind(key).unwrap() + key.len();
    fs::write(&log, format!("{}X{}", &line[..name], &line[name + 1..])).unwrap();
    let words = ["sweep/training-1: it was computed with X", "add --other-cpu"];
    refuses(&["sweep", "--resume", "sweep"], 2, &words, here);
    let result = here.join("sweep/sweep.json");
    // To join what has ended, nothing is computed.
    for command in ["collect sweep --quiet", "sweep --resume sweep --other-cpu --quiet"] {
        let output = roentgen(&command.split(' ').collect::<Vec<_>>(), here);
        assert!(output.status.success() && result.exists(), "{command}: {}", text(&output.stderr));
        fs::remove_file(&result).unwrap();
    }
}

#[test]
fn the_results_of_a_sweep_stay_until_it_can_go_on() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 20), ("well", 20)]);
    fs::write(here.join("space.toml"), "[settings]\nflip = [true, false]\n").unwrap();
    let args = "sweep space.toml films --width 8 --size 16 --epochs 1 --quiet --out sweep";
    let output = roentgen(&args.split(' ').collect::<Vec<_>>(), here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::remove_file(here.join("sweep/training-1/metrics.json")).unwrap();
    let failure = "{\"reason\": \"too large\", \"lacked_memory\": true}";
    fs::write(here.join("sweep/training-1/failure.json"), failure).unwrap();
    fs::rename(here.join("films"), here.join("moved")).unwrap();
    assert!(!roentgen(&["sweep", "--resume", "sweep", "--quiet"], here).status.success());
    assert!(here.join("sweep/sweep.json").is_file() && here.join("sweep/training-1/failure.json").is_file());
    let output = roentgen(&["sweep", "--resume", "sweep", "--data", "moved", "--quiet"], here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(here.join("sweep/sweep.json").is_file() && !here.join("sweep/training-1/failure.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_training_that_lacked_memory_is_tried_again_also_after_the_end() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::write(here.join("space.toml"), "[settings]\nwidth = [128, 8]\n").unwrap();
    let program = assert_cmd::cargo::cargo_bin("roentgen");
    let limited = |limit: &str, args: &str| {
        let line = format!("{limit} exec {} sweep {args} --threads 1 --quiet", program.display());
        let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(here).output().unwrap();
        assert!(output.status.success(), "{args}: {}", text(&output.stderr));
        let file =
            fs::read(here.join(if args.contains("task") { "tasks" } else { "sweep" }).join("sweep.json"));
        file.ok().map(|text| serde_json::from_slice::<Value>(&text).unwrap())
    };
    let shared = "space.toml --films 24 --epochs 1 --size 32 --batch 20";
    let small = "ulimit -v 800000;";
    let found = limited(small, &format!("{shared} --out sweep")).unwrap();
    let failure = &found["trainings"][1]["rungs"][0]["failure"];
    assert!(failure.as_str().unwrap().contains("(ulimit -v)"), "{found}");
    // It still lacks memory, and later it does not.
    let again = limited(small, "--resume sweep").unwrap();
    assert_eq!(again["trainings"][1]["rungs"][0]["folder"], "training-1");
    assert!(again["trainings"][1]["rungs"][0]["score"].is_null(), "{again}");
    let times = fs::read(here.join("sweep/training-2/times.jsonl")).unwrap();
    let whole = limited("", "--resume sweep").unwrap();
    let is_scored = |training: &Value| training["rungs"][0]["score"].is_number();
    assert!(whole["trainings"].as_array().unwrap().iter().all(is_scored), "{whole}");
    assert_eq!(fs::read(here.join("sweep/training-2/times.jsonl")).unwrap(), times, "it was repeated");
    refuses(&["sweep", "--resume", "sweep"], 2, &["the run is finished"], here);

    // A task, too; collect trains nothing.
    let task = format!("{shared} --out tasks --task 1/1");
    limited(small, &task);
    assert!(here.join("tasks/training-1/failure.json").exists());
    limited("", &task);
    assert!(here.join("tasks/training-1/metrics.json").exists());
    assert!(!here.join("tasks/training-1/failure.json").exists());
}

#[test]
fn a_sweep_that_makes_no_sense_is_refused() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 12), ("well", 12)]);
    fs::write(here.join("space.toml"), "[settings]\nwidth = [8, 16]\n").unwrap();
    fs::write(here.join("halving.toml"), "halving = 3\n[settings]\nwidth = [8, 16]\n").unwrap();
    fs::write(here.join("million.toml"), "[settings]\nwidth = { from = 8, to = 256 }\nbatch = 5\n").unwrap();
    for (args, words) in [
        ("sweep", "<SPACE>"),
        ("sweep missing.toml", "cannot read the config file missing.toml"),
        ("sweep space.toml films --width 16", "--width cannot be used with this SPACE"),
        ("sweep space.toml films --folds 3", "--folds cannot be used with a sweep"),
        ("sweep space.toml --seeds 0..4", "--seeds cannot be used with a sweep"),
        (
            "sweep space.toml films --val-fraction 0",
            "a sweep cannot be used with data without a validation set",
        ),
        ("sweep halving.toml films", "halving cannot be used with so few trainings or epochs"),
        ("sweep million.toml films", "width has no steps"),
        ("sweep space.toml films --out films/sweep", "inside the data"),
        ("sweep --resume films", "not the folder of a run"),
        ("sweep --resume films --size 48", "of the settings, only --threads, --data and --test may be given"),
        ("sweep space.toml --resume films", "--resume"),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        refuses(&args, 2, &[words], here);
    }
}
