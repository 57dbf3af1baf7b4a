//! A sweep: many settings are trained and compared on the validation set, with successive halving if that is asked for.
//!
//! The test set is never evaluated, and not even loaded into the data set of a training: the best of many test figures would be
//! too high by selection. Each training has a folder of its own, from which a sweep that was interrupted takes what has ended.

use std::path::Path;

use roentgen_data::{Alone, Dataset, Team};

use super::parts::{begin_or_reopen, check_ended, resumable_as_a_task, resumable_as_a_whole};
use super::share::{Share, memory_of_rank};
use super::task_summary::{show_ranks, show_task};
use super::whole_folder::{Whole, WholeFolder};
use crate::config::error::ConfigError;
use crate::config::search_space::{Candidate, SearchSpace};
use crate::config::{Repetition, TrainConfig};
use crate::data_loading::agreement::agree_on_images;
use crate::data_loading::medical::is_medical;
use crate::data_loading::several::{DataLoader, grouped_by_data};
use crate::memory::MemoryShare;
use crate::model::error::ModelError;
use crate::model::instruction_sets::OtherCpu;
use crate::ranks::Ranks;
use crate::report;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{SPACE, SWEEP, SWEEP_PAGE};
use crate::run_dir::run_folder::RunFolder;
use crate::run_dir::sweep_record::{ResultRecord, RungRecord, ScoreName};
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::on_ranks::leader::Leader;
use crate::training::pipeline::{self, Execution};
use crate::training::work::multiplications;

mod halving;
mod outcome;
mod record;
mod show;

pub(crate) use outcome::to_try_again;

/// How the name of the folder of each training begins, which is in the folder of the sweep.
pub(crate) const TRAINING_PREFIX: &str = "training-";

/// A search space, and the settings that all of its trainings share.
pub(crate) struct Sweep<'a> {
    base: &'a TrainConfig,
    space: &'a SearchSpace,
    candidates: Vec<Candidate>,
    score: ScoreName,
    /// Whether trainings that lacked memory are trained again.
    tries_again: bool,
}

/// A setting with its results in the rungs so far.
struct Contender<'a> {
    /// From 1.
    number: usize,
    candidate: &'a Candidate,
    results: Vec<ResultRecord>,
}

/// Trains the settings of a sweep, each in its own folder.
struct Runner<'a> {
    whole: Whole<'a>,
    folder: &'a RunFolder,
    loader: DataLoader,
    /// Training images.
    n_train: usize,
    score: ScoreName,
    /// The memory that a training may take.
    memory: MemoryShare,
    other_cpu: OtherCpu,
}

/// A rung while it is trained.
#[derive(Clone, Copy)]
struct Rung {
    /// From 1; 0 where there is only one, of whole trainings.
    number: usize,
    /// As [`RungRecord::epochs_divisor`].
    epochs_divisor: usize,
}

impl<'a> Sweep<'a> {
    /// The trainings of a space; `base` has the settings that the space does not name.
    ///
    /// # Errors
    /// If settings cannot be used together, or ask for several trainings themselves.
    pub(crate) fn new(base: &'a TrainConfig, space: &'a SearchSpace) -> Result<Self, ConfigError> {
        let conflict = |first, reason| Err(ConfigError::Conflict { first, second: "a sweep", reason });
        if let Some(Repetition::Seeds(_)) = base.repetition() {
            return conflict("--seeds", "it compares single trainings; train the best setting with --seeds");
        }
        if let Some(Repetition::Folds(_)) = base.repetition() {
            return conflict("--folds", "it compares single trainings; train the best setting with --folds");
        }
        let (candidates, score) = (space.candidates(base)?, outcome::score_name(base.select));
        Ok(Self { base, space, candidates, score, tries_again: false })
    }

    /// The same, where trainings that lacked memory are trained again, also if the sweep has ended.
    #[must_use]
    pub(crate) fn again(self) -> Self {
        Self { tries_again: true, ..self }
    }

