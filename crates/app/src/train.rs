//! `roentgen train`: load, normalise, train epoch by epoch, keep the best, test it.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use roentgen_data::{
    Dataset, ImageSet, Normalization, class_weights_balanced, group_ids, load_dataset, phantom_dataset,
};
use roentgen_layers::{ResNet9, ResNet9Config};
use serde::Serialize;

use crate::best_epoch::BestEpoch;
use crate::config::{ClassWeights, NormalizeBy, TrainConfig};
use crate::error::AppError;
use crate::evaluate::{Evaluation, evaluate};
use crate::inspect::{self, Inspection};
use crate::metrics::{PartMetrics, Predictions};
use crate::model_file::{self, ModelCard};
use crate::patience::Patience;
use crate::run_folder::{PlannedFolder, RunFolder};
use crate::screen::{Screen, counted, duration};
use crate::temperature::{self, Calibration, Reliability};
use crate::trainer::{EpochReport, StepReport, Trainer};
use crate::{folds, phantom_films, predictions_file, report};

/// The best epoch by the validation part, as [`BestEpoch`] has it.
const BEST: &str = "model.safetensors";
/// The last epoch.
const LAST: &str = "model-last.safetensors";

/// `metrics.json`.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the keys say it; the README explains them")]
pub struct Metrics {
    pub val: Option<PartMetrics>,
    /// The test pictures that neither stand, nor have their patient, in an earlier part; if that leaves some out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_clean: Option<PartMetrics>,
    /// All test pictures, as given.
    pub test: Option<PartMetrics>,
    /// Test pictures that `test_clean` leaves out.
    pub n_leaked: usize,
    pub calibration: Option<Calibration>,
    pub train_images_per_s: f64,
    pub train_seconds: f64,
    /// Share of the training steps spent on making their batches.
    pub data_share: f64,
    pub epochs: usize,
    pub best_epoch: usize,
    pub n_parameters: usize,
    pub seed: u64,
    pub threads: usize,
}

/// A line of `log.jsonl`.
#[derive(Debug, Serialize)]
struct LogLine {
    epoch: usize,
    train_loss: f64,
    train_accuracy: f64,
    val_loss: Option<f64>,
    val_accuracy: Option<f64>,
    /// What `--select` chooses by; the larger the better.
    val_score: Option<f64>,
    lr: f64,
    seconds: f64,
    images_per_s: f64,
    best: bool,
}

/// What `--json` prints: the metrics, and where the rest is.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    run: &'a Path,
}

/// What a run has come to.
#[derive(Debug)]
pub struct Finished {
    /// What `metrics.json` holds.
    pub metrics: Metrics,
    /// What was said of the test pictures.
    pub test: Option<Predictions>,
    /// Where it is kept.
    pub folder: RunFolder,
}

/// Trains as `config` says, leaves a run folder at `out`, and shows both on the way.
///
/// # Errors
/// Whatever makes settings or data unusable, before the run folder is made; then a loss that is no number, or
/// a disk that is full.
pub fn run(config: &TrainConfig, out: Option<&Path>, screen: &Screen) -> Result<(), AppError> {
    let folder = PlannedFolder::new(out)?;
    if let (Some(n_folds), None) = (config.folds, config.fold) {
        return folds::run(config, n_folds, &folder, screen);
    }
    let data = load(config, screen)?;
    let Finished { metrics, folder, .. } = train(config, &data, folder, screen)?;
    screen.result(&Printed { metrics: &metrics, run: folder.path() });
    Ok(())
}

