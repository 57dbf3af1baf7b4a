//! A run on loaded data: trains epoch by epoch, evaluates the saved model, writes the report.

use std::path::Path;

use roentgen_data::Dataset;
use roentgen_layers::ResNet;

use super::checkpoint;
use super::epochs::Run;
use super::final_evaluation;
use super::new_model_card::new_model_card;
use super::objective::{class_priors, loss_head};
use super::on_ranks::leader::Leader;
use super::resumption::Resumption;
use super::trainer::Trainer;
use super::{hard_examples, initial_weights, inputs, interrupt, run_summary};
use crate::config::build::{normalization, resnet9_config};
use crate::config::error::ConfigError;
use crate::config::{Select, TrainConfig};
use crate::data_loading::inspection::Inspection;
use crate::memory::MemoryShare;
use crate::metrics::test_metrics::TestMetrics;
use crate::model::assumed_prior::AssumedPrior;
use crate::model::instruction_sets::OtherCpu;
use crate::model::model_file;
use crate::model::predicted_set::PredictedSet;
use crate::ranks::Ranks;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{CONFIG, DATA, MODEL, REPORT};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::pseudonym_key;
use crate::run_dir::records::Metrics;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::memory_estimate::{MORE_ROOM, MemoryEstimate, SMALLER_TRAINING};

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct FinishedRun {
    /// The content of `metrics.json`.
    pub metrics: Metrics,
    /// The predictions for the test set, if there is one.
    pub test: Option<PredictedSet>,
    pub folder: RunFolder,
}

/// How a run is trained, besides what its settings say.
#[derive(Clone, Copy)]
pub(crate) struct Execution<'a> {
    pub(crate) leader: &'a Leader<'a>,
    pub(crate) other_cpu: OtherCpu,
    /// Whether the run leaves a model. Without one it also learns nothing of other images, and leaves figures and report alone.
    pub(crate) keeps_model: bool,
}

impl<'a> Execution<'a> {
    /// For a run that leaves a model.
    #[must_use]
    pub(crate) fn new(leader: &'a Leader<'a>, other_cpu: OtherCpu) -> Self {
        Self { leader, other_cpu, keeps_model: true }
    }
}

/// Trains on loaded data in a new run folder, in this process alone.
///
/// # Errors
/// As [`train_led`].
pub(crate) fn train(
    config: &TrainConfig,
    data: &Dataset,
    folder: PlannedFolder,
    screen: &Screen,
) -> Result<FinishedRun, TrainingError> {
    train_led(config, data, folder, &Leader::of(&Ranks::one()), screen)
}

/// Trains on loaded data in a new run folder, with the ranks that `leader` leads.
///
/// # Errors
/// Settings that do not fit the data, before the folder is made; then as [`train_in_folder`].
pub(crate) fn train_led(
    config: &TrainConfig,
    data: &Dataset,
    folder: PlannedFolder,
    leader: &Leader<'_>,
    screen: &Screen,
) -> Result<FinishedRun, TrainingError> {
    let (config, folder) = begin(config, data, folder, MemoryShare::ALL)?;
    train_in_folder(&config, data, folder, Execution::new(leader, OtherCpu::Reject), screen)
}

/// Makes the folder of a run, from which it can be trained or resumed, with `memory`. Returns its settings and the folder.
///
/// # Errors
/// Settings that do not fit the data, before the folder is made; a file that cannot be written.
pub(super) fn begin(
    config: &TrainConfig,
    data: &Dataset,
    folder: PlannedFolder,
    memory: MemoryShare,
) -> Result<(TrainConfig, RunFolder), TrainingError> {
    let init_digest = check_against_data(config, data, memory)?;
    let config = config.resolved(data.train.len(), data.val_fraction);
    let folder = folder.create()?;
    folder.write_json(DATA, &Inspection::of(data))?;
    inputs::write(&folder, &inputs::images_digest(data), init_digest.as_deref())?;
    // The configuration is written last: a folder that has it can be resumed.
    pseudonym_key::write(&config, data, &folder)?;
    folder.write(CONFIG, config.recorded().to_toml().as_bytes())?;
    Ok((config, folder))
}

