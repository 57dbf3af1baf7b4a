//! A checkpoint with a valid digest and any wrong number in it is rejected, or continued; the program never panics.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use roentgen_data::Dataset;
use roentgen_data::disk::Operation;
use roentgen_data::disk::faults::hook;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::checks::RunSize;
use super::{DIGEST, KEY, MAGIC, from_bytes, sealed, to_bytes};
use crate::config::TrainConfig;
use crate::config::build::{normalization, resnet9_config};
use crate::data_loading::load::load;
use crate::model::instruction_sets::OtherCpu;
use crate::model::model_file;
use crate::model::trained_model::Model;
use crate::run_dir::file_names::{CHECKPOINT, CONFIG, LOG, METRICS, MODEL};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::predictions_file;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::objective::loss_head;
use crate::training::pipeline;
use crate::training::resumption::Resumption;
use crate::training::test_runs;
use crate::training::trainer::Trainer;

/// A run that was broken off in its second epoch.
struct BrokenOff {
    _parent: tempfile::TempDir,
    run: PathBuf,
    config: TrainConfig,
    data: Dataset,
    /// Its files.
    files: Vec<(PathBuf, Vec<u8>)>,
    checkpoint: Vec<u8>,
}

impl BrokenOff {
    fn new() -> Self {
        let config = TrainConfig {
            films: 24,
            width: 8,
            size: 8,
            batch: Some(8),
            epochs: Some(2),
            patience: Some(1),
            ema: 0.9,
            checkpoint_minutes: 0.0,
            audit: false,
            ..TrainConfig::default()
        };
        let data = load(&config, &Screen::silent()).expect("phantom films");
        let parent = tempfile::tempdir().expect("a temporary folder");
        let run = parent.path().join("run");
        let hooked = hook(&run, |operation| match operation {
            // The process ends as soon as the second checkpoint of the second epoch is complete.
            Operation::Write(_, bytes) if is_of_step(bytes, 6) => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        });
        let folder = PlannedFolder::new(Some(&run)).expect("a free name");
        pipeline::train(&config, &data, folder, &Screen::silent()).map(|_| ()).expect_err("it is broken off");
        drop(hooked);
        let names = [CHECKPOINT, CONFIG, LOG, MODEL, "times.jsonl"];
        let files = names.map(|name| (run.join(name), fs::read(run.join(name)).expect("a file of the run")));
        Self { _parent: parent, config, data, checkpoint: files[0].1.clone(), files: files.into(), run }
    }

    /// Continues the run, as it was, from another checkpoint.
    fn resume(&self, checkpoint: &[u8], other_cpu: OtherCpu) -> Result<(), TrainingError> {
        fs::remove_dir_all(&self.run).expect("the folder of a test");
        fs::create_dir(&self.run).expect("a folder");
        self.files.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("a file"));
        fs::write(self.run.join(CHECKPOINT), checkpoint).expect("a file");
        let resumption = Resumption { other_cpu, ..Resumption::default() };
        test_runs::resume(&self.run, &resumption, &self.data, &Screen::silent()).map(|_| ())
    }
}

impl BrokenOff {
    /// A trainer for the run.
    fn trainer(&self) -> Trainer {
        let (config, data) = (&self.config, &self.data);
        let counts = data.train.class_counts(data.class_names.len());
        let model = resnet9_config(config, data).build(config.seed);
        let loss_head = loss_head(config, &counts);
        Trainer::new(config, model, normalization(config, &data.train), loss_head, data.train.len())
    }

    /// What a run does first with a checkpoint.
    fn restore(&self, trainer: &mut Trainer, checkpoint: &[u8]) -> Result<(), String> {
        let (run_state, trainer_state) = from_bytes(checkpoint)?;
        let n_train = self.data.train.len();
        let size = RunSize { config: &self.config, n_train, epoch_images: n_train };
        size.check(&run_state, &trainer_state)?;
        trainer.restore(trainer_state)
    }
}

