//! A trained model predicts images, and rejects those unlike its training images.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train};

/// A small model of the phantom set in `run`, and new phantom films in `films`; trained once for all tests.
fn model() -> TempDir {
    static TRAINED: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("predict");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        train(&["--films", "240", "--out", "run"], &folder);
        let films = ["data", "phantom", "--films", "80", "--seed", "9", "--quiet", "--out", "films"];
        assert!(roentgen(&films, &folder).status.success());
        folder
    });
    let folder = TempDir::new().unwrap();
    copy(&TRAINED, folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
    }
}

fn lines(output: &[u8]) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).expect("a JSON object per line")).collect()
}

fn save(folder: &Path, name: &str, pixel: impl FnMut(u32, u32) -> u8) -> String {
    let mut pixel = pixel;
    GrayImage::from_fn(300, 260, |x, y| Luma([pixel(x, y)])).save(folder.join(name)).unwrap();
    name.to_owned()
}

#[test]
fn films_are_predicted_and_other_images_are_rejected() {
    let folder = model();
    let here = folder.path();
    let output = roentgen(&["predict", "--model", "run", "films/test", "--json"], here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut predictions = lines(&output.stdout);
    let shift = predictions.pop().expect("a last line");
    assert!(shift["shift"]["detected"] == false, "{shift}");
    assert_eq!(predictions.len(), 20);
    for prediction in &predictions {
        let probabilities = prediction["probabilities"].as_object().unwrap();
        let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{prediction}");
        if prediction["rejected"] == false {
            assert_eq!(prediction["probability"], probabilities[prediction["class"].as_str().unwrap()]);
        }
    }
    let n_rejected = predictions.iter().filter(|prediction| prediction["rejected"] == true).count();
    assert!(n_rejected <= 3, "{n_rejected} of 20 films are rejected");

    let mut state = 1u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let nonsense =
        [
            save(here, "black.png", |_, _| 0),
            save(here, "grey.png", |_, _| 128),
            save(here, "white.png", |_, _| 255),
            save(here, "noise.png", |_, _| noise()),
            // A page of text, as one sees it from far away.
            save(here, "page.png", |x, y| {
                if y % 20 < 9 && x % 5 < 3 && (x / 35 + y / 20) % 4 != 0 { 20 } else { 250 }
            }),
            save(here, "ramp.png", |x, _| (x * 255 / 300) as u8),
            save(here, "checks.png", |x, y| if (x / 40 + y / 40) % 2 == 0 { 0 } else { 255 }),
        ];
    let args = [
        &["predict", "--model", "run/model.safetensors", "--json"],
        &nonsense.each_ref().map(String::as_str)[..],
    ];
    let output = roentgen(&args.concat(), here);
    assert!(output.status.success() && text(&output.stderr).contains("7 images"), "{}", text(&output.stderr));
    for prediction in lines(&output.stdout) {
        assert!(prediction["rejected"] == true && prediction["reason"].is_string(), "{prediction}");
        assert!(prediction["class"].is_null() && prediction["probability"].is_null(), "{prediction}");
        assert_eq!(prediction["probabilities"].as_object().unwrap().len(), 3, "the scores remain");
    }
    let printed = |format: &[&str]| {
        let args = [&["predict", "run", "noise.png", "black.png"], format].concat();
        text(&roentgen(&args, here).stdout).to_owned()
    };
    for line in printed(&["--csv"]).lines().skip(1) {
        assert!(line.ends_with(".png,,,true,unlike the images that the model was trained on,,,,"), "{line}");
    }
    for line in printed(&[]).lines() {
        assert!(line.contains("rejected  ") && !line.contains('%'), "{line}");
    }
    // With so few validation images, the cut-off is chosen on them and the training images, each held out in turn.
    let json: Value = serde_json::from_slice(&roentgen(&["describe", "run", "--json"], here).stdout)
        .expect("a description");
    let held_out = &json["card"]["ood_detector"]["held_out"];
    let [n, n_rejected] = ["n", "n_rejected"].map(|key| held_out[key].as_u64().unwrap());
    assert!(n == 270 && (1..=n / 20).contains(&n_rejected), "{held_out}");
    let metrics: Value = serde_json::from_slice(&fs::read(here.join("run/metrics.json")).unwrap()).unwrap();
    assert!(metrics["n_rejected"]["val"].as_u64().unwrap() <= 4, "{}", metrics["n_rejected"]);
}

/// The new films of the test set.
fn films(folder: &Path) -> Vec<PathBuf> {
    let classes = ["covid", "normal", "pneumonia"].map(|class| folder.join("films/test").join(class));
    classes.iter().flat_map(|class| fs::read_dir(class).unwrap().map(|film| film.unwrap().path())).collect()
}

/// The films are as the training images, but all of them are darker than most.
#[test]
fn a_batch_from_elsewhere_is_noticed() {
    let folder = model();
    let here = folder.path();
    for class in ["covid", "normal", "pneumonia"] {
        fs::create_dir_all(here.join("darker").join(class)).unwrap();
        for film in fs::read_dir(here.join("films/test").join(class)).unwrap() {
            let film = film.unwrap().path();
            let mut image = image::open(&film).unwrap().to_luma8();
            image.pixels_mut().for_each(|pixel| pixel.0[0] = (f32::from(pixel.0[0]) * 0.6) as u8);
            image.save(here.join("darker").join(class).join(film.file_name().unwrap())).unwrap();
        }
    }
    let output = roentgen(&["predict", "run", "darker", "--json"], here);
    let shift = lines(&output.stdout).pop().expect("a last line")["shift"].take();
    assert!(shift["detected"] == true && shift["p_value"].as_f64() <= Some(0.01), "{shift}");
    assert!(shift["batch"]["n_images"] == 20 && shift["validation"]["n_images"] == 30, "{shift}");
    let listed: Vec<_> = shift["file_facts"].as_array().unwrap().iter().map(|fact| &fact["fact"]).collect();
    assert_eq!(listed, ["brightness"], "{shift}");
    let said = "these 20 images differ from the validation images";
    assert!(text(&output.stderr).contains("SHIFT"), "{}", text(&output.stderr));
    let whole = |output: &[u8]| text(output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(whole(&output.stderr).contains(said), "{}", text(&output.stderr));
    let facts = "On average, the files differ in brightness (0.";
    assert!(whole(&output.stderr).contains(facts), "{}", text(&output.stderr));
    for (data, detected) in [("darker", true), ("films/test", false)] {
        let output = roentgen(&["evaluate", "run", data, "--json"], here);
        let metrics: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert_eq!(metrics["shift"]["detected"], detected, "{data}: {}", metrics["shift"]);
        for said in ["the test images differ from the validation images", "the test metrics do"] {
            assert_eq!(whole(&output.stderr).contains(said), detected, "{data}: {}", text(&output.stderr));
        }
    }
    // A run compares its test set with its validation set.
    let args = [
        "--data",
        "films/train",
        "--test",
        "darker",
        "--val-fraction",
        "0.3",
        "--epochs",
        "1",
        "--out",
        "own",
    ];
    let output = roentgen(&[&["train", "--width", "8"], &args[..]].concat(), here);
    let printed = whole(&output.stdout);
    assert!(printed.contains("SHIFT the test images differ"), "{printed}");
    let read = |name: &str| fs::read_to_string(here.join("own").join(name)).unwrap();
    let metrics: Value = serde_json::from_str(&read("metrics.json")).unwrap();
    assert!(metrics["shift"]["detected"] == true && metrics["shift"]["batch"]["n_images"] == 20, "{metrics}");
    let report = read("report.html");
    assert!(report.contains("The test images differ from the validation images") && report.contains(facts));
    let causes = "Other class shares can cause this";
    assert!(report.contains(&format!("{causes}. The validation metrics")), "{report}");
    // Images that the model was trained on are named, too.
    let mut mixed: Vec<String> = vec!["predict".into(), "own".into(), "darker".into()];
    let known = fs::read_dir(here.join("films/train/normal")).unwrap().take(5);
    mixed.extend(known.map(|film| film.unwrap().path().display().to_string()));
    let mixed: Vec<&str> = mixed.iter().map(String::as_str).collect();
    let said = whole(&roentgen(&mixed, here).stderr);
    assert!(said.contains(&format!("{causes}, and so can the ")), "{said}");
    assert!(said.contains(" that the model was trained on. The metrics of the run do not"), "{said}");
    // Other files of the same images raise no alarm, so their facts are not listed.
    fs::create_dir_all(here.join("jpeg")).unwrap();
    for (at, film) in films(here).iter().enumerate() {
        image::open(film).unwrap().to_luma8().save(here.join(format!("jpeg/{at}.jpg"))).unwrap();
    }
    let output = roentgen(&["predict", "run", "jpeg", "--json"], here);
    let shift = lines(&output.stdout).pop().expect("a last line")["shift"].take();
    assert!(shift["detected"] == false && shift["file_facts"].as_array().unwrap().is_empty(), "{shift}");
    // Few images are not compared.
    let mut few: Vec<String> = vec!["predict".into(), "run".into(), "--json".into()];
    let films = fs::read_dir(here.join("darker/normal")).unwrap().take(3);
    few.extend(films.map(|film| film.unwrap().path().display().to_string()));
    let few: Vec<&str> = few.iter().map(String::as_str).collect();
    assert!(lines(&roentgen(&few, here).stdout).iter().all(|line| line.get("shift").is_none()));
    // Neither are the images of a model with few validation images; with many images, a note says it.
    train(&["--films", "48", "--out", "unvalidated"], here);
    for (files, has_note) in [("darker", true), ("darker/normal", false)] {
        let output = roentgen(&["predict", "unvalidated", files, "--json"], here);
        assert!(lines(&output.stdout).iter().all(|line| line.get("shift").is_none()));
        let note = "note this model has fewer than 20 validation images, so these images were not compared with them";
        assert_eq!(whole(&output.stderr).contains(note), has_note, "{files}: {}", text(&output.stderr));
    }
}

#[test]
fn a_model_of_grey_films_rejects_a_colour_photograph_but_no_tinted_film() {
    let folder = model();
    let here = folder.path();
    let film = fs::read_dir(here.join("films/test/normal")).unwrap().next().unwrap().unwrap().path();
    let film = image::open(film).unwrap().to_luma8();
    // The same film four times: as it is, toned blue, with a red arrow, and as half a photograph.
    let save = |name: &str, colour: &dyn Fn(u32, u8) -> [u8; 3]| {
        let image =
            RgbImage::from_fn(film.width(), film.height(), |x, y| Rgb(colour(x, film.get_pixel(x, y).0[0])));
        image.save(here.join(name)).unwrap();
    };
    save("a-grey.png", &|_, grey| [grey; 3]);
    save("b-blue.png", &|_, grey| [grey / 2, grey, grey.saturating_add(grey / 5)]);
    save("c-arrow.png", &|x, grey| if x < film.width() / 100 { [255, 0, 0] } else { [grey; 3] });
    save("d-photograph.png", &|x, grey| {
        if x < film.width() / 2 { [grey, grey / 2, 0] } else { [0, grey / 2, grey] }
    });
    let names = ["a-grey.png", "b-blue.png", "c-arrow.png", "d-photograph.png"];
    let output = roentgen(&[&["predict", "--model", "run", "--json"], &names[..]].concat(), here);
    let predictions = lines(&output.stdout);
    let is_by_colour =
        |prediction: &Value| prediction["reason"].as_str().is_some_and(|text| text.contains("in colour"));
    let by_colour: Vec<bool> = predictions.iter().map(is_by_colour).collect();
    assert_eq!(by_colour, [false, false, false, true], "{predictions:?}");
    let output = roentgen(&["explain", "--model", "run", "d-photograph.png", "--out", "why.png"], here);
    assert!(text(&output.stdout).contains("in colour"), "{}", text(&output.stdout));
    // A model that was trained on colour images converted to grey accepts them.
    for class in ["a", "b"] {
        let of_class = here.join("photographs").join(class);
        fs::create_dir_all(&of_class).unwrap();
        for i in 0..20 {
            fs::copy(here.join("d-photograph.png"), of_class.join(format!("{i}.png"))).unwrap();
        }
    }
    train(&["--data", "photographs", "--channels", "grey", "--out", "run-of-photographs"], here);
    let output = roentgen(&["predict", "--model", "run-of-photographs", "d-photograph.png", "--json"], here);
    assert!(!is_by_colour(&lines(&output.stdout)[0]), "{}", text(&output.stdout));
}

#[test]
fn bad_files_are_named_and_the_others_predicted() {
    let folder = model();
    let here = folder.path();
    fs::create_dir(here.join("empty")).unwrap();
    fs::write(here.join("bad.png"), "no image").unwrap();
    let film = fs::read_dir(here.join("films/test/covid")).unwrap().next().unwrap().unwrap().path();
    let film = film.to_str().unwrap();
    let predict = |args: &[&str]| roentgen(&[&["predict", "--model", "run"], args].concat(), here);
    let all = ["bad.png", film, "missing.png"];

    let output = predict(&[&all[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("2 of 3 files have no prediction"), "{}", text(&output.stderr));
    let predictions = lines(&output.stdout);
    assert!(predictions[0]["error"].as_str().unwrap().contains("not an image"), "{predictions:?}");
    assert_eq!((predictions[1]["path"].as_str(), predictions[1]["class"].is_string()), (Some(film), true));
    assert!(predictions[2]["error"].is_string() && predictions[2].get("class").is_none(), "{predictions:?}");

    let output = predict(&[&all[..], &["--csv"]].concat());
    let csv = text(&output.stdout);
    assert!(
        csv.starts_with("path,class,probability,rejected,reason,error,p(covid),p(normal),p(pneumonia)\n"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 4);
    assert!(text(&predict(&all).stdout).contains("bad.png"), "the table names it too");

    // Every file of a folder has a row, and is counted by its kind.
    fs::create_dir_all(here.join("mixed/.hidden")).unwrap();
    for (name, content) in [("notes.txt", "text"), ("other.txt", "text"), ("list", "text"), ("Thumbs.db", "")]
    {
        fs::write(here.join("mixed").join(name), content).unwrap();
    }
    fs::copy(here.join(film), here.join("mixed/film")).unwrap();
    let output = predict(&["mixed", "--json"]);
    assert_eq!((output.status.code(), lines(&output.stdout).len()), (Some(1), 4));
    let said = text(&output.stderr);
    assert!(
        said.contains("2 files .txt: not an image") && said.contains("1 file without extension: not"),
        "{said}"
    );
    assert!(said.contains("3 of 4 files have no prediction"), "{said}");
    let csv = text(&predict(&["mixed", "--csv"]).stdout).to_owned();
    assert_eq!(csv.lines().filter(|line| line.contains(".txt,,,,,not an image")).count(), 2, "{csv}");

    // From the standard input: paths, then an image. No folder for temporary files is needed.
    let pipe = |bytes: &[u8]| {
        let mut command = Command::cargo_bin("roentgen").unwrap();
        command.args(["predict", "--model", "run", "-", "--json"]).current_dir(here).write_stdin(bytes);
        command.env("TMPDIR", here.join("no-such-folder"));
        command.output().unwrap()
    };
    let piped = |bytes: &[u8]| lines(&pipe(bytes).stdout);
    for nothing in [pipe(b""), pipe(b"\n\r\n")] {
        assert_eq!(nothing.status.code(), Some(1));
        assert!(text(&nothing.stderr).contains("it is empty"), "{}", text(&nothing.stderr));
    }
    let predictions = piped(format!("{film}\r\n\nbad.png\n").as_bytes());
    assert_eq!((predictions.len(), predictions[0]["path"].as_str()), (2, Some(film)));
    let prediction = piped(&fs::read(film).unwrap());
    assert_eq!((prediction.len(), prediction[0]["path"].as_str()), (1, Some("-")));
    assert_eq!(prediction[0]["probabilities"], predictions[0]["probabilities"]);

    for (args, code, words) in
        [(&["empty"][..], 2, "contains no images"), (&["no-such-folder"], 1, "no-such-folder")]
    {
        let output = predict(args);
        assert_eq!(output.status.code(), Some(code));
        assert!((text(&output.stderr) + &text(&output.stdout)).contains(words));
    }
}

#[test]
fn folders_of_masks_are_left_out_of_a_folder_as_in_training() {
    let folder = model();
    let here = folder.path();
    let film = films(here).into_iter().next().unwrap();
    fs::create_dir_all(here.join("exam/Masks")).unwrap();
    for name in ["exam/film.png", "exam/Masks/film.png"] {
        fs::copy(&film, here.join(name)).unwrap();
    }
    let predicted = |path: &str| {
        let output = roentgen(&["predict", "--model", "run", path, "--json"], here);
        let has_note = text(&output.stderr).contains("left out 1 file in folders of masks");
        (lines(&output.stdout).len(), has_note)
    };
    let found = ["exam", "exam/Masks", "exam/Masks/film.png"].map(predicted);
    assert_eq!(found, [(1, true), (1, false), (1, false)]);
}

#[test]
fn copies_inside_a_test_set_narrow_no_interval() {
    let folder = model();
    let here = folder.path();
    for film in films(here) {
        let (class, name) = (film.parent().unwrap().file_name().unwrap(), film.file_name().unwrap());
        let to = here.join("twice").join(class);
        fs::create_dir_all(&to).unwrap();
        for copy in ["a", "b"] {
            fs::copy(&film, to.join(format!("{copy}{}", name.to_str().unwrap()))).unwrap();
        }
    }
    let evaluated = |data: &str| {
        let output = roentgen(&["evaluate", "--model", "run", "--data", data, "--json"], here);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let test = serde_json::from_slice::<Value>(&output.stdout).unwrap()["test"].clone();
        let interval = [0, 1].map(|end| test["accuracy_interval"][end].as_f64().unwrap());
        (test["n"].as_u64().unwrap(), test["accuracy"].as_f64().unwrap(), interval)
    };
    let ((n, accuracy, once), (n_twice, of_copies, twice)) = (evaluated("films/test"), evaluated("twice"));
    assert_eq!((n_twice, of_copies), (2 * n, accuracy));
    // The number of independent images is an estimate, so that the interval is a little wider.
    for (once, twice) in once.into_iter().zip(twice) {
        assert!((once - twice).abs() < 0.03, "{once} and {twice}");
    }
}

#[test]
fn a_kind_of_unusual_files_has_one_note_however_many_files_are_read() {
    let folder = model();
    let here = folder.path();
    for name in ["film.png", "film.jpg"] {
        fs::copy(films(here).remove(0), here.join(name)).unwrap();
    }
    // One more than are read together, of which the first and the last are misnamed.
    let paths = format!("film.jpg\n{}film.jpg\n", "film.png\n".repeat(1023));
    let mut command = Command::cargo_bin("roentgen").unwrap();
    command.args(["predict", "--model", "run", "-", "--json"]).current_dir(here).write_stdin(paths);
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success() && said.matches("another format").count() == 1, "{said}");
    assert!(said.contains("2 of 1025 images have another format than their names say"), "{said}");
}

#[test]
fn predictions_depend_neither_on_the_number_of_threads_nor_on_the_other_images() {
    let folder = model();
    let predict = |args: &[&str]| {
        let output = roentgen(&[&["predict", "--model", "run", "--json"], args].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let together = predict(&["films/test/normal", "--threads", "1"]);
    assert_eq!(together, predict(&["films/test/normal", "--threads", "3"]));
    let mut n_compared = 0;
    for line in together.lines().filter(|line| line.contains("\"path\"")).take(5) {
        let image: Value = serde_json::from_str(line).unwrap();
        let alone = predict(&[image["path"].as_str().unwrap(), "--threads", "2"]);
        assert!(alone.lines().any(|alone| alone == line), "{line}\n{alone}");
        n_compared += 1;
    }
    assert_eq!(n_compared, 5);
}

#[test]
fn classes_are_joined_in_training_and_in_evaluation() {
    let folder = model();
    let here = folder.path();
    let mapping = ["--classes", "ill=covid+Pneumonia"];
    train(&[&["films/train", "--out", "joined", "--no-audit"], &mapping[..]].concat(), here);
    let card: Value =
        serde_json::from_slice(&roentgen(&["describe", "joined", "--json"], here).stdout).unwrap();
    assert_eq!(card["card"]["class_names"], serde_json::json!(["ill", "normal"]));
    assert!(
        fs::read_to_string(here.join("joined/config.toml"))
            .unwrap()
            .contains("classes = \"ill=covid+Pneumonia\"")
    );
    let n_test = |args: &[&str]| {
        let output = roentgen(&[&["evaluate", "joined"], args].concat(), here);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        (said.contains("was split off for training"), said.contains("covid"))
    };
    // The names of the training are known; those of other data may be given.
    assert_eq!(n_test(&["films/train"]), (true, false));
    assert_eq!(n_test(&["films/test"]), (false, false));
    assert_eq!(n_test(&["films/test", "--classes", "ill=covid+pneumonia"]), (false, false));
    for args in [
        &["evaluate", "joined", "films/test", "--classes", "ill=flu"][..],
        &["inspect", "films", "--classes", "ill=flu"],
    ] {
        let output = roentgen(args, here);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("`flu`"), "{said}");
        assert!(said.contains("there are covid, normal, pneumonia"), "{said}");
    }
}

#[test]
fn a_model_keeps_how_odd_images_are_read() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let films = ["data", "phantom", "--films", "48", "--seed", "9", "--quiet", "--out", "films"];
    assert!(roentgen(&films, here).status.success());
    let settings = ["films", "--out", "run", "--fit", "stretch", "--invert", "auto"];
    train(&settings, here);
    let film = image::open(here.join("films/test/covid/00000.png")).unwrap().into_luma8();
    film.save(here.join("film.png")).unwrap();
    let mut negative = film.clone();
    image::imageops::invert(&mut negative);
    negative.save(here.join("negative.png")).unwrap();
    // The model stretches it to the same square.
    let flat = image::imageops::resize(
        &film,
        film.width(),
        film.height() / 2,
        image::imageops::FilterType::Triangle,
    );
    flat.save(here.join("flat.png")).unwrap();
    let files = ["predict", "--model", "run", "--json", "film.png", "negative.png", "flat.png"];
    let output = roentgen(&files, here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let covid: Vec<f64> = lines(&output.stdout)
        .iter()
        .take(3)
        .map(|line| line["probabilities"]["covid"].as_f64().unwrap())
        .collect();
    assert!((covid[0] - covid[1]).abs() < 0.02 && (covid[0] - covid[2]).abs() < 0.05, "{covid:?}");
    let output = roentgen(&["explain", "--model", "run", "negative.png", "--out", "why.png"], here);
    assert!(
        output.status.success() && text(&output.stderr).contains("exchanged, and was inverted"),
        "{}",
        text(&output.stderr)
    );
    let output = roentgen(&["describe", "run"], here);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_table_is_printed_and_takes_no_file() {
    let folder = TempDir::new().unwrap();
    for (flag, file) in [("--csv", "table.csv"), ("--json", "table.json")] {
        let conflict = format!("{flag} cannot be used with a .");
        let words = [conflict.as_str(), "write > before its name"];
        refuses(&["predict", "run", "film.png", flag, file], 2, &words, folder.path());
    }
}
