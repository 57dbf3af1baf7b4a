//! Every operation on the disk fails once, in every way, and the power is cut after each: the run must go on to the
//! same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use roentgen_data::disk::Operation;
use roentgen_data::disk::faults::{Failure, Journal, fail_each_operation, hook, show_count};
use roentgen_data::{Dataset, PhantomOptions, write_phantom};
use roentgen_tensor::rng::{CounterRng, Purpose};

use super::error::TrainingError;
use super::resumption::Resumption;
use super::several::several_runs::SeveralRuns;
use super::several::whole_folder::WholeFolder;
use super::{checkpoint, pipeline, test_runs};
use crate::config::TrainConfig;
use crate::data_loading::load::load;
use crate::memory::MemoryShare;
use crate::model::instruction_sets::OtherCpu;
use crate::model::model_file;
use crate::model::trained_model::Model;
use crate::run_dir::file_names::{CONFIG, LAST_MODEL, LOG, METRICS, MODEL};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::predictions_file;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;

/// What has to be the same to the byte.
const FILES: [&str; 4] = [MODEL, LAST_MODEL, LOG, predictions_file::FILE];
/// Ways in which the unsynced changes survive a power cut: none, all, and by chance.
const CUTS: u64 = 3;

/// A run of some epochs of two steps, with a checkpoint after each step if `checkpoint_minutes` is 0.
fn config(epochs: usize, checkpoint_minutes: f64) -> TrainConfig {
    TrainConfig {
        films: 24,
        width: 8,
        size: 8,
        batch: Some(12),
        epochs: Some(epochs),
        checkpoint_minutes,
        tensorboard: true,
        pseudonyms: true,
        audit: false,
        ..TrainConfig::default()
    }
}

struct Case {
    config: TrainConfig,
    data: Dataset,
    /// The files of a run that nothing disturbs.
    expected: Vec<Vec<u8>>,
}

impl Case {
    fn new(folder: &Path, config: TrainConfig) -> Self {
        let data = load(&config, &Screen::silent()).expect("phantom films");
        let mut case = Self { config, data, expected: Vec::new() };
        let out = folder.join("undisturbed");
        case.start(&out).expect("a run");
        case.expected = files(&out);
        case
    }

    fn start(&self, out: &Path) -> Result<(), TrainingError> {
        let folder = PlannedFolder::new(Some(out))?;
        pipeline::train(&self.config, &self.data, folder, &Screen::silent()).map(|_| ())
    }

    /// What a user does after a failure: the same command again, or with --resume where there is something to resume.
    fn go_on(&self, out: &Path) -> Result<(), TrainingError> {
        if out.join(METRICS).exists() {
            return Ok(());
        }
        if !out.join(CONFIG).exists() {
            return self.start(out);
        }
        test_runs::resume(out, &Resumption::default(), &self.data, &Screen::silent()).map(|_| ())
    }

    fn assert_complete(&self, out: &Path, what: &str) {
        if let Err(error) = self.go_on(out) {
            panic!("{what}: {error}");
        }
        let found = files(out);
        for ((name, expected), found) in FILES.iter().zip(&self.expected).zip(found) {
            assert!(*expected == found, "{what}: {name} differs");
        }
    }
}

fn files(run: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|name| fs::read(run.join(name)).unwrap_or_default()).collect()
}

#[test]
fn after_an_error_of_any_operation_the_run_goes_on_to_the_same_bytes() {
    assert!(fail_each(Failure::Error) > 50);
}

#[test]
fn after_an_end_at_any_operation_the_run_goes_on_to_the_same_bytes() {
    assert!(fail_each(Failure::End) > 50);
}

#[test]
fn after_an_end_within_any_write_the_run_goes_on_to_the_same_bytes() {
    assert!(fail_each(Failure::Half) > 15);
}

/// Lets each operation of a run fail once; the number of operations.
fn fail_each(failure: Failure) -> usize {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let case = Case::new(parent.path(), config(2, 0.0));
    let out = parent.path().join("run");
    let n = fail_each_operation(&out, failure, |what, fault| {
        let hooked = fault();
        let result = case.start(&out);
        drop(hooked);
        assert_clear(result, what);
        case.assert_complete(&out, what);
        fs::remove_dir_all(&out).expect("the folder of a test");
    });
    show_count(&format!("a run, {failure:?}"), n);
    n
}