/// Whether these are the bytes of a checkpoint after this many steps.
fn is_of_step(bytes: &[u8], step: usize) -> bool {
    bytes.starts_with(MAGIC) && from_bytes(bytes).is_ok_and(|(_, trainer)| trainer.step == step)
}

/// The content of a checkpoint: its run state as JSON, and its tensors.
#[derive(Clone)]
struct Content {
    run_state: Value,
    tensors: Vec<(String, Dtype, Vec<u8>)>,
}

impl Content {
    fn of(checkpoint: &[u8]) -> Self {
        let content = &checkpoint[MAGIC.len() + DIGEST..];
        let (_, metadata) = SafeTensors::read_metadata(content).expect("a checkpoint");
        let run_state = &metadata.metadata().as_ref().expect("metadata")[KEY];
        let tensors = SafeTensors::deserialize(content).expect("a checkpoint");
        let mut tensors: Vec<_> = tensors
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.dtype(), view.data().to_vec()))
            .collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Self { run_state: serde_json::from_str(run_state).expect("JSON"), tensors }
    }

    fn sealed(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, bytes)| {
            let len = bytes.len() * 8 / dtype.bitsize();
            (name.as_str(), TensorView::new(*dtype, vec![len], bytes).expect("bytes and shape agree"))
        });
        let metadata = HashMap::from([(KEY.to_owned(), self.run_state.to_string())]);
        sealed(&safetensors::serialize(views, Some(metadata)).expect("a safetensors file"))
    }

    /// The same with other values in the place of each value of the run state, and without it.
    fn with_forged_state(&self) -> Vec<(String, Self)> {
        let mut forged = Vec::new();
        for pointer in pointers(&self.run_state, "") {
            for value in extremes(self.run_state.pointer(&pointer).expect("a value")) {
                let mut content = self.clone();
                let name = format!("{pointer} = {:.40}", value.to_string());
                *content.run_state.pointer_mut(&pointer).expect("a value") = value;
                forged.push((name, content));
            }
            let (parent, key) = pointer.rsplit_once('/').expect("a path of keys");
            let mut content = self.clone();
            if let Some(Value::Object(object)) = content.run_state.pointer_mut(parent) {
                object.remove(key);
                forged.push((format!("without {pointer}"), content));
            }
        }
        forged
    }

    /// The same with tensors of other lengths, types and values, and without them: one of each kind, and the last ones.
    fn with_forged_tensors(&self) -> Vec<(String, Self)> {
        let mut forged = Vec::new();
        let is_chosen = |name: &str| name == "counters" || name.ends_with(".0") || name == "buffer.1";
        for (index, (name, dtype, bytes)) in self.tensors.iter().enumerate().filter(|(_, t)| is_chosen(&t.0))
        {
            for (at, (dtype, bytes)) in forged_tensors(*dtype, bytes).into_iter().enumerate() {
                let mut content = self.clone();
                content.tensors[index] = (name.clone(), dtype, bytes);
                forged.push((format!("{name}, forgery {at}"), content));
            }
            let mut content = self.clone();
            content.tensors.remove(index);
            forged.push((format!("without {name}"), content));
        }
        let mut content = self.clone();
        content.tensors.push(("value.4000000000".to_owned(), Dtype::F32, vec![0; 4]));
        forged.push(("one more tensor".to_owned(), content));
        forged
    }
}

