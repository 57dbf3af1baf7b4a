//! Every figure of `metrics.json` can be computed again from `predictions.jsonl` and `predictions_val.jsonl`, leaked and
//! rejected images included. `tests/recompute_metrics.py` does the same with scikit-learn.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use roentgen::data::ImageGroups;
use roentgen::{Predictions, SubsetMetrics};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{roentgen, text, train, write_images};

const TOLERANCE: f64 = 1e-9;
const CLASSES: [&str; 2] = ["ill", "well"];
/// What a run is, not how good its model is.
const FACTS: [&str; 13] = [
    "class_prior",
    "selection",
    "train_images_per_s",
    "train_seconds",
    "data_loading_fraction",
    "epochs",
    "saved_epoch",
    "n_parameters",
    "seed",
    "threads",
    "version",
    "verdict",
    "warning",
];

/// A list of images, three to a patient. Two test images also occur in the training set, one occurs twice in the test set, and
/// one is a white page, which a model rejects.
fn write_list(root: &Path) {
    write_images(root, "films", &[("ill", 60), ("well", 90)]);
    let path = |class: &str, number: usize| format!("films/{class}/film{number:02}.png");
    let page = image::GrayImage::from_fn(40, 36, |x, _| image::Luma([255 * u8::from(x > 1)]));
    page.save(root.join("films/well/page.png")).unwrap();
    fs::copy(root.join(path("ill", 0)), root.join("films/ill/copy.png")).unwrap();
    fs::copy(root.join(path("well", 2)), root.join("films/well/copy.png")).unwrap();
    fs::copy(root.join(path("well", 9)), root.join("films/well/again.png")).unwrap();
    let mut list = "path,label,split,patient\n".to_owned();
    for (class, count) in [("ill", 60), ("well", 90)] {
        for number in 0..count {
            let split = ["train", "train", "val", "test", "test"][number / 3 % 5];
            writeln!(list, "{},{class},{split},{class}{}", path(class, number), number / 3).unwrap();
        }
    }
    list += "films/ill/copy.png,ill,test,other1\nfilms/well/copy.png,well,test,other2\n";
    list += "films/well/page.png,well,test,other3\nfilms/well/again.png,well,test,other4\n";
    fs::write(root.join("list.csv"), list).unwrap();
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The metrics of some lines, with the logits divided by `temperature` and `shift` added.
fn metrics_of(lines: &[&Value], temperature: f64, shift: [f64; 2]) -> Value {
    let mut predictions = Predictions::new(CLASSES.len());
    for line in lines {
        let label = CLASSES.iter().position(|&class| line["class"] == class).unwrap();
        let logit =
            |class: usize| line["logits"][CLASSES[class]].as_f64().unwrap() / temperature + shift[class];
        predictions.add(label as u32, [logit(0), logit(1)].into_iter());
    }
    let patients: Vec<Option<String>> =
        lines.iter().map(|line| line["patient"].as_str().map(str::to_owned)).collect();
    let groups = ImageGroups::of_patients(&patients).joined(|image| lines[image]["group"].as_u64());
    let names = CLASSES.map(str::to_owned).to_vec();
    let metrics = SubsetMetrics::new(names, &predictions, groups.ids());
    serde_json::to_value(metrics).unwrap()
}

/// The calibration figures of some lines before and after the temperature.
fn before_after(lines: &[&Value], temperature: f64, shift: [f64; 2]) -> Value {
    let figures = |temperature: f64| {
        let metrics = metrics_of(lines, temperature, shift);
        let keys = ["ece_debiased", "log_loss", "brier_score"];
        let both = keys.into_iter().flat_map(|key| [key.to_owned(), format!("{key}_interval")]);
        let all = both.chain(["ece".to_owned()]);
        Value::Object(all.map(|key| (key.clone(), metrics[&key].clone())).collect())
    };
    json!({ "n": lines.len(), "before": figures(1.0), "after": figures(temperature) })
}

/// The most frequent class of a set with these metrics, against which the model is compared.
fn majority_baseline(metrics: &Value) -> Value {
    let n = |class: &str| metrics["per_class"][class]["n"].as_f64().unwrap();
    let class = if n(CLASSES[1]) > n(CLASSES[0]) { CLASSES[1] } else { CLASSES[0] };
    let accuracy = n(class) / metrics["n"].as_f64().unwrap();
    let exceeded = metrics["accuracy_interval"][0].as_f64().unwrap() > accuracy;
    json!({ "class": class, "accuracy": accuracy, "exceeded": exceeded })
}

/// What is added to the logits of some lines for calibration figures: nothing where predictions assume the prior of the training
/// set, otherwise what leads to the class shares of these lines and two more images with the shares of the training set.
fn shift_of(lines: &[&Value], class_prior: &Value) -> [f64; 2] {
    if class_prior["predictions"] == class_prior["training_set"] {
        return [0.0; 2];
    }
    let share = |of: &str, class: &str| class_prior[of][class].as_f64().unwrap();
    CLASSES.map(|class| {
        let n_of = lines.iter().filter(|line| line["class"] == class).count() as f64;
        let own = (n_of + 2.0 * share("training_set", class)) / (lines.len() as f64 + 2.0);
        (own / share("predictions", class)).ln()
    })
}

/// All figures of `metrics.json` from the predictions of a run. Of the file itself, only the temperature and the class
/// shares are used.
fn recomputed(run: &Path) -> Value {
    let (metrics, test) = (read(&run.join("metrics.json")), lines(&run.join("predictions.jsonl")));
    let val = lines(&run.join("predictions_val.jsonl"));
    let temperature = metrics["calibration"]["temperature"].as_f64().unwrap();
    let calibration =
        |lines: &[&Value]| before_after(lines, temperature, shift_of(lines, &metrics["class_prior"]));
    let is = |line: &Value, key: &str| line[key].as_bool().unwrap();
    let (val, all): (Vec<&Value>, Vec<&Value>) = (val.iter().collect(), test.iter().collect());
    let main: Vec<&Value> = all.iter().copied().filter(|line| !is(line, "leaked")).collect();
    let accepted: Vec<&Value> = main.iter().copied().filter(|line| !is(line, "rejected")).collect();
    let n_rejected = |lines: &[&Value]| lines.iter().filter(|line| is(line, "rejected")).count();
    let figures = |lines: &[&Value]| metrics_of(lines, temperature, [0.0; 2]);
    let mut all_figures = json!({
        "n_leaked_val": val.iter().filter(|line| is(line, "leaked")).count(),
        "val": figures(&val),
        "test": figures(&all),
        "test_deduplicated": figures(&main),
        "majority_baseline": majority_baseline(&figures(&main)),
        "main_set": "test_deduplicated",
        "n_leaked": all.len() - main.len(),
        "n_main_rejected": n_rejected(&main),
        "n_rejected": { "val": n_rejected(&val), "test": n_rejected(&all) },
        "calibration": {
            "temperature": temperature,
            "val": calibration(&val),
            "test": calibration(&main),
        },
    });
    if accepted.len() < main.len() {
        all_figures["test_accepted"] = figures(&accepted);
    }
    all_figures
}

/// Asserts that two values have the same keys, and numbers within the tolerance.
fn assert_same(found: &Value, expected: &Value, path: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()), "{path}: {:?} and {:?}", found.keys(), expected.keys());
            found
                .iter()
                .for_each(|(key, value)| assert_same(value, &expected[key], &format!("{path}.{key}")));
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{path}");
            found.iter().zip(expected).for_each(|(found, expected)| assert_same(found, expected, path));
        }
        (Value::Number(found), Value::Number(expected)) => {
            let err = (found.as_f64().unwrap() - expected.as_f64().unwrap()).abs();
            assert!(err <= TOLERANCE, "{path}: {found} and {expected}");
        }
        _ => assert_eq!(found, expected, "{path}"),
    }
}