/// Trains on loaded data, and shows how it goes.
///
/// # Errors
/// As [`run`].
pub fn train(
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
    let config = &config.decided(n_train);
    let folder = folder.create()?;
    folder.write("config.toml", config.to_toml().as_bytes())?;
    let found = serde_json::to_string_pretty(&Inspection::of(data)).expect("counts and names");
    folder.write("data.json", (found + "\n").as_bytes())?;

    let per_image = config.normalize == NormalizeBy::Image;
    let normalization = Normalization { per_image, ..Normalization::of(&data.train) };
    let n_classes = data.class_names.len();
    let architecture = ResNet9Config {
        width: config.width,
        dropout: config.dropout as f32,
        conv: config.conv.into(),
        ..ResNet9Config::new(data.channels, n_classes)
    };
    let class_weights = match config.class_weights {
        ClassWeights::None => None,
        ClassWeights::Balanced => Some(class_weights_balanced(data.train.labels(), n_classes)),
    };
    let card = model_card(config, data, &normalization);
    let model = ResNet9::new(&architecture, config.seed);
    let trainer = Trainer::new(config, model, normalization, class_weights, n_train);
    show_plan(screen, config, data, &architecture, folder.path());

    let run = Run { config, data, folder: &folder, screen };
    let outcome = run.train(trainer, card)?;
    let (metrics, test) = run.test(&outcome, &architecture)?;
    let json = serde_json::to_string_pretty(&metrics).expect("metrics are plain numbers and names");
    folder.write("metrics.json", (json + "\n").as_bytes())?;
    let heading = format!("epoch {} of {}", outcome.best_epoch, metrics.epochs);
    if let Some(clean) = &metrics.test_clean {
        report::show_test(screen, &format!("{heading}, without {} that leaked", metrics.n_leaked), clean);
    }
    if let Some(test) = &metrics.test {
        let as_given = if metrics.n_leaked > 0 { ", all test pictures as given" } else { "" };
        report::show_test(screen, &format!("{heading}{as_given}"), test);
    }
    if let Some(Calibration { temperature, val, .. }) = &metrics.calibration {
        let error = |reliability: &Reliability| reliability.calibration_error.unwrap_or(f64::NAN);
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
    screen.field("model", &folder.file(BEST).display().to_string());
    Ok(Finished { metrics, test, folder })
}

/// The pictures of `config`, decoded and resized, and what they are; shows nothing but progress.
///
/// # Errors
/// Whatever makes the data unusable.
pub fn read(config: &TrainConfig, screen: &Screen) -> Result<(Dataset, String), AppError> {
    let loading = screen.loading();
    let options = config.load_options()?;
    if config.uses_phantom() {
        let films = phantom_films::options(config.films, config.seed);
        return Ok((phantom_dataset(&films, &options, &loading)?, phantom_films::describe(config.seed)));
    }
    Ok((load_dataset(&config.data, &options, &loading)?, config.data.display().to_string()))
}

/// The pictures to train on; shows what was found.
///
/// # Errors
/// Whatever makes the data unusable; leaks, where `config` is strict.
pub fn load(config: &TrainConfig, screen: &Screen) -> Result<Dataset, AppError> {
    let (data, source) = read(config, screen)?;
    report::show_data(screen, &source, &data);
    inspect::show_findings(screen, &data.findings);
    report::show_remarks(screen, &data.findings);
    if config.strict {
        inspect::refuse_leaks(&data.findings)?;
    }
    Ok(data)
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
    ModelCard {
        format: ModelCard::current_format(),
        class_names: data.class_names.clone(),
        channels: data.channels,
        resize: config.resize(),
        size: config.size,
        normalization: normalization.clone(),
        mirror: config.tta,
        temperature: 1.0,
        width: config.width,
        seed: config.seed,
        val_fraction: config.val_fraction,
        test_fraction,
        patient_pattern: config.patient_pattern.clone(),
        fold: config.fold.zip(config.folds).map(|(fold, of)| [fold, of]),
        fingerprint: (!config.uses_phantom()).then(|| data.fingerprint.clone()),
        films: config.uses_phantom().then_some(config.films),
        epoch: 0,
    }
}

fn show_plan(screen: &Screen, config: &TrainConfig, data: &Dataset, model: &ResNet9Config, folder: &Path) {
    let n_train = data.train.len();
    let (epochs, batch) = (config.epochs(n_train), config.batch(n_train));
    report::show_images(screen, &data.train, config.resize(), config.size, config.flip);
    screen.field("model", &format!("ResNet9, {} parameters", thousands(model.n_parameters())));
    report::show_machine(screen, config.threads());
    let n_steps = n_train.div_ceil(batch);
    let recipe = format!(
        "{} of {}, batch {batch}; Adam, one cycle up to {}; weight decay {}; \
         clip {}; seed {}",
        counted(epochs, "epoch"),
        counted(n_steps, "step"),
        config.max_lr,
        config.weight_decay,
        config.clip,
        config.seed
    );
    screen.field("recipe", &recipe);
    screen.field("run", &folder.display().to_string());
    screen.line("");
}

/// 6573120 as `6,573,120`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// What all parts of a run look at.
struct Run<'a> {
    config: &'a TrainConfig,
    data: &'a Dataset,
    folder: &'a RunFolder,
    screen: &'a Screen,
}

/// What training leaves to the test.
struct Outcome {
    /// Epochs that were trained.
    epochs: usize,
    best_epoch: usize,
    best_val: Option<Evaluation>,
    train_seconds: f64,
    images_per_s: f64,
    data_share: f64,
}

