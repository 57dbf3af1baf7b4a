//! A run on loaded data: train epoch by epoch, keep the best, test it, report.

use std::path::Path;
use std::time::Duration;

use roentgen_data::{Dataset, Normalization};
use roentgen_layers::{ResNet9, ResNet9Config};

use super::epochs::Run;
use super::final_evaluation::Tested;
use super::objective::loss_head;
use super::trainer::Trainer;
use super::{final_evaluation, hard_examples, interrupt, progress_lines};
use crate::config::build::{architecture, normalization};
use crate::config::{Select, TrainConfig};
use crate::data_loading::inspection::Inspection;
use crate::data_loading::phantom;
use crate::error::AppError;
use crate::metrics::PartMetrics;
use crate::model::calibration::{Calibration, Reliability};
use crate::model::inference::evaluate;
use crate::model::model_file::{self, ModelCard, TrainedOn};
use crate::model::training_digests::TrainingDigests;
use crate::run_dir::file_names::{CHECKPOINT, CONFIG, DATA, METRICS, MODEL, REPORT};
use crate::run_dir::records::Metrics;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::screen::{Screen, counted, duration, thousands};
use crate::terminal::tables;

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What `metrics.json` holds.
    pub metrics: Metrics,
    /// What was said of the test pictures, if there are any.
    pub test: Tested,
    /// Where it is kept.
    pub folder: RunFolder,
}

/// Goes on with a run on data that are loaded already.
///
/// # Errors
/// As [`resume`].
pub(crate) fn go_on(
    path: &Path,
    threads: Option<usize>,
    data: &Dataset,
    screen: &Screen,
) -> Result<Finished, AppError> {
    let folder = RunFolder::open(path)?;
    let config = TrainConfig::read(&folder.file(CONFIG))?;
    train_in(&TrainConfig { threads: threads.or(config.threads), ..config }, data, folder, screen)
}

/// Asks the model of a run that has ended about its test pictures: the same figures and answers that it ended with.
///
/// # Errors
/// As [`model_file::read`].
pub(crate) fn test_again(path: &Path, data: &Dataset) -> Result<(PartMetrics, Tested), AppError> {
    let (model, card) = model_file::read(&path.join(MODEL))?;
    let evaluation = evaluate(&model, &data.test, card.class_names.len(), &card.preprocessing());
    let predictions = evaluation.predictions(card.temperature);
    let groups = data.test.patient_groups();
    let new = final_evaluation::new_to(&card, data);
    Ok((PartMetrics::new(card.class_names, &predictions, groups.as_deref()), Some((predictions, new))))
}

/// Trains on loaded data, and shows how it goes.
///
/// # Errors
/// As [`run()`].
pub(crate) fn train(
    config: &TrainConfig,
    data: &Dataset,
    folder: PlannedFolder,
    screen: &Screen,
) -> Result<Finished, AppError> {
    let n_train = data.train.len();
    check_smallest_batch(config, n_train)?;
    if config.patience.is_some() && data.val.is_empty() {
        let reason = "there is nothing to wait for; give a val part, or a --val-fraction above 0";
        return Err(AppError::Conflict { first: "--patience", second: "data without validation", reason });
    }
    if config.select != Select::default() && data.val.is_empty() {
        let reason = "there is nothing to select by; give a val part, or a --val-fraction above 0";
        return Err(AppError::Conflict { first: "--select", second: "data without validation", reason });
    }
    if let Some(path) = &config.init {
        // Whether it fits, before there is a folder.
        model_file::initialise(&mut ResNet9::new(&architecture(config, data), 0), path)?;
    }
    let config = &config.resolved(n_train, data.val_fraction);
    let folder = folder.create()?;
    let found = serde_json::to_string_pretty(&Inspection::of(data)).expect("counts and names");
    folder.write(DATA, (found + "\n").as_bytes())?;
    folder.write(CONFIG, config.with_absolute_paths().to_toml().as_bytes())?;
    train_in(config, data, folder, screen)
}