/// What a forger may write in the place of a tensor.
fn forged_tensors(dtype: Dtype, bytes: &[u8]) -> Vec<(Dtype, Vec<u8>)> {
    let size = dtype.bitsize() / 8;
    let longer = [bytes, &vec![0; size]].concat();
    let mut others = vec![(dtype, Vec::new()), (dtype, bytes[size..].to_vec()), (dtype, longer)];
    others.extend([(Dtype::U8, bytes.to_vec()), (Dtype::F64, vec![0; bytes.len() * 2])]);
    let values =
        [f32::NAN, f32::INFINITY, -1.0, f32::MAX, 0.0].map(|value| value.to_le_bytes().repeat(size / 4));
    let counts = [0, 1, u64::MAX, i64::MAX as u64].map(|count| count.to_le_bytes()[..size].to_vec());
    for value in values.into_iter().chain(counts) {
        // In one place, and in all.
        others.push((dtype, [&value, &bytes[size..]].concat()));
        others.push((dtype, value.repeat(bytes.len() / size)));
    }
    others
}

/// The paths of all values inside a value, the objects and lists among them included.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let with_inner = |(key, value): (String, &Value)| {
        let pointer = format!("{at}/{key}");
        let more = pointers(value, &pointer);
        std::iter::once(pointer).chain(more).collect::<Vec<_>>()
    };
    inside.into_iter().flat_map(with_inner).collect()
}

/// What a forger may write in the place of a value.
fn extremes(value: &Value) -> Vec<Value> {
    let numbers = [json!(0), json!(1), json!(-1), json!(0.5), json!(-0.0), json!(1e300), json!(-1e300)];
    let largest = [json!(u64::MAX), json!(u64::MAX - 1), json!(i64::MAX), json!(i64::MIN), json!(u32::MAX)];
    let others = [Value::Null, json!(true), json!([]), json!({}), json!([0, 0]), json!("")];
    let texts = [json!("\u{1b}[2J\u{202e}"), json!("0".repeat(100_000)), json!("AVX-512")];
    let more = match value {
        Value::Array(list) => vec![list.iter().cycle().take(1000 * list.len()).cloned().collect()],
        Value::Number(number) => number.as_u64().map_or_else(Vec::new, |n| vec![json!(n + 1)]),
        _ => Vec::new(),
    };
    [&numbers[..], &largest, &others, &texts].concat().into_iter().chain(more).collect()
}

#[test]
fn a_forged_checkpoint_is_rejected_or_continued() {
    let broken_off = BrokenOff::new();
    let content = Content::of(&broken_off.checkpoint);
    assert!(from_bytes(&content.sealed()) == from_bytes(&broken_off.checkpoint), "the forger's own work");
    broken_off.resume(&content.sealed(), OtherCpu::Reject).expect("nothing is forged");
    let forged = [content.with_forged_state(), content.with_forged_tensors()].concat();
    let mut trainer = broken_off.trainer();
    let (mut accepted, mut panics, mut n_rejected) = (Vec::new(), Vec::new(), 0);
    for (what, content) in &forged {
        let checkpoint = content.sealed();
        match catch_unwind(AssertUnwindSafe(|| broken_off.restore(&mut trainer, &checkpoint))) {
            Ok(Ok(())) => accepted.push((what, checkpoint)),
            Ok(Err(_)) => n_rejected += 1,
            Err(_) => panics.push(what),
        }
    }
    // What restoring finds no fault with goes on: one forgery of each place, as the end of a run takes a tenth of a second.
    let n_accepted = accepted.len();
    let place =
        |what: &str| what.split_once([' ', ',']).map_or(what.to_owned(), |(place, _)| place.to_owned());
    accepted.dedup_by_key(|(what, _)| place(what));
    let hooked = hook(&broken_off.run, end_with_predictions);
    let (mut n_late, mut n_continued) = (0, 0);
    for (what, checkpoint) in accepted {
        match catch_unwind(AssertUnwindSafe(|| broken_off.resume(&checkpoint, OtherCpu::Allow))) {
            Ok(Err(error)) if error.to_string().contains(predictions_file::VAL_FILE) => n_continued += 1,
            Ok(_) => n_late += 1,
            Err(_) => panics.push(what),
        }
    }
    drop(hooked);
    println!(
        "{n_rejected} forgeries of {} are rejected at once; of the others, {n_continued} were continued, {n_late} rejected later",
        forged.len()
    );
    assert!(panics.is_empty(), "{} panicked: {panics:?}", panics.len());
    assert_eq!(n_rejected + n_accepted, forged.len());
    assert!(n_rejected > 600 && n_continued > 10, "{n_rejected} rejected, {n_continued} continued");
}

