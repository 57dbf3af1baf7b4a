//! The epochs of a run, from the first one or from its checkpoint.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use roentgen_data::{Dataset, ImageSet, read_file, read_text_file};
use roentgen_layers::ResNet;

use super::epoch_lines::{epoch_heading, epoch_line, show_step};
use super::inputs;
use super::on_ranks::leader::{Leader, Order, signal_of_any};
use crate::config::TrainConfig;
use crate::model::class_priors::ClassPriors;
use crate::model::instruction_sets::{InstructionSets, OtherCpu};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::trained_model::Model;
use crate::run_dir::error::{RunDirError, START_AGAIN};
use crate::run_dir::file_names::{CHECKPOINT, LAST_MODEL, LOG, MODEL, TIMES};
use crate::run_dir::records::{LogLine, MAX_LOG_BYTES, TimeLine};
use crate::run_dir::run_folder::RunFolder;
use crate::run_dir::tensorboard;
use crate::terminal::screen::{Screen, counted};
use crate::training::checkpoint::checks::RunSize;
use crate::training::checkpoint::{self, RunState};
use crate::training::early_stopping::EarlyStopping;
use crate::training::epoch_selection::EpochSelection;
use crate::training::error::TrainingError;
use crate::training::interrupt;
use crate::training::trainer::{EpochProgress, Trainer};
use crate::training::validation::Validation;

/// A run, as all of its stages read it.
pub(super) struct Run<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) data: &'a Dataset,
    /// The images of an epoch: the training set, in which hard examples may occur several times.
    pub(super) epoch_set: &'a ImageSet,
    pub(super) class_priors: &'a ClassPriors,
    pub(super) folder: &'a RunFolder,
    pub(super) leader: &'a Leader<'a>,
    pub(super) other_cpu: OtherCpu,
    /// Whether the run leaves a model.
    pub(super) keeps_model: bool,
    pub(super) screen: &'a Screen,
}

/// The result of the epochs, for the final evaluation.
pub(super) struct TrainingOutcome {
    /// Epochs that were trained.
    pub(super) epochs: usize,
    pub(super) saved_epoch: usize,
    pub(super) saved_digest: String,
    /// The saved model as a file, unless the disk has it.
    pub(super) unwritten_model: Option<Vec<u8>>,
    pub(super) train_seconds: f64,
    pub(super) images_per_s: f64,
    pub(super) data_loading_fraction: f64,
}

/// The decisions at the end of an epoch.
#[derive(Clone, Copy)]
struct EpochEnd {
    /// Whether [`EpochSelection`] chooses its weights.
    is_saved: bool,
    /// Whether it is the last one: of all, or by early stopping.
    is_last: bool,
}

/// The saved model belongs to another run.
pub(super) fn wrong_model_error(path: PathBuf) -> RunDirError {
    let reason =
        "it is not the model that this run saved; restore that file, or start the run again with --config";
    RunDirError::not_resumable(path, reason)
}