    /// Trains what has not ended yet, and shows and writes the results. Of several ranks each trains a share; the first one gives
    /// the folder, which all have to see.
    ///
    /// # Errors
    /// Unusable data; a signal; a file that cannot be written. A training that diverges, is too large for the memory, or does not
    /// have the width of the model of `--init`, is the worst, and ends nothing; only if there is no other, that is an error.
    pub(crate) fn run(
        &self,
        folder: Option<WholeFolder>,
        ranks: &Ranks,
        other_cpu: OtherCpu,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        let mut loader = DataLoader::without_test();
        let data = ranks.together(|| self.load(&mut loader, ranks, screen))?;
        agree_on_images(data, ranks)?;
        let rungs = ranks.together(|| Ok::<_, TrainingError>(self.rungs(data)?))?;
        let (work, n_train, is_medical) = (self.work(data), data.train.len(), is_medical(self.base, data));
        show::plan(screen, self, &rungs);
        show_ranks(screen, self.candidates.len(), ranks);
        ranks.first(|| self.forget_ends(folder.as_ref(), data))?;
        let folder = WholeFolder::open_on(folder, ranks, self.whole(), data)?;
        pipeline::listen_for_signals(screen)?;
        let mut runner = self.runner(&folder, loader, n_train, other_cpu);
        let contenders = self.train_rungs(&rungs, &work, &mut runner, ranks, screen)?;
        ranks.first(|| self.end(rungs, &contenders, is_medical, &folder, screen)).map(drop)
    }

    /// Trains the share of one task in the folder `out`, in which other tasks work too.
    ///
    /// # Errors
    /// As [`Self::run`]; with halving, whose rungs wait for all trainings; a folder of other trainings.
    pub(crate) fn run_task(
        &self,
        task: Share,
        out: &Path,
        other_cpu: OtherCpu,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        self.check_tasks()?;
        let mut loader = DataLoader::without_test();
        let data = self.load(&mut loader, &Alone, screen)?;
        let rungs = self.rungs(data)?;
        let (n_train, own) = (data.train.len(), task.positions(&self.work(data)));
        show::plan(screen, self, &rungs);
        let folder = WholeFolder::OfTasks(out.to_owned()).open(self.whole(), data)?;
        pipeline::listen_for_signals(screen)?;
        let mut runner = self.runner(&folder, loader, n_train, other_cpu);
        let contenders = self.contenders();
        let own: Vec<&Contender<'_>> = own.into_iter().map(|position| &contenders[position]).collect();
        let rung = Rung::new(&rungs, 0);
        let own_folders = own.iter().map(|contender| folder.file(&rung.folder(contender)));
        outcome::forget_lack_of_memory(own_folders)?;
        self.train_share(&own, rung, &mut runner, screen).map_err(resumable_as_a_task)?;
        let trained = own.iter().map(|contender| rung.folder(contender)).collect();
        show_task(screen, task, trained, &folder);
        Ok(())
    }

    /// Fails if a training in the folder of the whole has not ended.
    ///
    /// # Errors
    /// [`RunDirError::NotEnded`]; [`ConfigError::Conflict`] with halving.
    pub(crate) fn check_ended(&self, whole: &RunFolder) -> Result<(), TrainingError> {
        self.check_tasks()?;
        let rung = Rung { number: 0, epochs_divisor: 1 };
        let folders: Vec<String> = self.contenders().iter().map(|contender| rung.folder(contender)).collect();
        Ok(check_ended(folders.iter().map(String::as_str), whole)?)
    }

    /// Fails with halving: the trainings of a rung depend on those of all tasks before.
    fn check_tasks(&self) -> Result<(), ConfigError> {
        if self.space.halving.is_none() {
            return Ok(());
        }
        let reason =
            "a rung waits for all trainings of the one before; leave halving out, or use several ranks";
        Err(ConfigError::Conflict { first: "halving", second: "tasks", reason })
    }

    /// Removes what says that the sweep has ended, if trainings are to be tried again, once it is known that it can go on.
    fn forget_ends(&self, folder: Option<&WholeFolder>, data: &Dataset) -> Result<(), TrainingError> {
        let Some(WholeFolder::Existing(folder)) = folder.filter(|_| self.tries_again) else { return Ok(()) };
        self.whole().check_images(data, folder)?;
        Ok(outcome::forget_ends(folder, &to_try_again(folder.path()))?)
    }

