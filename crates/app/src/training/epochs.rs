//! The epochs of a run, from wherever its checkpoint says that it stands.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use roentgen_data::{Dataset, ImageSet};

use super::progress_lines::{epoch_heading, epoch_line, show_step};
use crate::config::TrainConfig;
use crate::error::AppError;
use crate::model::calibration;
use crate::model::inference::{Evaluation, evaluate};
use crate::model::model_file::{self, ModelCard};
use crate::run_dir::file_names::{CHECKPOINT, LAST_MODEL, LOG, MODEL, TIMES};
use crate::run_dir::records::{LogLine, TimeLine};
use crate::run_dir::run_folder::RunFolder;
use crate::run_dir::tensorboard;
use crate::terminal::screen::{Screen, counted};
use crate::training::checkpoint::{self, RunState};
use crate::training::early_stopping::EarlyStopping;
use crate::training::interrupt;
use crate::training::trainer::{EpochProgress, Trainer};

/// What all parts of a run look at.
pub(super) struct Run<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) data: &'a Dataset,
    /// What an epoch goes through: the training part, in which some pictures may stand several times.
    pub(super) train_set: &'a ImageSet,
    pub(super) folder: &'a RunFolder,
    pub(super) screen: &'a Screen,
}

/// What training leaves to the test.
pub(super) struct Outcome {
    /// Epochs that were trained.
    pub(super) epochs: usize,
    pub(super) best_epoch: usize,
    pub(super) best_digest: String,
    pub(super) train_seconds: f64,
    pub(super) images_per_s: f64,
    pub(super) data_loading_fraction: f64,
}

/// The best weights are another model's.
pub(super) fn not_of_this_run(path: PathBuf) -> AppError {
    let reason = "it is not the best model of this run; put that back, or start the run again with --config";
    AppError::NotResumable { path, reason: reason.to_owned() }
}