/// Trains in a folder that has its settings, from its checkpoint if it has one.
pub(crate) fn train_in(
    config: &TrainConfig,
    data: &Dataset,
    folder: RunFolder,
    screen: &Screen,
) -> Result<Finished, AppError> {
    let normalization = normalization(config, &data.train);
    let architecture = architecture(config, data);
    let mut card = model_card(config, data, &normalization);
    let mut model = ResNet9::new(&architecture, config.seed);
    // A run that goes on has its weights in its checkpoint, and in there what they had seen before.
    let mut seen_before = None;
    if let Some(path) = config.init.as_ref().filter(|_| !folder.file(CHECKPOINT).exists()) {
        let start = model_file::initialise(&mut model, path)?;
        let but =
            if start.with_classifier { "" } else { ", but for the classifier, which has other classes" };
        let unknown = match start.seen {
            Some(_) => "",
            None => "; they do not tell what they learned from, and may know the test pictures",
        };
        screen.field("weights", &format!("from {}{but}{unknown}", path.display()));
        seen_before = start.seen;
    }
    let notes = screen.clone();
    let on_signal = move || notes.note("stopping", "after this step; once more to stop at once");
    interrupt::listen(on_signal).map_err(|source| AppError::Signals { source })?;
    // In no checkpoint: settings and seed decide it.
    let with_repeats =
        (config.oversample_hard > 1).then(|| hard_examples::repeated(config, data, screen)).transpose()?;
    if let Some(signal) = interrupt::signal() {
        return Err(AppError::Interrupted { signal, run: folder.path().to_owned() });
    }
    let train_set = with_repeats.as_ref().unwrap_or(&data.train);
    let loss_head = loss_head(config, &data.train.class_counts(data.class_names.len()));
    let mut trainer = Trainer::new(config, model, normalization, loss_head, train_set.len());
    let run = Run { config, data, train_set, folder: &folder, screen };
    let mut run_state = run.run_state(&mut trainer)?;
    run_state.seen_before = seen_before.or(run_state.seen_before);
    if let Some(before) = run_state.seen_before.clone() {
        let n = before.count(&data.test);
        if n > 0 {
            let text = format!(
                "{n} of {} test pictures are of the training of the model that it starts from",
                data.test.len()
            );
            screen.field("LEAK", &text);
        }
        card.training_digests = card.training_digests.map(|seen| seen.or(before));
    }
    show_plan(&run, &architecture);
    if trainer.n_steps_done() > 0 {
        let (done, all) = (trainer.n_steps_done(), trainer.n_steps());
        screen.field(
            "resumed",
            &format!("after {done} of {} steps", counted(all, "step").trim_end_matches(" steps")),
        );
    }
    let outcome = run.train(trainer, run_state, card)?;
    let (metrics, test, final_model) = final_evaluation::test(&run, &outcome, &architecture)?;
    let json = serde_json::to_string_pretty(&metrics).expect("metrics are plain numbers and names");
    let report = run.report(final_model, &metrics, test.as_ref().map(|(predictions, _)| predictions))?;
    folder.write(REPORT, report.as_bytes())?;
    // The last one: a folder that has it is that of a run that has ended.
    folder.write(METRICS, (json + "\n").as_bytes())?;
    folder.finish()?;
    let heading = format!("epoch {} of {}", outcome.best_epoch, metrics.epochs);
    if let Some(test) = &metrics.test {
        let (n_leaked, clean) = (metrics.n_leaked, metrics.test_deduplicated.as_ref());
        tables::show_test_tables(screen, &heading, n_leaked, clean, test);
    }
    if let Some(Calibration { temperature, val, .. }) = &metrics.calibration {
        let error = |reliability: &Reliability| reliability.ece.unwrap_or(f64::NAN);
        let text = format!(
            "temperature {temperature:.2}, fitted on validation: calibration error there {:.3}, {:.3} before",
            error(&val.after),
            error(&val.before)
        );
        screen.field("trust", &text);
    }
    let speed = format!("{:.0} images/s", metrics.train_images_per_s);
    let took = duration(Duration::from_secs_f64(metrics.train_seconds));
    screen.field("trained", &format!("in {took} at {speed}"));
    let last = run.read_log()?.pop();
    if let Some(text) = last.and_then(|last| progress_lines::warning(&last, config, data.class_names.len())) {
        screen.field("WARNING", &text);
    }
    screen.field("model", &folder.file(MODEL).display().to_string());
    screen.field("report", &folder.file(REPORT).display().to_string());
    Ok(Finished { metrics, test, folder })
}

/// Batch norm needs at least two numbers per channel, also after three poolings.
fn check_smallest_batch(config: &TrainConfig, n_train: usize) -> Result<(), AppError> {
    let smallest = n_train / n_train.div_ceil(config.batch(n_train));
    let n_pixels = (config.size as usize / 8).pow(2);
    if smallest * n_pixels < 2 {
        return Err(AppError::BatchTooSmall { size: config.size, n_train });
    }
    Ok(())
}

fn model_card(config: &TrainConfig, data: &Dataset, normalization: &Normalization) -> ModelCard {
    // Nothing was split off to test on if a folder for that was given.
    let test_fraction = if config.test.is_some() { 0.0 } else { config.test_fraction };
    // Of the whole path, which has a last part also where the data are `.`.
    let name = match config.with_absolute_paths().data.file_name() {
        Some(name) if !config.uses_phantom() => name.to_string_lossy().into_owned(),
        _ => phantom::describe(config.seed),
    };
    ModelCard {
        format: ModelCard::current_format(),
        digest: ModelCard::no_digest(),
        class_names: data.class_names.clone(),
        channels: data.channels,
        resize: config.resize(),
        size: config.size,
        normalization: normalization.clone(),
        looks: config.test_looks(),
        temperature: 1.0,
        prior: config.prior,
        width: config.width,
        seed: config.seed,
        val_fraction: data.val_fraction,
        test_fraction,
        patient_pattern: config.patient_pattern.clone(),
        fold: config.fold.zip(config.folds).map(|(fold, of)| [fold, of]),
        fingerprint: (!config.uses_phantom()).then(|| data.fingerprint.clone()),
        films: config.uses_phantom().then_some(config.films),
        epoch: 0,
        trained_on: Some(TrainedOn { data: name, n_train: data.train.len(), n_val: data.val.len() }),
        novelty: None,
        training_digests: Some(TrainingDigests::of(&[&data.train, &data.val])),
    }
}

fn show_plan(run: &Run<'_>, model: &ResNet9Config) {
    let Run { config, data, screen, .. } = run;
    let n_train = data.train.len();
    let (epochs, batch) = (config.epochs(n_train), config.batch(n_train));
    tables::show_images(screen, &data.train, config.resize(), config.size, config.flip);
    screen.field("model", &format!("ResNet9, {} parameters", thousands(model.n_parameters())));
    tables::show_machine(screen, config.threads());
    let recipe = format!(
        "{} of {}, batch {batch}; Adam, one cycle up to {}; weight decay {}; \
         clip {}; seed {}",
        counted(epochs, "epoch"),
        counted(run.steps_per_epoch(), "step"),
        config.max_lr,
        config.weight_decay,
        config.clip,
        config.seed
    );
    screen.field("recipe", &recipe);
    if let Some(words) = config.prior.in_words() {
        screen.field("prior", words);
    }
    if config.tta {
        screen.field("testing", &config.test_looks().to_string());
    }
    screen.field("run", &run.folder.path().display().to_string());
    screen.line("");
}