    fn whole(&self) -> Whole<'_> {
        // With values in the space, each training has a file of its own.
        let init = self.base.init.as_deref().filter(|_| !self.space.has("init"));
        Whole { config: self.base, init, more: Some((SPACE, &self.space.text)) }
    }

    fn runner<'b>(
        &'b self,
        folder: &'b RunFolder,
        loader: DataLoader,
        n_train: usize,
        other_cpu: OtherCpu,
    ) -> Runner<'b> {
        let (whole, score, memory) = (self.whole(), self.score, MemoryShare::ALL);
        Runner { whole, folder, loader, n_train, score, memory, other_cpu }
    }

    /// The images that the first training has.
    fn load<'b>(
        &self,
        loader: &'b mut DataLoader,
        team: &dyn Team,
        screen: &Screen,
    ) -> Result<&'b Dataset, TrainingError> {
        Ok(loader.load_together(&self.candidates[0].config, team, screen)?)
    }

    /// How much each training computes.
    fn work(&self, data: &Dataset) -> Vec<f64> {
        self.candidates.iter().map(|candidate| multiplications(&candidate.config, data)).collect()
    }

    fn contenders(&self) -> Vec<Contender<'_>> {
        let contender = |(index, candidate)| Contender { number: index + 1, candidate, results: Vec::new() };
        self.candidates.iter().enumerate().map(contender).collect()
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

    /// Trains all rungs; `work` is that of each whole training. Returns all settings, the best first.
    fn train_rungs(
        &self,
        rungs: &[RungRecord],
        work: &[f64],
        runner: &mut Runner<'_>,
        ranks: &Ranks,
        screen: &Screen,
    ) -> Result<Vec<Contender<'_>>, TrainingError> {
        let mut left = self.contenders();
        // Those that a later rung leaves out, from the best to the worst.
        let mut out = Vec::new();
        for index in 0..rungs.len() {
            show::rung(screen, rungs, index);
            self.train_rung(&mut left, Rung::new(rungs, index), work, runner, ranks, screen)?;
            if let Some(next) = rungs.get(index + 1) {
                let mut eliminated = eliminate(&mut left, next.n_trainings);
                eliminated.append(&mut out);
                out = eliminated;
            }
        }
        left.append(&mut out);
        // A training that failed in a later rung has no score, and is behind all that have one.
        left.sort_by_key(|contender| contender.last().score.is_none());
        Ok(left)
    }

    /// Trains those that are `left` in a rung, each on one of the ranks, and orders them from the best to the worst.
    fn train_rung(
        &self,
        left: &mut [Contender<'_>],
        rung: Rung,
        work: &[f64],
        runner: &mut Runner<'_>,
        ranks: &Ranks,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        left.sort_by_key(|contender| contender.number);
        let work: Vec<f64> = left.iter().map(|contender| work[contender.number - 1]).collect();
        let own = Share::of_rank(ranks).positions(&work);
        let own_contenders: Vec<&Contender<'_>> = own.iter().map(|&position| &left[position]).collect();
        // Those that have ended take no memory.
        let has_ended = |contender: &&Contender<'_>| runner.folder.has_ended(&rung.folder(contender));
        let n_left = left.iter().filter(|contender| !has_ended(contender)).count();
        runner.memory = memory_of_rank(n_left, ranks)?;
        ranks.together(|| self.train_share(&own_contenders, rung, runner, screen))?;
        for (position, contender) in left.iter_mut().enumerate() {
            let result = runner.result(contender, rung)?;
            if !own.contains(&position) {
                show::training(screen, self, contender, &result);
            }
            contender.results.push(result);
        }
        left.sort_by(|one, other| {
            let [one_result, other_result] = [one, other].map(Contender::last);
            outcome::order(one_result, other_result, self.score).then(one.number.cmp(&other.number))
        });
        Ok(())
    }

    /// Trains what this process has of a rung, and shows it.
    fn train_share(
        &self,
        own: &[&Contender<'_>],
        rung: Rung,
        runner: &mut Runner<'_>,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        let order = grouped_by_data(own.iter().map(|contender| &contender.candidate.config))?;
        for (done, contender) in order.into_iter().map(|position| own[position]).enumerate() {
            let bar = screen.bar(own.len());
            bar.set_position(done as u64);
            bar.set_prefix(format!("training {} of {}", done + 1, own.len()));
            runner.train(contender, rung)?;
            bar.finish_and_clear();
            show::training(screen, self, contender, &runner.result(contender, rung)?);
        }
        Ok(())
    }

    /// Writes and shows the results.
    fn end(
        &self,
        rungs: Vec<RungRecord>,
        contenders: &[Contender<'_>],
        is_medical: bool,
        folder: &RunFolder,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        let record = record::of(self, rungs, contenders);
        folder.write(SWEEP_PAGE, report::sweep_page(&record, is_medical).as_bytes())?;
        folder.write_json(SWEEP, &record)?;
        folder.finish()?;
        show::results(screen, self, (&record, &record::best(contenders)), is_medical, folder);
        screen.result(&record);
        let failure = record.trainings[0].last().failure.clone();
        failure.map_or(Ok(()), |reason| Err(TrainingError::SweepFailed { n: self.candidates.len(), reason }))
    }
}

impl Contender<'_> {
    /// The result in the last rung that it was trained in.
    fn last(&self) -> &ResultRecord {
        self.results.last().expect("it was trained in the first rung")
    }
}

/// Takes those that the next rung of `n_next` trainings leaves out from `left`, which begins with the best, and returns them.
fn eliminate<'a>(left: &mut Vec<Contender<'a>>, n_next: usize) -> Vec<Contender<'a>> {
    // What has failed is not tried for longer.
    let n_usable = left.iter().filter(|contender| contender.last().score.is_some()).count();
    left.split_off(n_next.min(n_usable))
}