/// The settings and the folder of the run to resume in the folder `path`, with `memory`.
///
/// # Errors
/// If the folder or its configuration cannot be read, or the memory does not suffice.
pub(super) fn reopen(
    path: &Path,
    resumption: &Resumption,
    data: &Dataset,
    memory: MemoryShare,
) -> Result<(TrainConfig, RunFolder), TrainingError> {
    let folder = RunFolder::open(path)?;
    let config = resumption.read_config(&folder)?;
    MemoryEstimate::of(&config, data).check_share(memory, MORE_ROOM)?;
    Ok((config, folder))
}

/// Trains in a folder that has its configuration already, from its checkpoint if it has one, which is rejected if its
/// weights were computed with other arithmetic, unless [`OtherCpu::Allow`].
///
/// # Errors
/// Training that diverges, a signal, a file that cannot be written, or a checkpoint of another run.
pub(crate) fn train_in_folder(
    config: &TrainConfig,
    data: &Dataset,
    folder: RunFolder,
    Execution { leader, other_cpu, keeps_model }: Execution<'_>,
    screen: &Screen,
) -> Result<FinishedRun, TrainingError> {
    pseudonym_key::check(config, data, &folder)?;
    // The settings of a run that is continued may have been edited.
    check_smallest_batch(config, data)?;
    let normalization = normalization(config, &data.train);
    let network_config = resnet9_config(config, data);
    let mut model = network_config.build(config.seed);
    let init = initial_weights::load(config, &folder, &mut model, screen)?;
    listen_for_signals(screen)?;
    // Not part of a checkpoint: a resumed run computes the same set again from its settings and its seed.
    let oversampled =
        (config.oversample_hard > 1).then(|| hard_examples::oversample(config, data, screen)).transpose()?;
    end_if_interrupted(&folder)?;
    let epoch_set = oversampled.as_ref().map(|images| data.train.select(images));
    let epoch_set = epoch_set.as_ref().unwrap_or(&data.train);
    let [epoch_counts, counts] = [epoch_set, &data.train].map(|set| set.class_counts(data.class_names.len()));
    let loss_head = loss_head(config, &epoch_counts);
    let class_priors = class_priors(config, &data.class_names, &epoch_counts, &counts);
    let mut card =
        new_model_card(config, data, &normalization, AssumedPrior::of(config.prior, &class_priors));
    let trainer = Trainer::new(config, model, normalization, loss_head, epoch_set.len());
    let mut trainer = trainer.on(leader.ranks.clone());
    let (class_priors, folder) = (&class_priors, &folder);
    let run = Run { config, data, epoch_set, class_priors, folder, leader, other_cpu, keeps_model, screen };
    let mut run_state = run.restore(&mut trainer)?;
    if !run_state.instruction_sets.end_with_this_build() {
        run_summary::show_other_cpu(screen, &run_state.instruction_sets);
        run_state.instruction_sets.go_on_with_this_build();
    }
    // Only a run without a checkpoint has loaded them.
    run_state.init = init.or(run_state.init);
    if let Some(init) = &run_state.init {
        initial_weights::add_to_card(init, &mut card, config, data, screen);
    }
    run_summary::show_plan(&run, &network_config);
    run_summary::show_resumed(screen, trainer.n_steps_done(), trainer.n_steps());
    leader.begin(oversampled, || checkpoint::to_bytes(&run_state, &trainer.state()))?;
    let mut outcome = run.train(trainer, run_state, card)?;
    let mut final_model = final_evaluation::complete_model_file(&run, &mut outcome)?;
    end_if_interrupted(folder)?;
    let (metrics, test) = final_evaluation::evaluate_final_model(&run, &outcome, &mut final_model)?;
    end_if_interrupted(folder)?;
    let report = run.report(&final_model, &metrics, test.as_ref())?;
    folder.write(REPORT, report.as_bytes())?;
    // The metrics are written last: a folder that has them belongs to a run that has ended.
    folder.end(&metrics)?;
    run_summary::show_results(&run, &metrics, &final_model.model.card)?;
    Ok(FinishedRun { metrics, test, folder: folder.clone() })
}

