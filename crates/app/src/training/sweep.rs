//! A sweep: many settings are trained and compared on the validation set, with successive halving if that is asked for.
//!
//! The test set is never evaluated, and not even loaded into the data set of a training: the best of many test figures would be
//! too high by selection. Each training has a folder of its own, from which a sweep that was interrupted takes what has ended.

use roentgen_data::Dataset;

use super::parts::{WholeFolder, resumable_as_a_whole};
use super::pipeline::{self, ResumeOptions};
use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::config::search_space::{Candidate, SearchSpace};
use crate::data_loading::medical::is_medical;
use crate::data_loading::several::DataLoader;
use crate::report;
use crate::run_dir::file_names::{CONFIG, SPACE, SWEEP, SWEEP_PAGE};
use crate::run_dir::run_folder::RunFolder;
use crate::run_dir::sweep_record::{ResultRecord, RungRecord, ScoreName};
use crate::terminal::foreign_text::printable_json;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;

mod halving;
mod outcome;
mod record;
mod show;

/// What is searched, with the settings that all trainings share.
pub(crate) struct Sweep<'a> {
    base: &'a TrainConfig,
    space: &'a SearchSpace,
    candidates: Vec<Candidate>,
    score: ScoreName,
}

/// A setting with its results in the rungs so far.
struct Contender<'a> {
    /// From 1.
    number: usize,
    candidate: &'a Candidate,
    results: Vec<ResultRecord>,
}

/// What every training of a sweep needs.
struct Runner<'a> {
    folder: &'a RunFolder,
    loader: DataLoader,
    n_rungs: usize,
    score: ScoreName,
    other_cpu: bool,
}

impl<'a> Sweep<'a> {
    /// The trainings of a space; `base` has the settings that the space does not name.
    ///
    /// # Errors
    /// If settings cannot be used together, or ask for several trainings themselves.
    pub(crate) fn new(base: &'a TrainConfig, space: &'a SearchSpace) -> Result<Self, ConfigError> {
        let conflict = |first, reason| Err(ConfigError::Conflict { first, second: "a sweep", reason });
        if base.seeds.is_some() {
            return conflict("--seeds", "it compares single trainings; train the best setting with --seeds");
        }
        if base.folds.is_some() && base.fold.is_none() {
            return conflict("--folds", "it compares single trainings; train the best setting with --folds");
        }
        Ok(Self { base, space, candidates: space.candidates(base)?, score: outcome::score_name(base.select) })
    }

    /// Trains what has not ended yet, and shows and writes the results.
    ///
    /// # Errors
    /// Unusable data; a signal; a file that cannot be written. A training that diverges, or is too large for the memory, is the
    /// worst, and ends nothing; only if there is no other, that is an error.
    pub(crate) fn run(
        &self,
        folder: WholeFolder,
        other_cpu: bool,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        let mut loader = DataLoader::without_test();
        let data = loader.load(&self.candidates[0].config, screen)?;
        let rungs = self.rungs(data)?;
        let is_medical = is_medical(self.base, data);
        show::plan(screen, self, &rungs);
        let folder = folder.open(self.base, data, Some((SPACE, &self.space.text)))?;
        pipeline::listen_for_signals(screen)?;
        let n_rungs = rungs.len();
        let mut runner = Runner { folder: &folder, loader, n_rungs, score: self.score, other_cpu };
        let contenders = self.train_rungs(&rungs, &mut runner, screen)?;
        let record = record::of(self, rungs, &contenders);
        let json = serde_json::to_string_pretty(&record).expect("plain numbers and names");
        folder.write(SWEEP_PAGE, report::sweep_page(&record, is_medical).as_bytes())?;
        folder.write(SWEEP, (printable_json(&json) + "\n").as_bytes())?;
        folder.finish()?;
        show::results(screen, self, &record, is_medical, &folder);
        screen.result(&record);
        let failure = record.trainings[0].last().failure.clone();
        failure.map_or(Ok(()), |reason| Err(TrainingError::SweepFailed { n: self.candidates.len(), reason }))
    }