#[test]
fn every_figure_follows_from_the_predictions_of_a_run() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_list(here);
    for prior in ["training", "balanced"] {
        let args = ["--data", "list.csv", "--epochs", "2", "--prior", prior, "--out", prior];
        train(&args, here);
        let run = here.join(prior);
        let mut metrics = read(&run.join("metrics.json"));
        let by_run = recomputed(&run);
        // The saved epoch was selected by the figures of its line in the log, of all images: none leaked.
        let saved_epoch = metrics["saved_epoch"].as_u64().unwrap() as usize;
        let (line, selection) = (&lines(&run.join("log.jsonl"))[saved_epoch - 1], &metrics["selection"]);
        assert_eq!(selection["set"], "val", "{selection}");
        for key in ["val_score", "val_loss"] {
            let err = (selection[key].as_f64().unwrap() - line[key].as_f64().unwrap()).abs();
            assert!(err <= 1e-5, "{key}: {selection} and {line}");
        }
        // Other classifiers on other pixels, where the run has time for them; and a comparison of images, not of answers.
        ["audit", "shift"].iter().for_each(|key| drop(metrics.as_object_mut().unwrap().remove(*key)));
        FACTS
            .iter()
            .for_each(|key| assert!(metrics.as_object_mut().unwrap().remove(*key).is_some(), "{key}"));
        assert_same(&metrics, &by_run, prior);
        assert!(metrics["n_leaked"].as_u64() >= Some(2), "{}", metrics["n_leaked"]);
        // Which images are rejected is up to the model; of one of the two, some are.
        if prior == "training" {
            assert!(metrics["n_main_rejected"].as_u64() >= Some(1), "{}", metrics["n_main_rejected"]);
        }

        let is_twice = |line: &Value| {
            ["film09", "again"]
                .iter()
                .any(|name| line["path"].as_str().unwrap().ends_with(&format!("well/{name}.png")))
        };
        let groups: Vec<Value> = lines(&run.join("predictions.jsonl"))
            .into_iter()
            .filter(is_twice)
            .map(|line| line["group"].clone())
            .collect();
        assert!(groups.len() == 2 && groups[0].is_u64() && groups[0] == groups[1], "{groups:?}");

        // The probabilities of the file are those of its logits, for the class prior of the predictions.
        let temperature = metrics["calibration"]["temperature"].as_f64().unwrap();
        for line in lines(&run.join("predictions.jsonl")) {
            let e = CLASSES.map(|class| (line["logits"][class].as_f64().unwrap() / temperature).exp());
            let err = (line["probabilities"]["ill"].as_f64().unwrap() - e[0] / (e[0] + e[1])).abs();
            assert!(err <= TOLERANCE, "{line}");
        }
    }
}