impl Run<'_> {
    /// All epochs. The one that [`BestEpoch`] keeps goes to [`BEST`] as soon as it is known.
    fn train(&self, mut trainer: Trainer, mut card: ModelCard) -> Result<Outcome, AppError> {
        let Run { config, data, folder, screen } = self;
        let (n_train, n_classes) = (data.train.len(), data.class_names.len());
        let epochs = config.epochs(n_train);
        let start = Instant::now();
        let (mut step_seconds, mut data_seconds) = (0.0, 0.0);
        let (mut best_epoch, mut best) = (BestEpoch::default(), None);
        let (mut patience, mut n_trained) = (Patience::new(config.patience), 0);
        let bar = screen.bar(trainer.n_steps());
        screen.line(&screen.bold(&epoch_heading(screen.width())));
        for epoch in 0..epochs {
            bar.set_prefix(format!("epoch {}/{epochs}", epoch + 1));
            let mut show = show_step(&bar, trainer.n_steps(), screen.width());
            let trained = trainer.train_epoch(&data.train, epoch, &mut show);
            let trained = trained.map_err(|divergence| divergence.into_error(config))?;
            step_seconds += trained.seconds;
            data_seconds += trained.data_seconds;

            card.epoch = epoch + 1;
            n_trained = epoch + 1;
            let n_steps = trainer.n_steps_done() as u64;
            let tested = trainer.with_model(&data.train, epoch, |model| {
                let val = (!data.val.is_empty()).then(|| evaluate(model, &data.val, n_classes, &card.gaze()));
                let score = val.as_ref().map(|val| config.select.score(val));
                let is_best = best_epoch.keeps(score);
                let is_over = val.as_ref().zip(score);
                let is_over = is_over.is_some_and(|(val, score)| patience.is_over(score.value, val.loss()));
                let is_over = is_over && n_trained < epochs;
                card.temperature = val.as_ref().map_or(1.0, temperature::fit);
                let bytes = model_file::to_bytes(model, &card, n_steps);
                if is_best {
                    folder.write(BEST, &bytes)?;
                }
                if is_over || n_trained == epochs {
                    folder.write(LAST, &bytes)?;
                }
                Ok::<_, AppError>((val, is_best, is_over))
            });
            let (val, is_best, is_over) = tested?;
            self.log(epoch, &trained, val.as_ref(), is_best)?;
            if is_best {
                best = Some((epoch + 1, val));
            }
            if is_over {
                let waited = counted(config.patience.unwrap_or(0), "epoch");
                screen.field("stopped", &format!("validation has not become better in {waited}"));
                break;
            }
        }
        bar.finish_and_clear();
        let (best_epoch, best_val) = best.expect("a run has at least one epoch");
        let images_per_s = (n_trained * n_train) as f64 / step_seconds;
        let (train_seconds, data_share) = (start.elapsed().as_secs_f64(), data_seconds / step_seconds);
        Ok(Outcome { epochs: n_trained, best_epoch, best_val, train_seconds, images_per_s, data_share })
    }

    /// One line per epoch, in the log and on the screen.
    fn log(
        &self,
        epoch: usize,
        trained: &EpochReport,
        val: Option<&Evaluation>,
        best: bool,
    ) -> Result<(), AppError> {
        let line = LogLine {
            epoch: epoch + 1,
            train_loss: trained.loss,
            train_accuracy: trained.accuracy,
            val_loss: val.map(Evaluation::loss),
            val_accuracy: val.map(|val| val.confusion().accuracy()),
            val_score: val.map(|val| self.config.select.score(val).value),
            lr: trained.lr,
            seconds: trained.seconds,
            images_per_s: self.data.train.len() as f64 / trained.seconds,
            best,
        };
        let json = serde_json::to_string(&line).expect("a log line is plain numbers");
        self.folder.append_line("log.jsonl", &json)?;
        self.screen.line(&epoch_line(&line, self.config.epochs(self.data.train.len()), self.screen.width()));
        Ok(())
    }

    /// Tests the best model, read back from its file as `roentgen evaluate` reads it. Also gives its answers.
    fn test(
        &self,
        outcome: &Outcome,
        architecture: &ResNet9Config,
    ) -> Result<(Metrics, Option<Predictions>), AppError> {
        let (mut model, card) = model_file::read(&self.folder.file(BEST))?;
        let n_classes = card.class_names.len();
        let Dataset { val: val_set, test: test_set, findings, .. } = self.data;
        let part = |set: &ImageSet, evaluation: &Evaluation| {
            let predictions = evaluation.predictions(card.temperature);
            PartMetrics::new(card.class_names.clone(), &predictions, set.patient_groups().as_deref())
        };
        let test = (!test_set.is_empty()).then(|| evaluate(&mut model, test_set, n_classes, &card.gaze()));
        let predictions = test.as_ref().map(|test| test.predictions(card.temperature));
        if let Some(predictions) = &predictions {
            let lines = predictions_file::to_text(test_set, predictions, &card.class_names);
            self.folder.write(predictions_file::FILE, lines.as_bytes())?;
        }
        let (n_leaked, test_clean) = match &test {
            Some(test) => clean_test(&card, test_set, test, &findings.clean_test),
            None => (0, None),
        };
        let metrics = Metrics {
            val: outcome.best_val.as_ref().map(|val| part(val_set, val)),
            test_clean,
            test: test.as_ref().map(|test| part(test_set, test)),
            n_leaked,
            calibration: Calibration::new(card.temperature, outcome.best_val.as_ref(), test.as_ref()),
            train_images_per_s: outcome.images_per_s,
            train_seconds: outcome.train_seconds,
            data_share: outcome.data_share,
            epochs: outcome.epochs,
            best_epoch: outcome.best_epoch,
            n_parameters: architecture.n_parameters(),
            seed: self.config.seed,
            threads: self.config.threads(),
        };
        Ok((metrics, predictions))
    }
}