    /// The rungs for loaded data.
    fn rungs(&self, data: &Dataset) -> Result<Vec<RungRecord>, ConfigError> {
        if data.val.is_empty() {
            let reason = "trainings are compared on it; give one, or a --val-fraction above 0";
            let (first, second) = ("a sweep", "data without a validation set");
            return Err(ConfigError::Conflict { first, second, reason });
        }
        let epochs = self.candidates.iter().map(|candidate| candidate.config.epochs(data.train.len())).min();
        let rungs = halving::rungs(self.candidates.len(), epochs.unwrap_or(0), self.space.halving);
        if self.space.halving.is_some() && rungs.len() < 2 {
            let reason = "it needs at least `halving` trainings, of `halving` times `min-epochs` epochs each; give \
                          more of them, or leave halving out";
            let second = "so few trainings or epochs";
            return Err(ConfigError::Conflict { first: "halving", second, reason });
        }
        Ok(rungs)
    }

    /// Trains all rungs. Returns all settings, the best first.
    fn train_rungs(
        &self,
        rungs: &[RungRecord],
        runner: &mut Runner<'_>,
        screen: &Screen,
    ) -> Result<Vec<Contender<'_>>, TrainingError> {
        let contender = |(index, candidate)| Contender { number: index + 1, candidate, results: Vec::new() };
        let mut left: Vec<Contender<'_>> = self.candidates.iter().enumerate().map(contender).collect();
        // Those that a later rung leaves out, from the best to the worst.
        let mut out = Vec::new();
        for (index, rung) in rungs.iter().enumerate() {
            show::rung(screen, rungs, index);
            left.sort_by_key(|contender| contender.number);
            let n = left.len();
            for (done, contender) in left.iter_mut().enumerate() {
                let bar = screen.bar(n);
                bar.set_position(done as u64);
                bar.set_prefix(format!("training {} of {n}", done + 1));
                let result = runner.train(contender, index + 1, rung.epochs_divisor)?;
                bar.finish_and_clear();
                show::training(screen, self, contender, &result);
                contender.results.push(result);
            }
            left.sort_by(|one, other| {
                let last = |contender: &Contender<'_>| contender.results[index].clone();
                outcome::order(&last(one), &last(other), self.score).then(one.number.cmp(&other.number))
            });
            let n_next = rungs.get(index + 1).map_or(n, |next| next.n_trainings);
            // What has failed is not tried for longer.
            let n_usable = left.iter().filter(|contender| contender.results[index].score.is_some()).count();
            if index + 1 < rungs.len() {
                let mut eliminated = left.split_off(n_next.min(n_usable));
                eliminated.append(&mut out);
                out = eliminated;
            }
        }
        left.append(&mut out);
        // A training that failed in a later rung has no score, and is behind all that have one.
        left.sort_by_key(|contender| contender.results.last().is_none_or(|last| last.score.is_none()));
        Ok(left)
    }
}

impl Runner<'_> {
    /// The result of a setting in a rung: of its training, unless that has ended before.
    fn train(
        &mut self,
        contender: &Contender<'_>,
        rung: usize,
        epochs_divisor: usize,
    ) -> Result<ResultRecord, TrainingError> {
        let config = TrainConfig { audit: false, ..contender.candidate.config.clone() };
        let silent = Screen::silent();
        let data = self.loader.load(&config, &silent)?;
        let epochs = config.epochs(data.train.len()) / epochs_divisor;
        let config = if self.n_rungs > 1 { TrainConfig { epochs: Some(epochs), ..config } } else { config };
        let of_rung = if self.n_rungs > 1 { format!("-rung-{rung}") } else { String::new() };
        let pending = outcome::pending(format!("training-{}{of_rung}", contender.number), epochs);
        let path = self.folder.file(&pending.folder);
        let mut result = outcome::read(&path, &pending, self.score)?;
        if result.is_none() {
            let trained = if path.join(CONFIG).is_file() {
                let options = ResumeOptions { threads: config.threads, other_cpu: self.other_cpu };
                pipeline::resume(&path, options, data, &silent)
            } else {
                pipeline::train(&config, data, self.folder.inside(&pending.folder), &silent)
            };
            match trained.map(drop).map_err(|error| resumable_as_a_whole(error, self.folder)) {
                Ok(()) => {}
                Err(
                    error @ (TrainingError::Diverged { .. }
                    | TrainingError::NotEnoughMemory { .. }
                    | TrainingError::BatchTooSmall { .. }),
                ) => outcome::write_failure(self.folder.inside(&pending.folder), error.to_string())?,
                Err(error) => return Err(error),
            }
            result = outcome::read(&path, &pending, self.score)?;
        }
        outcome::remove_models(&path)?;
        Ok(result.expect("it has just ended"))
    }
}