#[test]
fn every_place_shows_the_same_main_figures() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_list(here);
    let args = ["train", "--data", "list.csv", "--width", "8", "--epochs", "2", "--out"];
    let output = roentgen(&[&args[..], &["a"]].concat(), here);
    let screen = text(&output.stdout);
    let metrics = read(&here.join("a/metrics.json"));
    let main = &metrics["test_deduplicated"];
    let rows: Vec<u64> = main["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    let (n, n_correct) = (rows.iter().sum::<u64>(), rows[0] + rows[3]);
    let page = fs::read_to_string(here.join("a/report.html")).unwrap();
    assert!(
        page.contains(&format!("classified {n_correct} of {n} test images (without leakage)")),
        "verdict"
    );
    let verdict = metrics["verdict"].as_str().unwrap();
    assert!(
        verdict.contains(&format!("classified {n_correct} of {n} test images (without leakage)")),
        "{verdict}"
    );
    let matrix = page.find("Confusion matrix").unwrap();
    let cells: String = page[matrix..].chars().take(1200).collect();
    assert!(
        cells.contains(&format!(">{}</td>", rows[0])) && cells.contains(&format!(">{}</td>", rows[3])),
        "{cells}"
    );
    assert!(screen.contains(&format!("({n_correct} of {n} images)")), "{screen}");
    assert!(
        screen.contains("as given") && screen.contains("images would be rejected; without them"),
        "{screen}"
    );

    let args = ["evaluate", "--model", "a", "--data", "list.csv", "--json"];
    let output = roentgen(&args, here);
    let (found, said): (Value, String) =
        (serde_json::from_slice(&output.stdout).unwrap(), text(&output.stderr));
    for key in ["test", "test_deduplicated", "test_accepted", "n_leaked", "n_rejected", "n_main_rejected"] {
        assert_same(&found[key], &metrics[key], key);
    }
    assert!(
        said.contains(&format!("{} of {} test images", metrics["n_leaked"], metrics["test"]["n"])),
        "{said}"
    );

    roentgen(&[&args_of_second()[..], &["b"]].concat(), here);
    let output = roentgen(&["compare", "a", "b", "--json"], here);
    let compared: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&compared["n"], &compared["with_leaked"]["n"]), (&main["n"], &metrics["test"]["n"]));
    assert_same(&compared["accuracy"][0], &main["accuracy"], "compare");
}

fn args_of_second() -> [&'static str; 10] {
    ["train", "--data", "list.csv", "--width", "8", "--epochs", "1", "--seed", "1", "--out"]
}

#[test]
fn validation_images_that_leaked_are_left_out_of_the_result() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films/train", &[("ill", 20), ("well", 20)]);
    write_images(here, "films/val", &[("ill", 26), ("well", 26)]);
    for class in ["ill", "well"] {
        // 20 to 25 are new, the rest are copies.
        (6..20)
            .for_each(|n| fs::remove_file(here.join(format!("films/val/{class}/film{n:02}.png"))).unwrap());
    }
    let args = ["train", "films", "--test-fraction", "0", "--width", "8", "--epochs", "1", "--out", "a"];
    let output = roentgen(&args, here);
    let metrics = read(&here.join("a/metrics.json"));
    assert_eq!(
        (&metrics["n_leaked_val"], &metrics["val"]["n"], &metrics["val_deduplicated"]["n"]),
        (&12.into(), &24.into(), &12.into()),
        "{metrics}"
    );
    let val = lines(&here.join("a/predictions_val.jsonl"));
    let new: Vec<&Value> = val.iter().filter(|line| line["leaked"] == false).collect();
    let temperature = metrics["calibration"]["temperature"].as_f64().unwrap();
    assert_same(&metrics["val_deduplicated"], &metrics_of(&new, temperature, [0.0; 2]), "val_deduplicated");
    assert_eq!(metrics["selection"]["set"], "val_deduplicated", "{metrics}");
    assert_eq!(metrics["selection"]["val_score"], metrics["val_deduplicated"]["accuracy"], "{metrics}");
    assert!(
        metrics["verdict"].as_str().unwrap().contains("12 validation images (without leakage)"),
        "{metrics}"
    );
    let page = fs::read_to_string(here.join("a/report.html")).unwrap();
    let said = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for shown in [page, said] {
        assert!(
            shown.contains("12 validation images or their patients also occur in the training set"),
            "{shown}"
        );
    }
}