/// An error is a sentence that names what could not be done.
fn assert_clear(result: Result<(), TrainingError>, what: &str) {
    if let Err(error) = result {
        let text = error.to_string();
        assert!(text.contains("cannot ") && text.len() < 300, "{what}: {text}");
    }
}

#[test]
fn a_run_without_a_checkpoint_goes_on_with_its_own_images_and_initial_weights_only() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let [first, second, out] = ["first", "second", "run"].map(|name| parent.path().join(name));
    let plain = TrainConfig { pseudonyms: false, ..config(1, 5.0) };
    let load =
        |seed: u64| load(&TrainConfig { seed, ..plain.clone() }, &Screen::silent()).expect("phantom films");
    let (data, others) = (load(0), load(1));
    for (out, max_lr) in [(&first, 0.01), (&second, 0.02)] {
        let folder = PlannedFolder::new(Some(out)).expect("a free name");
        let config = TrainConfig { max_lr, ..plain.clone() };
        pipeline::train(&config, &data, folder, &Screen::silent()).expect("a run");
    }
    let init = first.join(MODEL);
    let config = TrainConfig { init: Some(init.clone()), ..plain.clone() };
    let folder = PlannedFolder::new(Some(&out)).expect("a free name");
    drop(pipeline::begin(&config, &data, folder, MemoryShare::ALL).expect("a run folder"));
    let resume = |data: &Dataset| test_runs::resume(&out, &Resumption::default(), data, &Screen::silent());
    let error = resume(&others).expect_err("other films").to_string();
    assert!(error.contains("the images are no longer those that it began with"), "{error}");
    let own = fs::read(&init).expect("a model");
    fs::copy(second.join(MODEL), &init).expect("a model");
    let error = resume(&data).expect_err("another model").to_string();
    assert!(error.contains("the file of --init is no longer the one that it began with"), "{error}");
    fs::write(&init, &own).expect("a model");
    resume(&data).expect("as it began");
    let metrics = fs::read_to_string(out.join(METRICS)).expect("metrics");
    let metrics: serde_json::Value = serde_json::from_str(&metrics).expect("metrics");
    assert_eq!(metrics["initial_weights"], blake3::hash(&own).to_hex().to_string());
    assert_eq!(metrics["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
#[ignore = "takes many minutes: two folds for each of 454 operations"]
fn after_any_failure_a_cross_validation_goes_on_to_the_same_bytes() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let films = PhantomOptions { size: 32, train: 24, val: 3, test: 3, ..PhantomOptions::default() };
    write_phantom(&parent.path().join("films"), &films, &roentgen_data::silent).expect("films");
    let config = TrainConfig { data: parent.path().join("films/train"), folds: Some(2), ..config(1, 5.0) };
    let silent = Screen::silent();
    let folds = SeveralRuns::of(&config).expect("two folds");
    let start = |out: &Path| {
        let planned = WholeFolder::Planned(PlannedFolder::new(Some(out))?);
        folds.run(planned, OtherCpu::Reject, &silent)
    };
    let go_on = |out: &Path| match (out.join(METRICS).exists(), out.join(CONFIG).exists()) {
        (true, _) => Ok(()),
        (false, true) => folds.run(WholeFolder::Existing(RunFolder::open(out)?), OtherCpu::Reject, &silent),
        (false, false) => start(out),
    };
    let files = |out: &Path| {
        let names = [METRICS, CONFIG, predictions_file::FILE, "fold-1/model.safetensors", "fold-2/log.jsonl"];
        names.map(|name| fs::read(out.join(name)).expect("a file of the run"))
    };
    let out = parent.path().join("undisturbed");
    start(&out).expect("a cross-validation");
    let expected = files(&out);
    let out = parent.path().join("run");
    for failure in [Failure::Error, Failure::End, Failure::Half] {
        let n = fail_each_operation(&out, failure, |what, fault| {
            let hooked = fault();
            let result = start(&out);
            drop(hooked);
            assert_clear(result, what);
            go_on(&out).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(files(&out) == expected, "{what}: the bytes differ");
            fs::remove_dir_all(&out).expect("the folder of a test");
        });
        show_count(&format!("a cross-validation, {failure:?}"), n);
        assert!(n > 15, "{n}");
    }
}

#[test]
fn a_power_cut_after_any_operation_leaves_a_run_that_goes_on_to_the_same_bytes() {
    let n_cuts = cut_power_after_each_operation(config(2, 0.0));
    assert!(n_cuts > 50, "{n_cuts}");
}

#[test]
fn a_power_cut_after_any_operation_of_a_run_too_short_for_a_checkpoint_leaves_one_that_goes_on_to_the_same_bytes()
 {
    let n_cuts = cut_power_after_each_operation(config(3, 5.0));
    assert!(n_cuts > 20, "{n_cuts}");
}

/// The model is written before the checkpoint that names it, and there may have been epochs without a checkpoint before.
#[test]
fn a_model_some_epochs_ahead_of_the_checkpoint_is_written_again() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let case = Case::new(parent.path(), config(4, 0.0));
    let out = parent.path().join("run");
    // The third checkpoint, of five steps in two epochs, cannot be written.
    let n_checkpoints = Mutex::new(0);
    let hooked = hook(&out, move |operation| {
        let mut n = n_checkpoints.lock().expect("no test panics with it");
        *n += usize::from(
            matches!(operation, Operation::Write(_, bytes) if bytes.starts_with(checkpoint::MAGIC)),
        );
        if *n < 3 { Ok(()) } else { Err(std::io::ErrorKind::StorageFull.into()) }
    });
    case.start(&out).expect_err("a full disk");
    drop(hooked);
    let model = parent.path().join("undisturbed").join(MODEL);
    let Model { card, .. } = model_file::read(&model).expect("a model");
    assert!(card.epoch > 2, "epoch {}", card.epoch);
    fs::copy(&model, out.join(MODEL)).expect("a file");
    case.assert_complete(&out, "a later model");
}

