//! What keeps figures honest, as a user meets it: inspect, audit, leaks, patients and folds.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{roentgen, text, train, write_images};

/// What a command printed as JSON.
fn json(args: &[&str], folder: &Path) -> Value {
    let output = roentgen(args, folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    json_of(&output.stdout)
}

fn json_of(stdout: &[u8]) -> Value {
    serde_json::from_slice(stdout).expect("one JSON object and nothing else")
}

/// `train/` and `test/` with one image of `test/` that is also in `train/`.
fn write_leaky(root: &Path) {
    write_images(root, "train", &[("normal", 20), ("sick", 20)]);
    write_images(root, "rest", &[("normal", 30), ("sick", 30)]);
    for class in ["normal", "sick"] {
        fs::create_dir_all(root.join("test").join(class)).unwrap();
        for number in 20..30 {
            let name = format!("{class}/film{number}.png");
            fs::copy(root.join("rest").join(&name), root.join("test").join(&name)).unwrap();
        }
    }
    fs::remove_dir_all(root.join("rest")).unwrap();
    fs::copy(root.join("train/sick/film03.png"), root.join("test/sick/copy.png")).unwrap();
}

#[test]
fn inspect_finds_duplicates_leakage_and_bad_files() {
    let folder = TempDir::new().unwrap();
    write_leaky(folder.path());
    fs::write(folder.path().join("train/normal/broken.png"), "no image").unwrap();
    let found = json(&["inspect", ".", "--val-fraction", "0", "--json", "--quiet"], folder.path());
    assert_eq!(found["sets"]["train"]["sick"], 20, "{found}");
    assert_eq!(found["sets"]["test"]["sick"], 11);
    let leak = &found["leakage"][0];
    assert_eq!(leak["path"], "test/sick/copy.png");
    assert_eq!(leak["original"], "train/sick/film03.png");
    assert_eq!((&leak["set"], &leak["original_set"]), (&"test".into(), &"train".into()));
    assert_eq!(leak["similarity"], 1.0);
    assert_eq!(found["duplicates"][0].as_array().unwrap().len(), 2);
    assert!(found["bad"][0]["path"].as_str().unwrap().ends_with("broken.png"));
    assert!(found["bad"][0]["reason"].as_str().unwrap().contains("not an image"));
    assert_eq!(found["patients"]["source"], Value::Null);
    assert_eq!((&found["patients"]["n"], &found["patients"]["crossing"]), (&0.into(), &Value::Array(vec![])));
    assert_eq!(found["conflicts"], Value::Array(vec![]), "the duplicate is of the same class");
    // What a user reads says the same.
    let said = text(&roentgen(&["inspect", "."], folder.path()).stdout);
    for word in ["LEAKAGE", "test/sick/copy.png", "broken.png", "min to train", "image"] {
        let seconds = word == "min to train" && said.contains(" s to train");
        assert!(said.contains(word) || seconds, "{word}: {said}");
    }
}

#[test]
fn inspect_shows_contradicting_labels_and_what_a_run_splits_off() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "", &[("normal", 12), ("sick", 12)]);
    fs::copy(folder.path().join("sick/film03.png"), folder.path().join("normal/same.png")).unwrap();
    // Of another size, the first one by its name.
    image::GrayImage::new(120, 30).save(folder.path().join("normal/wide.png")).unwrap();
    let found = json(&["inspect", ".", "--json", "--quiet"], folder.path());
    let group = &found["conflicts"][0];
    assert_eq!((&group[0]["path"], &group[0]["class"]), (&"normal/same.png".into(), &"normal".into()));
    assert_eq!((&group[1]["path"], &group[1]["class"]), (&"sick/film03.png".into(), &"sick".into()));
    let of_set = |set: &str| found["sets"][set]["sick"].as_u64().unwrap();
    assert_eq!(["train", "val", "test"].map(of_set), [10, 1, 1], "the sets are those of a run: {found}");
    let note = "`train` splits off 10 % as the validation set (--val-fraction) and 10 % as the test set (--test-fraction)";
    assert!(found["notes"].to_string().contains(note), "{found}");
    let said = text(&roentgen(&["inspect", "."], folder.path()).stdout);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "LABELS 1 group of duplicates in more than one class",
        "normal/same.png (normal) = sick/film03.png (sick)",
        "files 40x36 (25) and other sizes",
        note,
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn train_says_of_the_classes_and_sets_what_inspect_says() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "few", &[("covid", 2), ("normal", 40)]);
    write_images(folder.path(), "two", &[("covid", 1), ("normal", 1)]);
    // A patient in each class.
    write_images(folder.path(), "one", &[("covid", 9), ("normal", 9)]);
    for at in 0..18 {
        let (class, number) = (["covid", "normal"][at / 9], at % 9);
        let file = |name: String| folder.path().join("one").join(class).join(name);
        let patient = format!("person{}_virus_{number}.png", at / 9);
        fs::rename(file(format!("film{number:02}.png")), file(patient)).unwrap();
    }
    let sentences: [(&str, &[&str]); 3] = [
        (
            "few",
            &[
                "the largest class has 20.0 times as many images as the smallest",
                "fewer than 10 training images: `covid` (1)",
                "the validation set (4 images), which was split off, has no image of `covid`",
            ],
        ),
        (
            "two",
            &["there is no validation set: 10 % (--val-fraction) of 2 images", "there is no test set: 10 %"],
        ),
        (
            "one",
            &[
                "there is no test set: the images of each class in the training set are of one patient (known from file names",
            ],
        ),
    ];
    for (data, sentences) in sentences {
        let inspected = json(&["inspect", data, "--json", "--quiet"], folder.path());
        let args = ["train", data, "--epochs", "1", "--width", "8", "--out"];
        let out = format!("run-{data}");
        let output = roentgen(&[&args[..], &[out.as_str()]].concat(), folder.path());
        let said = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        let record = fs::read(folder.path().join(out).join("data.json")).unwrap();
        let recorded: Value = serde_json::from_slice(&record).unwrap();
        for sentence in sentences {
            assert!(said.contains(sentence), "train does not say {sentence:?}: {said}");
            for notes in [&inspected["notes"], &recorded["notes"]] {
                assert!(notes.to_string().contains(sentence), "{sentence:?}: {notes}");
            }
        }
        for note in recorded["notes"].as_array().unwrap() {
            assert!(inspected["notes"].as_array().unwrap().contains(note), "{note}");
        }
    }
}