/// How many test pictures leaked, and the figures of the others; no figures where none or all leaked.
pub fn clean_test(
    card: &ModelCard,
    set: &ImageSet,
    evaluation: &Evaluation,
    clean: &[bool],
) -> (usize, Option<PartMetrics>) {
    let kept: Vec<usize> = (0..evaluation.len()).filter(|&image| clean[image]).collect();
    let n_leaked = evaluation.len() - kept.len();
    if n_leaked == 0 || kept.is_empty() {
        return (n_leaked, None);
    }
    let patients: Vec<Option<String>> =
        kept.iter().map(|&image| set.patient(image).map(str::to_owned)).collect();
    let predictions = evaluation.only(kept.into_iter()).predictions(card.temperature);
    let groups = group_ids(&patients);
    (n_leaked, Some(PartMetrics::new(card.class_names.clone(), &predictions, groups.as_deref())))
}

/// Columns from which on the wide line of an epoch fits.
const WIDE: usize = 72;

fn epoch_heading(width: usize) -> String {
    let narrow = "  epoch    loss  val loss  val acc.";
    if width < WIDE { narrow.to_owned() } else { format!("{narrow}        lr  images/s       time") }
}

fn epoch_line(line: &LogLine, epochs: usize, width: usize) -> String {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let epoch = format!("{}/{epochs}", line.epoch);
    let val_loss = or_dash(line.val_loss.map(shown_loss));
    let val_accuracy = or_dash(line.val_accuracy.map(|accuracy| format!("{:.1} %", 100.0 * accuracy)));
    let narrow = format!("{epoch:>7}  {:>6}  {val_loss:>8}  {val_accuracy:>8}", shown_loss(line.train_loss));
    let best = if line.best { "  kept" } else { "" };
    if width < WIDE {
        return narrow + best;
    }
    let time = duration(Duration::from_secs_f64(line.seconds));
    format!("{narrow}  {:>8.6}  {:>8.0}  {time:>9}{best}", line.lr, line.images_per_s)
}

/// In six characters: fewer decimals for what is large, a power of ten for a run that goes astray.
fn shown_loss(loss: f64) -> String {
    match loss {
        ..10.0 => format!("{loss:.4}"),
        ..1000.0 => format!("{loss:.2}"),
        _ => format!("{loss:.1e}"),
    }
}

/// Tells the bar of every step: loss, learning rate, speed and time left, as far as there is room.
fn show_step(bar: &ProgressBar, n_steps: usize, width: usize) -> impl FnMut(StepReport) {
    let start = Instant::now();
    let (mut n_images, mut n_done) = (0, 0);
    move |report| {
        n_images += report.n_images;
        n_done += 1;
        let seconds = start.elapsed().as_secs_f64();
        let left =
            duration(Duration::from_secs_f64(seconds / n_done as f64 * (n_steps - report.step) as f64));
        bar.set_position(report.step as u64);
        bar.set_message(if width < WIDE {
            format!("loss {:.3}  {left} left", report.loss)
        } else {
            let speed = n_images as f64 / seconds;
            format!("loss {:.3}  lr {:.4}  {speed:.0} images/s  {left} left", report.loss, report.lr)
        });
    }
}