/// Cuts the power after each operation of a run; the number of different states that this leaves.
fn cut_power_after_each_operation(config: TrainConfig) -> usize {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let case = Case::new(parent.path(), config);
    let out = parent.path().join("run");
    // What the power cuts leave, each state once, with the number of operations before it.
    let states = Arc::new(Mutex::new(BTreeMap::new()));
    let n_operations = Arc::new(Mutex::new(0));
    let record = {
        let (states, count) = (Arc::clone(&states), Arc::clone(&n_operations));
        let journal = Mutex::new(Journal::default());
        move |operation: Operation<'_>| {
            if operation.is_read() {
                return Ok(());
            }
            slow_checkpoint(operation);
            let mut journal = journal.lock().expect("no test panics with it");
            journal.record(operation);
            let mut count = count.lock().expect("no test panics with it");
            *count += 1;
            let mut states = states.lock().expect("no test panics with it");
            for cut in 0..CUTS {
                states.entry(after_cut(&journal, *count, cut)).or_insert(*count);
            }
            Ok(())
        }
    };
    let hooked = hook(&out, record);
    case.start(&out).expect("a run");
    drop(hooked);
    let states = std::mem::take(&mut *states.lock().expect("no test panics with it"));
    let n_cuts = states.len();
    for (left, n) in states {
        fs::remove_dir_all(&out).expect("the folder of a test");
        fs::create_dir(&out).expect("a folder");
        for (path, bytes) in left {
            fs::create_dir_all(path.parent().expect("it is in the run folder")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        }
        case.assert_complete(&out, &format!("power cut after operation {n}"));
    }
    let n_operations = *n_operations.lock().expect("no test panics with it");
    show_count(&format!("power cuts after each of {n_operations} operations of a run"), n_cuts);
    n_cuts
}

/// A disk so slow that the next epoch ends before the checkpoint of this one is written.
fn slow_checkpoint(operation: Operation<'_>) {
    if let Operation::Write(_, bytes) = operation
        && bytes.starts_with(checkpoint::MAGIC)
    {
        sleep(Duration::from_millis(50));
    }
}

/// The files after one way of a power cut.
fn after_cut(journal: &Journal, operation: u64, cut: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut rng = CounterRng::new(cut, Purpose::Synthetic, operation, 0);
    journal.after_power_cut(|| match cut {
        0 => false,
        1 => true,
        _ => rng.below(2) == 0,
    })
}