impl Run<'_> {
    /// Steps of an epoch.
    pub(super) fn steps_per_epoch(&self) -> usize {
        self.epoch_set.len().div_ceil(self.config.batch(self.data.train.len()))
    }

    /// The state of the run by its checkpoint, whose weights go into `trainer`; without a checkpoint, the beginning.
    pub(super) fn restore(&self, trainer: &mut Trainer) -> Result<RunState, TrainingError> {
        let (settings, images) = (inputs::settings(self.config), inputs::images_digest(self.data));
        let inputs_digest = inputs::digest(&settings, &images);
        let run_state = match read_file(&self.folder.file(CHECKPOINT), checkpoint::MAX_BYTES) {
            Ok(bytes) => self.restore_from(&bytes, &settings, &inputs_digest, trainer)?,
            Err(error) if error.is_not_found() => {
                inputs::check_images(self.folder, &images)?;
                RunState {
                    inputs_digest,
                    settings,
                    early_stopping: EarlyStopping::new(self.config.patience),
                    instruction_sets: InstructionSets::of_this_build(),
                    ..RunState::default()
                }
            }
            Err(error) => {
                return Err(self.not_resumable(CHECKPOINT, format!("it cannot be read ({error})")).into());
            }
        };
        // Epochs that were logged after the checkpoint will be trained, and logged, again.
        for (name, bytes) in [LOG, TIMES].into_iter().zip(run_state.log_bytes) {
            self.folder.truncate(name, bytes)?;
        }
        if self.read_log()?.len() != run_state.epoch {
            let reason = format!("it does not have one line for each epoch of the checkpoint; {START_AGAIN}");
            return Err(self.not_resumable(LOG, reason).into());
        }
        if self.config.tensorboard {
            self.begin_tensorboard()?;
        }
        Ok(run_state)
    }

    fn restore_from(
        &self,
        bytes: &[u8],
        settings: &str,
        inputs_digest: &str,
        trainer: &mut Trainer,
    ) -> Result<RunState, TrainingError> {
        let start_again = |reason: String| self.not_resumable(CHECKPOINT, format!("{reason}; {START_AGAIN}"));
        let (mut run_state, trainer_state) = checkpoint::from_bytes(bytes).map_err(start_again)?;
        if run_state.inputs_digest != inputs_digest {
            let reason = inputs::why_not_the_same(&run_state.settings, settings);
            return Err(self.not_resumable(CHECKPOINT, reason).into());
        }
        let n_train = self.data.train.len();
        let size = RunSize { config: self.config, n_train, epoch_images: self.epoch_set.len() };
        size.check(&run_state, &trainer_state).map_err(start_again)?;
        let is_other_cpu = |reason| self.not_resumable(CHECKPOINT, reason);
        run_state.instruction_sets.check_this_build(self.other_cpu).map_err(is_other_cpu)?;
        trainer.restore(trainer_state).map_err(start_again)?;
        self.check_saved_model(&mut run_state)?;
        Ok(run_state)
    }

    fn not_resumable(&self, file: &str, reason: impl Into<String>) -> RunDirError {
        RunDirError::not_resumable(self.folder.file(file), reason)
    }

    /// Checks the saved model now: otherwise one that is missing or damaged would end the run only after its last epoch. Where one
    /// of other arithmetic has replaced it, the next epoch will be saved.
    fn check_saved_model(&self, run_state: &mut RunState) -> Result<(), TrainingError> {
        if run_state.saved_epoch == 0 {
            return Ok(());
        }
        let path = self.folder.file(MODEL);
        let bytes = model_file::read_bytes(&path)?;
        let Model { card, .. } = model_file::decode(&bytes, &path)?;
        let is_newer = card.epoch > run_state.epoch;
        if !is_newer && model_file::weights_digest(&bytes, &card) != run_state.saved_digest {
            return Err(wrong_model_error(path).into());
        }
        // A run that was killed between this model and its checkpoint trains that epoch, and saves the model, again. With other
        // arithmetic that epoch may not be selected, and the model that the checkpoint names is no longer there.
        let instruction_sets = &run_state.instruction_sets;
        let is_repeated =
            card.instruction_sets == *instruction_sets && instruction_sets.end_with_this_build();
        if is_newer && !is_repeated {
            let text = format!(
                "the saved model, of epoch {}, was replaced after the last checkpoint, by one of other arithmetic; the next \
                 epoch is saved in its place",
                run_state.saved_epoch
            );
            self.screen.field("WARNING", &text);
            run_state.selection = EpochSelection::default();
            (run_state.saved_epoch, run_state.saved_digest) = (0, String::new());
        }
        Ok(())
    }

    /// Starts the TensorBoard file with the epochs of the log.
    fn begin_tensorboard(&self) -> Result<(), RunDirError> {
        let done = self.read_log()?.iter().flat_map(tensorboard::scalars).collect::<Vec<u8>>();
        self.folder.create_subfolder(tensorboard::FOLDER)?;
        self.folder.write(tensorboard::FILE, &[tensorboard::beginning(), done].concat())
    }

    /// The epochs of the log.
    pub(super) fn read_log(&self) -> Result<Vec<LogLine>, RunDirError> {
        let path = self.folder.file(LOG);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = read_text_file(&path, MAX_LOG_BYTES)
            .map_err(|error| self.not_resumable(LOG, error.to_string()))?;
        let lines: Result<Vec<LogLine>, _> = text.lines().map(serde_json::from_str).collect();
        lines.map_err(|error| self.not_resumable(LOG, format!("{error}; {START_AGAIN}")))
    }

    /// Trains all epochs that are left. [`Run::save_model`] writes the model that will be evaluated.
    pub(super) fn train(
        &self,
        mut trainer: Trainer,
        mut run_state: RunState,
        mut card: ModelCard,
    ) -> Result<TrainingOutcome, TrainingError> {
        let epochs = self.config.epochs(self.data.train.len());
        let bar = self.screen.bar(trainer.n_steps());
        let mut writer = checkpoint::Writer::new(self.folder.clone(), self.checkpoint_interval());
        self.screen.line(&self.screen.bold(&epoch_heading(self.screen.width())));
        let mut clock = Instant::now();
        while run_state.epoch < epochs && !run_state.stopped_early {
            bar.set_prefix(format!("epoch {}/{epochs}", run_state.epoch + 1));
            let is_over = self.train_until_checkpoint(&mut trainer, &mut run_state, &bar)?;
            // Where an epoch was broken off, every rank asks the others, and the signal of any of them ends the run.
            let signal = if is_over { None } else { signal_of_any(self.leader.ranks)? };
            if is_over {
                self.end_epoch(&mut trainer, &mut run_state, &mut card, &mut writer)?;
            }
            run_state.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let signal = signal.or_else(interrupt::signal);
            if !is_over || writer.is_due() || signal.is_some() {
                writer.save(run_state.clone(), trainer.state())?;
            }
            if let Some(signal) = signal {
                writer.wait()?;
                bar.finish_and_clear();
                return Err(TrainingError::Interrupted { signal, run: self.folder.path().to_owned() });
            }
        }
        let unwritten_model = writer.end()?;
        bar.finish_and_clear();
        if run_state.epoch < epochs {
            let waited = counted(self.config.patience.unwrap_or(0), "epoch");
            self.screen.field("stopped", &format!("early: validation has not improved for {waited}"));
        }
        Ok(TrainingOutcome { unwritten_model, ..self.outcome(run_state) })
    }

    fn checkpoint_interval(&self) -> Duration {
        Duration::from_secs_f64(60.0 * self.config.checkpoint_minutes)
    }

    fn outcome(&self, run_state: RunState) -> TrainingOutcome {
        let RunState { epoch, saved_epoch, saved_digest, seconds, step_seconds, data_seconds, .. } =
            run_state;
        TrainingOutcome {
            epochs: epoch,
            saved_epoch,
            saved_digest,
            unwritten_model: None,
            train_seconds: seconds,
            images_per_s: (epoch * self.epoch_set.len()) as f64 / step_seconds,
            data_loading_fraction: data_seconds / step_seconds,
        }
    }

    /// Trains until the epoch is over, a checkpoint is due, or a signal comes. Returns whether the epoch is over.
    fn train_until_checkpoint(
        &self,
        trainer: &mut Trainer,
        run_state: &mut RunState,
        bar: &ProgressBar,
    ) -> Result<bool, TrainingError> {
        let (start, n_steps) = (Instant::now(), trainer.n_steps());
        let interval = self.checkpoint_interval();
        let mut show = show_step(bar, n_steps, self.screen.width());
        let (epoch, progress) = (run_state.epoch, run_state.progress);
        self.leader.order(&Order::Train { epoch, progress })?;
        let is_over = trainer.train_epoch(self.epoch_set, run_state.epoch, &mut run_state.progress, |step| {
            show(step);
            interrupt::signal().is_none() && start.elapsed() < interval
        });
        is_over.map_err(|error| error.into_error(self.config, self.epoch_set))
    }

    /// Validates, saves the model if its epoch is selected, and writes the logs.
    fn end_epoch(
        &self,
        trainer: &mut Trainer,
        run_state: &mut RunState,
        card: &mut ModelCard,
        writer: &mut checkpoint::Writer,
    ) -> Result<(), TrainingError> {
        let start = Instant::now();
        let trained = std::mem::take(&mut run_state.progress);
        let epoch = run_state.epoch;
        run_state.epoch += 1;
        run_state.step_seconds += trained.seconds;
        run_state.data_seconds += trained.data_seconds;
        card.epoch = run_state.epoch;
        card.instruction_sets = run_state.instruction_sets.clone();
        let n_steps_done = trainer.n_steps_done() as u64;
        if !self.data.val.is_empty() {
            self.leader.order(&Order::Validate { epoch })?;
        }
        let (val, is_saved) = trainer.with_model(self.epoch_set, epoch, |model| {
            let val = self.validate(model, card, trained.n_batches)?;
            card.temperature = val.as_ref().map_or(1.0, |val| val.temperature);
            let end = self.decide(val.as_ref(), run_state);
            self.save_model(model, card, n_steps_done, end, run_state, writer)?;
            Ok::<_, TrainingError>((val, end.is_saved))
        })?;
        let images_per_s = self.epoch_set.len() as f64 / trained.seconds;
        let val_seconds = start.elapsed().as_secs_f64();
        let time = TimeLine { epoch: run_state.epoch, seconds: trained.seconds, val_seconds, images_per_s };
        run_state.log_bytes = self.log(run_state, &trained, val.as_ref(), is_saved, &time)?;
        Ok(())
    }

    /// Evaluates on the validation set, if there is one; fails if the loss is not finite.
    fn validate(
        &self,
        model: &ResNet,
        card: &ModelCard,
        n_batches: usize,
    ) -> Result<Option<Validation>, TrainingError> {
        let Run { config, data, .. } = self;
        if data.val.is_empty() {
            return Ok(None);
        }
        let n_classes = data.class_names.len();
        let evaluation = self.leader.evaluate(model, &data.val, n_classes, &card.preprocessing())?;
        let loss = evaluation.loss();
        if loss.is_finite() {
            return Ok(Some(Validation::new(evaluation, self.class_priors, config.select)));
        }
        Err(TrainingError::Diverged {
            what: format!("the validation loss became {loss}"),
            epoch: card.epoch,
            batch: n_batches,
            images: "its last one".to_owned(),
            max_lr: config.max_lr,
            clip: config.clip.to_string(),
        })
    }

    /// Decides by its validation whether the weights of an epoch are saved, and whether the run ends with it.
    fn decide(&self, val: Option<&Validation>, run_state: &mut RunState) -> EpochEnd {
        let epochs = self.config.epochs(self.data.train.len());
        let is_saved = run_state.selection.should_save(val.map(|val| val.score));
        if let Some(val) = val {
            let should_stop = run_state.early_stopping.should_stop(val.score.value, val.loss);
            run_state.stopped_early = should_stop && run_state.epoch < epochs;
        }
        EpochEnd { is_saved, is_last: run_state.stopped_early || run_state.epoch == epochs }
    }

    /// Writes [`LAST_MODEL`] after the last epoch; hands [`MODEL`] to `writer` if this epoch is saved.
    fn save_model(
        &self,
        model: &ResNet,
        card: &ModelCard,
        n_steps_done: u64,
        EpochEnd { is_saved, is_last }: EpochEnd,
        run_state: &mut RunState,
        writer: &mut checkpoint::Writer,
    ) -> Result<(), RunDirError> {
        if is_saved || is_last {
            let bytes = model_file::to_bytes(model, card, n_steps_done);
            if is_last && self.keeps_model {
                self.folder.write(LAST_MODEL, &bytes)?;
            }
            if is_saved {
                run_state.saved_epoch = run_state.epoch;
                run_state.saved_digest = model_file::weights_digest(&bytes, card);
                writer.set_model(bytes);
            }
        }
        Ok(())
    }

    /// Writes one line per epoch to the logs and to the screen. Returns the lengths of the logs after it.
    fn log(
        &self,
        RunState { epoch, instruction_sets, .. }: &RunState,
        trained: &EpochProgress,
        val: Option<&Validation>,
        saved: bool,
        time: &TimeLine,
    ) -> Result<[u64; 2], RunDirError> {
        let line = LogLine {
            epoch: *epoch,
            train_loss: trained.loss(),
            train_accuracy: trained.accuracy(),
            val_loss: val.map(|val| val.loss),
            val_accuracy: val.map(|val| val.accuracy),
            val_score: val.map(|val| val.score.value),
            lr: trained.lr,
            saved,
            instruction_sets: instruction_sets.clone(),
        };
        let json = serde_json::to_string(&line).expect("a log line is plain numbers");
        let log_bytes = self.folder.append_line(LOG, &json)?;
        if self.config.tensorboard {
            self.folder.append(tensorboard::FILE, &tensorboard::scalars(&line))?;
        }
        let json = serde_json::to_string(time).expect("a line of times is plain numbers");
        let time_bytes = self.folder.append_line(TIMES, &json)?;
        let epochs = self.config.epochs(self.data.train.len());
        self.screen.line(&epoch_line(&line, time, epochs, self.screen.width()));
        Ok([log_bytes, time_bytes])
    }
}