impl Run<'_> {
    /// Steps of an epoch.
    pub(super) fn steps_per_epoch(&self) -> usize {
        self.train_set.len().div_ceil(self.config.batch(self.data.train.len()))
    }

    /// How far the run is by its checkpoint, which is put into `trainer`.
    pub(super) fn run_state(&self, trainer: &mut Trainer) -> Result<RunState, AppError> {
        let inputs = self.inputs();
        let path = self.folder.file(CHECKPOINT);
        let refused = |reason: String| AppError::NotResumable { path: path.clone(), reason };
        let run_state = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => RunState {
                inputs,
                early_stopping: EarlyStopping::new(self.config.patience),
                ..RunState::default()
            },
            Err(error) => return Err(refused(format!("it cannot be read ({error})"))),
            Ok(bytes) => {
                let start_again = |reason: String| refused(format!("{reason}; start the run again"));
                let (run_state, state) = checkpoint::from_bytes(&bytes).map_err(start_again)?;
                if run_state.inputs != inputs {
                    let reason = "the settings in config.toml or the pictures are no longer those of the run; put \
                                  them back, or start another run";
                    return Err(refused(reason.to_owned()));
                }
                trainer.restore(state).map_err(start_again)?;
                self.check_best(&run_state)?;
                run_state
            }
        };
        for (name, bytes) in [LOG, TIMES].into_iter().zip(run_state.log_bytes) {
            self.folder.cut_back(name, bytes)?;
        }
        if self.config.tensorboard {
            self.begin_tensorboard()?;
        }
        Ok(run_state)
    }

    /// Finds out before training goes on whether the best weights are still there and sound.
    fn check_best(&self, run_state: &RunState) -> Result<(), AppError> {
        if run_state.best_epoch == 0 {
            return Ok(());
        }
        let path = self.folder.file(MODEL);
        let bytes = model_file::read_bytes(&path)?;
        let (_, card) = model_file::decode(&bytes, &path)?;
        // A run that was killed after it had written the best of the next epoch writes it once more.
        let is_newer = card.epoch == run_state.epoch + 1;
        if is_newer || model_file::training_digest(&bytes, &card) == run_state.best_digest {
            return Ok(());
        }
        Err(not_of_this_run(path))
    }

    /// A file with the epochs that are done.
    fn begin_tensorboard(&self) -> Result<(), AppError> {
        let done = self.read_log()?.iter().flat_map(tensorboard::scalars).collect::<Vec<u8>>();
        self.folder.make(tensorboard::FOLDER)?;
        self.folder.write(tensorboard::FILE, &[tensorboard::beginning(), done].concat())
    }

    /// The epochs that are done.
    pub(super) fn read_log(&self) -> Result<Vec<LogLine>, AppError> {
        let path = self.folder.file(LOG);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let refused = |reason: String| AppError::NotResumable { path: path.clone(), reason };
        let text = fs::read_to_string(&path).map_err(|error| refused(error.to_string()))?;
        let lines: Result<Vec<LogLine>, _> = text.lines().map(serde_json::from_str).collect();
        lines.map_err(|error| refused(format!("{error}; start the run again")))
    }

    /// Digest of all that decides the weights.
    fn inputs(&self) -> String {
        let Dataset { train, val, test, .. } = self.data;
        // Where files are decides nothing: of pictures it is what they show, and what a run starts from is in its weights.
        let nowhere = TrainConfig { data: PathBuf::new(), test: None, init: None, ..self.config.clone() };
        let settings = TrainConfig { threads: None, ..nowhere }.to_toml();
        let parts = [train, val, test].map(ImageSet::digest);
        blake3::hash((settings + &parts.concat()).as_bytes()).to_hex()[..32].to_owned()
    }

    /// All epochs that are left. The one that [`crate::training::best_epoch::BestEpoch`] keeps goes to [`MODEL`] as soon as it is
    /// known.
    pub(super) fn train(
        &self,
        mut trainer: Trainer,
        mut run_state: RunState,
        mut card: ModelCard,
    ) -> Result<Outcome, AppError> {
        let Run { config, data, train_set, folder, screen } = self;
        let epochs = config.epochs(data.train.len());
        let bar = screen.bar(trainer.n_steps());
        let mut writer = checkpoint::Writer::new(self.folder.clone());
        screen.line(&screen.bold(&epoch_heading(screen.width())));
        let (mut saved, mut clock) = (Instant::now(), Instant::now());
        let between = Duration::from_secs_f64(60.0 * config.checkpoint_minutes);
        while run_state.epoch < epochs && !run_state.stopped_early {
            bar.set_prefix(format!("epoch {}/{epochs}", run_state.epoch + 1));
            let mut show = show_step(&bar, trainer.n_steps(), screen.width());
            let is_trained =
                trainer.train_epoch(train_set, run_state.epoch, &mut run_state.progress, |step| {
                    show(step);
                    interrupt::signal().is_none() && saved.elapsed() < between
                });
            let is_trained = is_trained.map_err(|divergence| divergence.into_error(config, train_set))?;
            if is_trained {
                self.end_epoch(&mut trainer, &mut run_state, &mut card)?;
            }
            run_state.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            writer.save(run_state.clone(), trainer.state())?;
            saved = Instant::now();
            if let Some(signal) = interrupt::signal() {
                writer.wait()?;
                bar.finish_and_clear();
                return Err(AppError::Interrupted { signal, run: folder.path().to_owned() });
            }
        }
        writer.wait()?;
        bar.finish_and_clear();
        let RunState { epoch, best_epoch, best_digest, seconds, step_seconds, data_seconds, .. } = run_state;
        if epoch < epochs {
            let waited = counted(config.patience.unwrap_or(0), "epoch");
            screen.field("stopped", &format!("validation has not become better in {waited}"));
        }
        let images_per_s = (epoch * train_set.len()) as f64 / step_seconds;
        let data_loading_fraction = data_seconds / step_seconds;
        Ok(Outcome {
            epochs: epoch,
            best_epoch,
            best_digest,
            train_seconds: seconds,
            images_per_s,
            data_loading_fraction,
        })
    }

    /// Validates, keeps the weights where they are the best, and writes the logs.
    fn end_epoch(
        &self,
        trainer: &mut Trainer,
        run_state: &mut RunState,
        card: &mut ModelCard,
    ) -> Result<(), AppError> {
        let Run { config, data, train_set, folder, .. } = self;
        let (n_classes, epochs) = (data.class_names.len(), config.epochs(data.train.len()));
        let trained = std::mem::take(&mut run_state.progress);
        let epoch = run_state.epoch;
        run_state.epoch += 1;
        run_state.step_seconds += trained.seconds;
        run_state.data_seconds += trained.data_seconds;
        card.epoch = run_state.epoch;
        let n_steps = trainer.n_steps_done() as u64;
        let tested = trainer.with_model(train_set, epoch, |model| {
            let val =
                (!data.val.is_empty()).then(|| evaluate(model, &data.val, n_classes, &card.preprocessing()));
            if let Some(loss) = val.as_ref().map(Evaluation::loss).filter(|loss| !loss.is_finite()) {
                return Err(AppError::Diverged {
                    what: format!("the validation loss became {loss}"),
                    epoch: epoch + 1,
                    batch: trained.n_batches,
                    images: "its last one".to_owned(),
                    max_lr: config.max_lr,
                    clip: config.clip.to_string(),
                });
            }
            let score = val.as_ref().map(|val| config.select.score(val));
            let is_best = run_state.best.keeps(score);
            if let Some((val, score)) = val.as_ref().zip(score) {
                let should_stop = run_state.early_stopping.should_stop(score.value, val.loss());
                run_state.stopped_early = should_stop && run_state.epoch < epochs;
            }
            card.temperature = val.as_ref().map_or(1.0, calibration::fit);
            let is_last = run_state.stopped_early || run_state.epoch == epochs;
            if is_best || is_last {
                let bytes = model_file::to_bytes(model, card, n_steps);
                if is_best {
                    run_state.best_epoch = run_state.epoch;
                    run_state.best_digest = model_file::training_digest(&bytes, card);
                    folder.write(MODEL, &bytes)?;
                }
                if is_last {
                    folder.write(LAST_MODEL, &bytes)?;
                }
            }
            Ok((val, is_best))
        });
        let (val, is_best) = tested?;
        run_state.log_bytes = self.log(run_state.epoch, &trained, val.as_ref(), is_best)?;
        Ok(())
    }

    /// One line per epoch, in the logs and on the screen. The lengths of the logs after it.
    fn log(
        &self,
        epoch: usize,
        trained: &EpochProgress,
        val: Option<&Evaluation>,
        best: bool,
    ) -> Result<[u64; 2], AppError> {
        let line = LogLine {
            epoch,
            train_loss: trained.loss(),
            train_accuracy: trained.accuracy(),
            val_loss: val.map(Evaluation::loss),
            val_accuracy: val.map(|val| val.confusion().accuracy()),
            val_score: val.map(|val| self.config.select.score(val).value),
            lr: trained.lr,
            best,
        };
        let images_per_s = self.train_set.len() as f64 / trained.seconds;
        let time = TimeLine { epoch, seconds: trained.seconds, images_per_s };
        let json = serde_json::to_string(&line).expect("a log line is plain numbers");
        let log_bytes = self.folder.append_line(LOG, &json)?;
        if self.config.tensorboard {
            self.folder.append(tensorboard::FILE, &tensorboard::scalars(&line))?;
        }
        let json = serde_json::to_string(&time).expect("a line of times is plain numbers");
        let time_bytes = self.folder.append_line(TIMES, &json)?;
        let epochs = self.config.epochs(self.data.train.len());
        self.screen.line(&epoch_line(&line, &time, epochs, self.screen.width()));
        Ok([log_bytes, time_bytes])
    }
}