#[test]
fn a_pattern_beside_a_column_of_patients_has_a_note() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "", &[("normal", 6), ("sick", 6)]);
    let line = |class: &str, n: u32| format!("{class}/film{n:02}.png,{class},p{n}\n");
    let lines: String = (0..6).flat_map(|n| [line("normal", n), line("sick", n)]).collect();
    fs::write(folder.path().join("list.csv"), "path,label,patient\n".to_owned() + &lines).unwrap();
    let args = ["inspect", "list.csv", "--patient-pattern", r"film(\d)", "--json", "--quiet"];
    let notes = json(&args, folder.path())["notes"].to_string();
    assert!(notes.contains("--patient-pattern is not used: a column"), "{notes}");
    assert!(notes.contains("fewer than 10 training images: `normal` (4), `sick` (4)"), "{notes}");
}

#[cfg(unix)]
#[test]
fn control_characters_in_names_do_not_reach_the_terminal() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "", &[("normal", 4), ("si\u{1b}[31mck", 4)]);
    fs::write(folder.path().join("normal/bro\u{1b}[2Jken.png"), "no image").unwrap();
    let output = roentgen(&["inspect", "."], folder.path());
    let said = text(&output.stdout);
    assert!(said.contains("si\u{FFFD}[31mck") && said.contains("bro\u{FFFD}[2Jken.png"), "{said}");
    let run = TempDir::new().unwrap();
    let refused = roentgen(&["train", "--data", ".", "--out", run.path().to_str().unwrap()], folder.path());
    assert!(text(&refused.stderr).contains("bro\u{FFFD}[2Jken.png"));
    assert!([output.stdout, refused.stderr].iter().all(|said| !said.contains(&0x1b)));
}

#[test]
fn a_test_set_without_a_new_image_has_a_warning() {
    let folder = TempDir::new().unwrap();
    for part in ["train", "test"] {
        write_images(folder.path(), part, &[("normal", 5), ("sick", 5)]);
    }
    let said = text(&roentgen(&["inspect", "."], folder.path()).stdout);
    assert!(
        said.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("every test image also occurs in the training or validation set"),
        "{said}"
    );
}