/// Evaluates the model of a run that has ended on its test set: the same metrics and predictions that the run ended with.
///
/// # Errors
/// As [`model_file::read`]; if the images are no longer those that the model was trained on; and as [`train_in_folder`] if it
/// was computed with other arithmetic.
pub(crate) fn evaluate_ended_run(
    path: &Path,
    data: &Dataset,
    other_cpu: OtherCpu,
) -> Result<(TestMetrics, PredictedSet), TrainingError> {
    let path = path.join(MODEL);
    let model = model_file::read(&path)?;
    let card = &model.card;
    let is_other_cpu = |reason| RunDirError::not_resumable(&path, reason);
    card.instruction_sets.check_this_build(other_cpu).map_err(is_other_cpu)?;
    if !card.training_digests.have_all(&[&data.train, &data.val]) {
        let reason =
            "the images are no longer those that it was trained on; restore them, or start another run";
        return Err(RunDirError::not_resumable(path, reason).into());
    }
    let is_leaked = final_evaluation::leaked_images(card, data);
    let test = PredictedSet::new(&model, &data.test, is_leaked);
    Ok((test.test_metrics(&card.class_names), test))
}

/// Fails on settings that make no sense with these data. Returns the digest of the file of `--init`, if there is one.
fn check_against_data(
    config: &TrainConfig,
    data: &Dataset,
    memory: MemoryShare,
) -> Result<Option<String>, TrainingError> {
    check_smallest_batch(config, data)?;
    MemoryEstimate::of(config, data).check_share(memory, SMALLER_TRAINING)?;
    if data.val.is_empty() {
        let reason = "it needs a validation set; provide one, or a --val-fraction above 0";
        let second = "data without a validation set";
        if config.patience.is_some() {
            return Err(ConfigError::Conflict { first: "--patience", second, reason }.into());
        }
        if config.select != Select::default() {
            return Err(ConfigError::Conflict { first: "--select", second, reason }.into());
        }
    }
    let n_val_classes = data.val.class_counts(data.class_names.len()).iter().filter(|&&n| n > 0).count();
    if config.select == Select::Auc && n_val_classes == 1 {
        let reason = "an area under the ROC curve needs images of two; add validation images of another class, or choose \
                      another --select";
        let second = "validation images of one class";
        return Err(ConfigError::Conflict { first: "--select auc", second, reason }.into());
    }
    let Some(path) = &config.init else { return Ok(None) };
    // Only whether they fit; the weights are loaded when training begins.
    let mut network = ResNet::zeros(resnet9_config(config, data).architecture());
    let start = model_file::initialise(&mut network, path)?;
    Ok(Some(start.model.file_digest))
}

/// Batch norm needs at least two numbers per channel, also after three poolings.
///
/// # Errors
/// If the smallest batch of an epoch, or a shard of it, has fewer.
pub(crate) fn check_smallest_batch(config: &TrainConfig, data: &Dataset) -> Result<(), TrainingError> {
    let (n_train, n_epoch) = (data.train.len(), hard_examples::n_epoch_images(config, data));
    let smallest = n_epoch / n_epoch.div_ceil(config.batch(n_train));
    let (size, n_shards) = (config.size, config.micro_batches);
    let n_pixels = (size as usize / 8).pow(2);
    if smallest * n_pixels < 2 {
        return Err(TrainingError::BatchTooSmall { size, n_train });
    }
    if smallest / n_shards * n_pixels < 2 {
        return Err(TrainingError::ShardTooSmall { size, n_images: smallest, n_shards });
    }
    Ok(())
}

/// Ends a run between two of its steps, after a signal.
fn end_if_interrupted(folder: &RunFolder) -> Result<(), TrainingError> {
    match interrupt::signal() {
        Some(signal) => Err(TrainingError::Interrupted { signal, run: folder.path().to_owned() }),
        None => Ok(()),
    }
}

/// From here on the first signal ends the run after a checkpoint, the second one at once.
pub(super) fn listen_for_signals(screen: &Screen) -> Result<(), TrainingError> {
    let screen = screen.clone();
    let on_first = move || screen.note("stopping", "after this step; press Ctrl-C again to stop at once");
    interrupt::listen(on_first).map_err(|source| TrainingError::Signals { source })
}