impl Rung {
    /// The one with this `index` of several, or the only one.
    fn new(rungs: &[RungRecord], index: usize) -> Self {
        let number = if rungs.len() > 1 { index + 1 } else { 0 };
        Self { number, epochs_divisor: rungs[index].epochs_divisor }
    }

    /// The folder of a training, in that of the whole.
    fn folder(self, contender: &Contender<'_>) -> String {
        let rung_suffix = if self.number > 0 { format!("-rung-{}", self.number) } else { String::new() };
        format!("{TRAINING_PREFIX}{}{rung_suffix}", contender.number)
    }
}

impl Runner<'_> {
    /// A training before it has ended.
    fn pending(&self, contender: &Contender<'_>, rung: Rung) -> ResultRecord {
        let epochs = contender.candidate.config.epochs(self.n_train) / rung.epochs_divisor;
        outcome::pending(rung.folder(contender), epochs)
    }

    /// The settings of a training.
    fn config(contender: &Contender<'_>, pending: &ResultRecord, rung: Rung) -> TrainConfig {
        let config = &contender.candidate.config;
        let epochs = if rung.number > 0 { Some(pending.epochs) } else { config.epochs };
        TrainConfig { audit: false, epochs, ..config.clone() }
    }

    /// The result of a training that has ended, on this rank or on another one.
    fn result(&self, contender: &Contender<'_>, rung: Rung) -> Result<ResultRecord, TrainingError> {
        let pending = self.pending(contender, rung);
        let (path, config) = (self.folder.file(&pending.folder), Self::config(contender, &pending, rung));
        let ended = outcome::read(&path, &pending, &config, self.score, self.other_cpu)?;
        Ok(ended.ok_or(RunDirError::NotSeen { path })?)
    }

    /// Trains with a setting in a rung, unless that has ended before.
    fn train(&mut self, contender: &Contender<'_>, rung: Rung) -> Result<(), TrainingError> {
        let pending = self.pending(contender, rung);
        let path = self.folder.file(&pending.folder);
        let config = Self::config(contender, &pending, rung);
        if outcome::read(&path, &pending, &config, self.score, self.other_cpu)?.is_none() {
            let silent = Screen::silent();
            let data = self.loader.load(&config, &silent)?;
            let (ranks, other_cpu) = (Ranks::one(), self.other_cpu);
            let (whole, folder, name) = (self.whole, self.folder, &pending.folder);
            let begun = begin_or_reopen(&config, data, whole, folder, name, self.memory);
            let trained = begun.and_then(|(config, folder)| {
                let execution = Execution { leader: &Leader::of(&ranks), other_cpu, keeps_model: false };
                pipeline::train_in_folder(&config, data, folder, execution, &silent)
            });
            match trained.map(drop).map_err(|error| resumable_as_a_whole(error, self.folder)) {
                Ok(()) => {}
                Err(
                    error @ (TrainingError::Diverged { .. }
                    | TrainingError::ProbeDiverged { .. }
                    | TrainingError::Model(ModelError::OtherSizes { .. })
                    | TrainingError::NotEnoughMemory { .. }
                    | TrainingError::BatchTooSmall { .. }
                    | TrainingError::ShardTooSmall { .. }),
                ) => outcome::write_failure(self.folder, &pending.folder, &config, &error)?,
                Err(error) => return Err(error),
            }
        }
        // One that lacked memory is tried again from its checkpoint, which needs its models.
        if !outcome::lacked_memory(&path) {
            outcome::remove_models(&path)?;
            RunFolder::finish_ended(&path);
        }
        Ok(())
    }
}