#[test]
fn leaked_images_are_left_out_and_rejected_with_strict() {
    let folder = TempDir::new().unwrap();
    write_leaky(&folder.path().join("films"));
    let printed = train(&["--data", "films", "--out", "run"], folder.path());
    assert_eq!(printed["test"]["n"], 21, "{printed}");
    assert_eq!(printed["test_deduplicated"]["n"], 20);
    assert_eq!(printed["n_leaked"], 1);
    let data: Value =
        serde_json::from_slice(&fs::read(folder.path().join("run/data.json")).unwrap()).unwrap();
    assert_eq!(data["leakage"][0]["path"], "test/sick/copy.png");

    let output = roentgen(&["train", "--data", "films", "--strict", "--out", "no"], folder.path());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("test/sick/copy.png = train/sick/film03.png"));
    assert!(!folder.path().join("no").exists());
}

#[test]
fn evaluate_leaves_out_images_of_the_training() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films/train", &[("normal", 16), ("sick", 16)]);
    for class in ["normal", "sick"] {
        let [train, test, mixed] =
            ["films/train", "films/test", "mixed"].map(|part| here.join(part).join(class));
        fs::create_dir_all(&test).unwrap();
        fs::create_dir_all(&mixed).unwrap();
        for number in 12..16 {
            let film = format!("film{number}.png");
            fs::copy(train.join(&film), mixed.join(&film)).unwrap();
            fs::rename(train.join(&film), test.join(&film)).unwrap();
        }
    }
    train(&["--data", "films", "--out", "run"], here);
    for number in 0..3 {
        // Under another name and in another file, but the same image.
        let film = image::open(here.join(format!("films/train/sick/film{number:02}.png"))).unwrap();
        film.to_luma8().save(here.join(format!("mixed/sick/new{number}.png"))).unwrap();
    }
    let args = ["evaluate", "--model", "run/model.safetensors", "--json", "--data"];
    let output = roentgen(&[&args[..], &["mixed"]].concat(), here);
    let (found, said) = (json_of(&output.stdout), text(&output.stderr));
    assert_eq!(
        (&found["n_seen"], &found["n_leaked"], &found["test"]["n"]),
        (&3.into(), &3.into(), &11.into())
    );
    assert_eq!(found["test_deduplicated"]["n"], 8, "{found}");
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("{words}: {said}"));
    assert!(place("3 of 11 test images") < place("without 3 that leaked"), "{said}");
    let names_limits = |said: &[u8]| {
        let words = text(said).split_whitespace().collect::<Vec<_>>().join(" ");
        words.contains("only equal pixels are recognised: not near-duplicates of training images")
    };
    assert!(names_limits(&output.stderr), "{said}");
    assert!(place("without 3 that leaked") < place("all 11 test images, with the 3 that leaked"), "{said}");

    let output = roentgen(&[&args[..], &["films/train"]].concat(), here);
    let found = json_of(&output.stdout);
    assert_eq!((&found["n_seen"], &found["test"]["n"]), (&24.into(), &24.into()), "validation is seen too");
    assert!(
        found.get("test_deduplicated").is_none() && text(&output.stderr).contains("none are left"),
        "{found}"
    );
    let output = roentgen(&[&args[..], &["films"]].concat(), here);
    let own = json_of(&output.stdout);
    assert_eq!((&own["n_seen"], &own["n_leaked"]), (&0.into(), &0.into()));
    assert!(!names_limits(&output.stderr), "{}", text(&output.stderr));
}

/// Films of eight patients a class, three of each, named as in Kermany's data set (`IM-0001-…`, `person1_virus_2`).
fn write_patients(folder: &Path) {
    let root = folder.join("films");
    write_images(&root, "", &[("normal", 24), ("sick", 24)]);
    for number in 0..24 {
        let film = format!("film{number:02}.png");
        let (normal, sick) = (root.join("normal"), root.join("sick"));
        let patient = number / 3;
        fs::rename(normal.join(&film), normal.join(format!("IM-{patient:04}-{number:04}.png"))).unwrap();
        fs::rename(sick.join(&film), sick.join(format!("person{patient}_virus_{number}.png"))).unwrap();
    }
}

/// The patient in the name of one of them.
fn patient(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap();
    if name.starts_with("IM-") { name[..7].to_owned() } else { name.split('_').next().unwrap().to_owned() }
}

