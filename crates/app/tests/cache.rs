//! `--cache`: runs with it and without it differ in nothing but their start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::program::{refuses, roentgen, text, write_images};

/// Phantom films with what loading remarks: a file that is cut off, one in the class of another, and one that occurs twice.
fn write_films(folder: &Path) {
    let data = ["data", "phantom", "--films", "60", "--quiet", "--out", "films"];
    assert!(roentgen(&data, folder).status.success());
    let classes = |set: &str| ["covid", "normal"].map(|class| folder.join("films").join(set).join(class));
    let first = |class: &Path| -> PathBuf {
        fs::read_dir(class).unwrap().map(|entry| entry.unwrap().path()).min().unwrap()
    };
    let [covid, normal] = classes("train");
    let film = fs::read(first(&covid)).unwrap();
    fs::write(covid.join("cut.png"), &film[..film.len() / 2]).unwrap();
    fs::write(normal.join("copy.png"), &film).unwrap();
    fs::write(classes("test")[0].join("copy.png"), &film).unwrap();
}

/// The output and the files of a run, without times and speeds.
fn run(args: &[&str], folder: &Path) -> BTreeMap<String, String> {
    let train = ["train", "films", "--skip-bad", "--width", "8", "--epochs", "2", "--out", "run"];
    let output = roentgen(&[&train[..], args].concat(), folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut left = BTreeMap::from([
        ("stdout".to_owned(), text(&output.stdout)),
        ("stderr".to_owned(), text(&output.stderr)),
    ]);
    for entry in fs::read_dir(folder.join("run")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() && name != "times.jsonl" {
            left.insert(name, String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned());
        }
    }
    fs::remove_dir_all(folder.join("run")).unwrap();
    let is_timed = |line: &&str| {
        ["images/s", "images_per_s", "_seconds", "data_loading", "1/2 ", "2/2 "]
            .iter()
            .any(|word| line.contains(word))
    };
    for text in left.values_mut() {
        *text = text.split_inclusive(['\n', '>']).filter(|line| !is_timed(line)).collect();
    }
    left
}

#[test]
fn a_run_leaves_the_same_with_and_without_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write_films(folder);
    for flags in [&[][..], &["--pseudonyms", "--patient-pattern", "(.)[.]png"]] {
        let expected = run(flags, folder);
        assert!(expected.len() >= 9 && expected["data.json"].contains("leakage"), "{:?}", expected.keys());
        let with_cache = [flags, &["--cache", "kept/cache"]].concat();
        for what in ["first run", "second run"] {
            let found = run(&with_cache, folder);
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
            for (name, text) in &expected {
                assert!(found[name] == *text, "{what}: {name} differs: {}", found[name]);
            }
        }
    }
    assert_eq!(fs::read_dir(folder.join("kept/cache")).unwrap().count(), 1, "patients are not in it");
}

#[test]
fn a_run_whose_cache_is_cut_off_ends_with_one_error_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let data = ["data", "phantom", "--films", "60", "--quiet", "--out", "films"];
    assert!(roentgen(&data, folder).status.success());
    let args = "train films/train --quiet --width 8 --epochs 60 --batch 8 --no-audit --threads 1 --checkpoint-minutes 0";
    let args: Vec<&str> = args.split(' ').collect();
    assert!(roentgen(&[&args[..], &["--out", "whole"]].concat(), folder).status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(&args).args(["--cache", "cache", "--out", "cut"]).current_dir(folder);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    while !folder.join("cut/log.jsonl").exists() {
        sleep(Duration::from_millis(5));
    }
    let file = fs::read_dir(folder.join("cache")).unwrap().next().unwrap().unwrap().path();
    fs::File::options().write(true).open(&file).unwrap().set_len(1000).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    let name = file.file_name().unwrap().to_string_lossy();
    assert_eq!((output.status.code(), said.trim_end().lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains(&*name) && said.contains("shorter than it was"), "{said}");
    let model = |run: &str| fs::read(folder.join(run).join("model.safetensors")).unwrap();
    assert!(!folder.join("cut/metrics.json").exists());
    let resumed = roentgen(&["train", "--quiet", "--resume", "cut", "--cache", "cache"], folder);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert!(model("cut") == model("whole"));
    assert!(fs::metadata(&file).unwrap().len() > 1000, "it is made anew");
}

#[test]
fn a_folder_that_cannot_be_one_for_caches_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write_films(folder);
    fs::write(folder.join("file"), "").unwrap();
    let train = |args: &[&'static str]| [&["train", "--quiet", "--cache"], args].concat();
    refuses(
        &train(&["films/new", "films"]),
        2,
        &["the cache folder films/new is in", "another folder"],
        folder,
    );
    refuses(&train(&["file", "films"]), 1, &["cannot write file"], folder);
    refuses(&train(&["cache"]), 2, &["--cache", "phantom films"], folder);
    let drawn = ["train", "--films", "24", "--width", "8", "--epochs", "1", "--quiet", "--out", "drawn"];
    assert!(roentgen(&drawn, folder).status.success());
    fs::remove_file(folder.join("drawn/metrics.json")).unwrap();
    let resume = train(&["cache", "--resume", "drawn"]);
    refuses(&resume, 2, &["--cache", "phantom films"], folder);
}

#[test]
fn a_cache_in_the_run_folder_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write_images(folder, "films", &[("ill", 12), ("well", 12)]);
    fs::write(folder.join("space.toml"), "[settings]\nwidth = [8, 16]\n").unwrap();
    for command in ["train films", "train films --folds 2 --task 1/2", "sweep space.toml films"] {
        for cache in ["run", "run/cache", "films/../run/new/cache"] {
            let line = format!("{command} --quiet --out run --cache {cache}");
            let words = format!("the folder of --cache, {cache}, is that of --out, run, or in it");
            refuses(&line.split(' ').collect::<Vec<_>>(), 2, &[&words], folder);
        }
    }
}