/// The process ends when it writes its first predictions: what comes after them is not the business of a checkpoint.
fn end_with_predictions(operation: Operation<'_>) -> io::Result<()> {
    match operation {
        Operation::Rename(_, to) if to.ends_with(predictions_file::VAL_FILE) => {
            Err(io::ErrorKind::Other.into())
        }
        _ => Ok(()),
    }
}

#[test]
fn a_run_of_other_vector_instructions_goes_on_only_if_that_is_asked_for() {
    let broken_off = BrokenOff::new();
    let (mut run_state, trainer) = from_bytes(&broken_off.checkpoint).expect("a checkpoint");
    run_state.instruction_sets = serde_json::from_value(json!(["MMX"])).expect("a name");
    let other_checkpoint = to_bytes(&run_state, &trainer);
    let error = broken_off
        .resume(&other_checkpoint, OtherCpu::Reject)
        .expect_err("it would end in other digits")
        .to_string();
    assert!(error.contains("computed with MMX") && error.contains("--other-cpu"), "{error}");
    assert!(
        fs::read(broken_off.run.join(CHECKPOINT)).expect("a file") == other_checkpoint,
        "it stays as it is"
    );

    broken_off.resume(&other_checkpoint, OtherCpu::Allow).expect("it is asked for");
    let last_line = last_line(&broken_off.run);
    let sets = json!(["MMX", roentgen_tensor::lanes::INSTRUCTION_SET]);
    assert_eq!(last_line["instruction_sets"], sets);
    let Model { card, .. } = model_file::read(&broken_off.run).expect("a model");
    let saved_epoch =
        serde_json::from_slice::<Value>(&fs::read(broken_off.run.join(METRICS)).expect("metrics"));
    assert_eq!(saved_epoch.expect("JSON")["saved_epoch"], 2, "otherwise the model is that of before");
    assert_eq!(json!(card.instruction_sets), sets);

    // A checkpoint has to name them.
    let mut content = Content::of(&broken_off.checkpoint);
    content.run_state.as_object_mut().expect("an object").remove("instruction_sets");
    let error =
        broken_off.resume(&content.sealed(), OtherCpu::Allow).expect_err("it may be of any CPU").to_string();
    assert!(error.contains("missing field `instruction_sets`"), "{error}");
}

#[test]
fn a_model_ahead_of_the_checkpoint_is_replaced_where_other_arithmetic_may_not_select_its_epoch() {
    let mut broken_off = BrokenOff::new();
    let (mut run_state, trainer) = from_bytes(&broken_off.checkpoint).expect("a checkpoint");
    run_state.instruction_sets = serde_json::from_value(json!(["MMX"])).expect("a name");
    broken_off.resume(&to_bytes(&run_state, &trainer), OtherCpu::Allow).expect("it is asked for");
    let model = fs::read(broken_off.run.join(MODEL)).expect("the model of the second epoch");
    let (_, before) = broken_off.files.iter_mut().find(|(path, _)| path.ends_with(MODEL)).expect("a model");
    assert!(run_state.saved_epoch == 1 && *before != model);
    *before = model;
    // As if rounding had made the second epoch worse.
    let best = json!({"best": {"value": 2.0, "standard_error": 0.0}});
    run_state.selection = serde_json::from_value(best).expect("a score");
    broken_off.resume(&to_bytes(&run_state, &trainer), OtherCpu::Allow).expect("its second epoch is saved");
}

/// The last line of the log of a run.
fn last_line(run: &Path) -> Value {
    let log = fs::read_to_string(run.join(LOG)).expect("a log");
    serde_json::from_str(log.lines().last().expect("a line")).expect("JSON")
}