/// The tested images of a run, with their answers.
fn predictions(run: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(run.join("predictions.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn folds_test_every_image_once_and_never_split_a_patient() {
    let folder = TempDir::new().unwrap();
    write_patients(folder.path());
    let printed = train(&["--data", "films", "--folds", "4", "--out", "run"], folder.path());
    assert_eq!((&printed["pooled"]["n"], &printed["n_folds"]), (&48.into(), &4.into()), "{printed}");
    assert!(printed["mean"]["accuracy"].is_number() && printed["sd"]["accuracy"].is_number());
    assert!(printed["n_leaked"] == 0 && printed.get("pooled_deduplicated").is_none());
    let mut seen = Vec::new();
    let mut patients: Vec<(String, usize)> = Vec::new();
    for fold in 1..=4 {
        for line in predictions(&folder.path().join(format!("run/fold-{fold}"))) {
            let path = line["path"].as_str().unwrap().to_owned();
            assert!(line["patient"].is_string() && line["digest"].is_string(), "{line}");
            patients.push((patient(&path), fold));
            seen.push(path);
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 48);
    patients.sort();
    patients.dedup();
    assert_eq!(patients.len(), 16, "each patient in one fold: {patients:?}");

    // A model of a fold is evaluated on its own fold again.
    let model = "run/fold-2/model.safetensors";
    let again = json(&["evaluate", "--model", model, "--data", "films", "--json", "--quiet"], folder.path());
    let fold: Value =
        serde_json::from_slice(&fs::read(folder.path().join("run/fold-2/metrics.json")).unwrap()).unwrap();
    assert_eq!(again["test"], fold["test"]);
}

#[test]
fn folds_leave_out_what_is_also_in_a_given_validation_part() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films/train", &[("normal", 20), ("sick", 20)]);
    fs::create_dir_all(here.join("films/val/sick")).unwrap();
    fs::create_dir_all(here.join("films/val/normal")).unwrap();
    for film in ["sick/film03.png", "sick/film04.png", "normal/film07.png"] {
        fs::copy(here.join("films/train").join(film), here.join("films/val").join(film)).unwrap();
    }
    let args = ["train", "--data", "films", "--folds", "2", "--epochs", "1", "--width", "8", "--json"];
    let output = roentgen(&[&args[..], &["--out", "run"]].concat(), here);
    let (printed, said) = (json_of(&output.stdout), text(&output.stderr));
    assert_eq!((&printed["n_leaked"], &printed["pooled"]["n"]), (&3.into(), &40.into()), "{printed}");
    assert_eq!(printed["pooled_deduplicated"]["n"], 37);
    let kept: Value = serde_json::from_slice(&fs::read(here.join("run/metrics.json")).unwrap()).unwrap();
    assert_eq!(kept, printed);
    for words in [
        "2 folds pooled, without 3 that leaked",
        "the pooled ROC AUC ranks",
        "over the folds, without images that leaked",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let of_folds = &said[said.find("over the folds").unwrap()..];
    assert!(of_folds.contains("Brier score") && of_folds.contains("Cohen's kappa"), "{of_folds}");
}

#[test]
fn splits_keep_patients_together_and_evaluate_finds_them_again() {
    let folder = TempDir::new().unwrap();
    write_patients(folder.path());
    let printed = train(&["--data", "films", "--test-fraction", "0.3", "--out", "run"], folder.path());
    let tested: Vec<String> = predictions(&folder.path().join("run"))
        .iter()
        .map(|line| patient(line["path"].as_str().unwrap()))
        .collect();
    for patient in &tested {
        assert_eq!(tested.iter().filter(|other| *other == patient).count(), 3, "{tested:?}");
    }
    let args = ["evaluate", "--model", "run/model.safetensors", "--data", "films", "--json", "--quiet"];
    assert_eq!(json(&args, folder.path())["test"], printed["test"]);
    let found = json(&["inspect", "films", "--json", "--quiet"], folder.path());
    assert_eq!(
        (&found["patients"]["n"], &found["patients"]["crossing"]),
        (&16.into(), &Value::Array(vec![]))
    );
}

#[test]
fn audit_flags_a_planted_marker_and_nothing_on_clean_phantom_films() {
    let folder = TempDir::new().unwrap();
    let small = ["data", "phantom", "--films", "240", "--out", "films"];
    assert!(roentgen(&small, folder.path()).status.success());
    let args = ["audit", "--data", "films", "--size", "16", "--epochs", "4", "--json", "--quiet"];
    let clean = json(&args, folder.path());
    assert_eq!(clean["flagged"], false, "{clean}");
    for probe in ["full_image", "border", "centre_blanked", "file_facts"] {
        assert!(clean[probe]["roc_auc"].is_number() && clean[probe]["interval"].is_array(), "{clean}");
    }
    // Films from elsewhere, which do not have the marker, must not hide it.
    fs::rename(folder.path().join("films/test"), folder.path().join("elsewhere")).unwrap();
    for part in ["train", "val"] {
        for entry in fs::read_dir(folder.path().join("films").join(part).join("covid")).unwrap() {
            let path = entry.unwrap().path();
            let mut film = image::open(&path).unwrap().to_luma8();
            (4..16).for_each(|x| (4..12).for_each(|y| film.put_pixel(x, y, image::Luma([255]))));
            film.save(&path).unwrap();
        }
    }
    let marked = json(&[&args[..], &["--test", "elsewhere"]].concat(), folder.path());
    assert_eq!((&marked["flagged"], &marked["border"]["flagged"]), (&true.into(), &true.into()), "{marked}");
    assert!(marked["verdict"].as_str().unwrap().contains("`covid`"), "{marked}");
}

#[test]
fn audit_leaves_out_leaked_images() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_leaky(here);
    let args = ["audit", ".", "--size", "8", "--epochs", "1", "--json"];
    let output = roentgen(&args, here);
    let found = json_of(&output.stdout);
    assert_eq!(
        (&found["n"], &found["n_leaked"]),
        (&24.into(), &1.into()),
        "4 of the validation set, 20 of the test set: {found}"
    );
    assert!(text(&output.stderr).contains("1 left out"), "{}", text(&output.stderr));

    for part in ["train", "val", "test"] {
        write_images(here, &format!("same/{part}"), &[("normal", 4), ("sick", 4)]);
    }
    let output = roentgen(&["audit", "same", "--size", "8", "--epochs", "1"], here);
    assert!(text(&output.stderr).contains("every validation and test image"), "{}", text(&output.stderr));
}

#[test]
fn all_options_together_give_one_model_at_any_number_of_threads() {
    let folder = TempDir::new().unwrap();
    let options = [
        "--films",
        "60",
        "--rotate",
        "8",
        "--zoom",
        "0.1",
        "--jitter",
        "0.2",
        "--erase",
        "0.3",
        "--sampler",
        "balanced",
        "--normalize",
        "image",
        "--ema",
        "0.9",
        "--tta",
        "--select",
        "auc",
        "--oversample-hard",
        "3",
        "--label-smoothing",
        "0.1",
        "--class-weights",
        "sqrt",
        "--prior",
        "balanced",
    ];
    let model = |threads: &str| {
        train(&[&options[..], &["--threads", threads, "--out", threads]].concat(), folder.path());
        fs::read(folder.path().join(threads).join("model.safetensors")).unwrap()
    };
    assert!(model("1") == model("3"), "the bytes differ");
}

#[test]
fn a_balanced_prior_takes_the_rare_class_to_be_as_common_as_the_other() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("any", 120)]);
    // The images of both classes are of one kind, so a model can only learn how frequent the classes are.
    let mut list = "path,label,split\n".to_owned();
    for number in 0..120 {
        let label = if number % 10 == 0 { "rare" } else { "common" };
        let part = ["train", "train", "test"][number / 10 % 3];
        list += &format!("films/any/film{number:02}.png,{label},{part}\n");
    }
    fs::write(folder.path().join("list.csv"), list).unwrap();
    let odds_of_rare = |prior: &str| {
        let options = ["--data", "list.csv", "--val-fraction", "0", "--epochs", "16"];
        train(&[&options[..], &["--prior", prior, "--out", prior]].concat(), folder.path());
        let predicted = predictions(&folder.path().join(prior));
        let sum: f64 = predicted.iter().map(|film| film["probabilities"]["rare"].as_f64().unwrap()).sum();
        let mean = sum / predicted.len() as f64;
        mean / (1.0 - mean)
    };
    let (training, balanced) = (odds_of_rare("training"), odds_of_rare("balanced"));
    assert!(training < 0.15, "one in ten: {training}");
    assert!((3.0..27.0).contains(&(balanced / training)), "nine times that: {balanced}");
    let says_so = |run: &str| text(&roentgen(&["describe", run], folder.path()).stdout).contains("equally");
    assert!(
        says_so("balanced") && !says_so("training"),
        "a model names the class prior that its predictions assume"
    );
}

#[test]
fn a_preset_is_written_out_in_the_config_and_flags_win_over_it() {
    let folder = TempDir::new().unwrap();
    train(&["--films", "30", "--preset", "robust", "--zoom", "0.05", "--out", "run"], folder.path());
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    for line in [
        "zoom = 0.05",
        "erase = 0.3",
        "class-weights = \"none\"",
        "prior = \"balanced\"",
        "oversample-hard = 10",
        "tta = true",
        "epochs = 1",
    ] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let both = ["train", "--preset", "robust", "--config", "run/config.toml"];
    assert_eq!(roentgen(&both, folder.path()).status.code(), Some(2));
}
