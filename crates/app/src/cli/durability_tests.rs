//! Every operation on files of every command fails once, in every way: the error is one clear sentence, nothing is lost that
//! was there before, no file is half written, and the same command then does what it would have done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use roentgen_data::disk::TEMPORARY_PREFIX;
use roentgen_data::disk::faults::{Failure, fail_each_operation, show_count};
use roentgen_data::{LoadOptions, PhantomOptions, find_files, load_dataset, silent, write_phantom};

use super::Cli;
use crate::commands::predict::{FileResult, predict_files};
use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::batch_summary::BatchSummary;
use crate::model::model_file;

/// The content of files by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Two trained models, and images.
fn scene() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    let train = "train --films 24 --width 8 --size 8 --batch 12 --epochs 1 --no-audit --quiet --out";
    line(here, &format!("{train} DIR/run")).expect("a model");
    line(here, &format!("{train} DIR/other --max-lr 0.02")).expect("a model");
    let films = PhantomOptions { size: 32, train: 6, val: 3, test: 3, ..PhantomOptions::default() };
    write_phantom(&here.join("films"), &films, &silent).expect("films");
    let names = find_files(&here.join("films/train")).expect("films");
    let relative = |path: &Path| path.strip_prefix(here).expect("a film in the folder").display().to_string();
    let rows: String =
        names.iter().enumerate().map(|(row, path)| format!("{},{}\n", relative(path), row % 2)).collect();
    fs::write(here.join("list.csv"), format!("path,label\n{rows}")).expect("a file");
    fs::create_dir(here.join("out")).expect("a folder");
    folder
}

/// A command line as the user writes it, where `DIR` is the folder.
fn line(folder: &Path, text: &str) -> Result<(), AppError> {
    let text = format!("roentgen {text}").replace("DIR", &folder.display().to_string());
    super::run(Cli::try_parse_from(text.split(' ')).expect("a command line"))
}

/// All files below a folder.
fn files(folder: &Path) -> Files {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).expect("a file"))).collect()
}

/// Lets each operation of `command` fail in each way; the number of cases. `prepare` makes what the command replaces.
fn fail_each(
    folder: &Path,
    name: &str,
    prepare: impl Fn(),
    command: impl Fn() -> Result<(), AppError>,
) -> usize {
    let out = folder.join("out");
    let renew = || {
        fs::remove_dir_all(&out).expect("the folder of a test");
        fs::create_dir(&out).expect("a folder");
        prepare();
        files(folder)
    };
    let before = renew();
    command().unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected = files(folder);
    let mut n_cases = 0;
    for failure in [Failure::Error, Failure::End, Failure::Half] {
        n_cases += fail_each_operation(folder, failure, |what, fault| {
            assert!(renew() == before);
            let hooked = fault();
            let result = command();
            drop(hooked);
            let found = files(folder);
            let what = format!("{name}, {what}");
            match result {
                Ok(()) if failure == Failure::Error => {
                    assert!(found == expected, "{what}: success, but not its result")
                }
                Ok(()) => {}
                Err(error) => {
                    let text = error.to_string();
                    let is_short = text.lines().all(|line| line.len() < 300);
                    assert!(text.contains("cannot ") && is_short, "{what}: {text}");
                }
            }
            check_files(&what, [&before, &found, &expected], failure);
            if found != expected {
                command().unwrap_or_else(|error| panic!("again after {what}: {error}"));
                assert!(
                    expected.iter().all(|(path, bytes)| files(folder).get(path) == Some(bytes)),
                    "again after {what}"
                );
            }
        });
    }
    show_count(name, n_cases);
    n_cases
}

/// Every file is the old one or the new one, and nothing else is left but temporary files of a process that ended.
fn check_files(what: &str, [before, found, expected]: [&Files; 3], failure: Failure) {
    for (path, bytes) in before {
        let may_be = [Some(bytes), expected.get(path)];
        assert!(may_be.contains(&found.get(path)), "{what}: {} is neither old nor new", path.display());
    }
    for (path, bytes) in found.iter().filter(|(path, _)| !before.contains_key(*path)) {
        let is_temporary = path.to_string_lossy().contains(TEMPORARY_PREFIX);
        let is_whole = expected.get(path) == Some(bytes);
        let may_be_left = is_whole || (is_temporary && failure != Failure::Error);
        assert!(may_be_left, "{what}: {} is left", path.display());
    }
}

#[test]
fn any_operation_of_a_command_that_writes_may_fail() {
    let folder = scene();
    let here = folder.path();
    let mut n_cases = fail_each(
        here,
        "export",
        || line(here, "export DIR/other --onnx DIR/out/model.onnx --quiet").expect("an older file"),
        || line(here, "export DIR/run --onnx DIR/out/model.onnx --quiet"),
    );
    n_cases += fail_each(
        here,
        "explain",
        || {},
        || line(here, "explain DIR/run DIR/films/test/covid/00000.png --out DIR/out/why.png --quiet"),
    );
    n_cases += fail_each(
        here,
        "data phantom",
        || {},
        || {
            let films = PhantomOptions { size: 32, train: 3, val: 3, test: 3, ..PhantomOptions::default() };
            Ok(write_phantom(&here.join("out/new/films"), &films, &silent)?)
        },
    );
    assert!(n_cases > 100, "{n_cases}");
}

#[test]
fn any_operation_of_a_command_that_reads_may_fail() {
    let folder = scene();
    let here = folder.path();
    let mut n_cases = 0;
    for command in [
        "describe DIR/run --quiet",
        "compare DIR/run DIR/other --quiet",
        "evaluate DIR/run DIR/films --quiet",
    ] {
        n_cases += fail_each(here, command, || {}, || line(here, command));
    }
    n_cases += fail_each(here, "predict", || {}, || predict(here));
    for data in ["films", "list.csv"] {
        n_cases += fail_each(here, data, || {}, || load(&here.join(data)));
    }
    assert!(n_cases > 100, "{n_cases}");
}

/// `roentgen predict DIR/run DIR/films/test`, without its table.
fn predict(folder: &Path) -> Result<(), AppError> {
    let model = model_file::read(&folder.join("run"))?;
    let sources: Vec<_> =
        find_files(&folder.join("films/test"))?.iter().map(|path| path.as_path().into()).collect();
    let mut summary = BatchSummary::new(model.card.class_names.len());
    let results = predict_files(&model, &sources, &mut summary).results;
    assert_eq!(results.len(), 3);
    let failed = results.into_iter().find_map(|result| match result {
        FileResult::Failed { path, error } => {
            Some(CommandError::BadImage { path: path.into(), reason: error })
        }
        FileResult::Predicted { .. } => None,
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Reads a data set; an unusable file is an error.
fn load(path: &Path) -> Result<(), AppError> {
    load_dataset(path, &LoadOptions::default(), &silent).map(drop).map_err(AppError::from)
}
