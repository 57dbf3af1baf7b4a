//! Commands that train more than once: a cross-validation, or several seeds.

use std::path::Path;

use super::parts::{Part, check_ended, load_tested, resumable_as_a_task, tested, train_share};
use super::share::{Share, memory_of_rank};
use super::task_summary::{show_ranks, show_task};
use super::whole_folder::{Whole, WholeFolder};
use super::{cross_validation, seeds};
use crate::config::error::ConfigError;
use crate::config::{Repetition, TrainConfig};
use crate::data_loading::agreement::agree_on_images;
use crate::data_loading::several::DataLoader;
use crate::memory::MemoryShare;
use crate::model::instruction_sets::OtherCpu;
use crate::ranks::Ranks;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::METRICS;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::{interrupt, pipeline};

/// Several trainings that belong together.
#[derive(Debug)]
pub(crate) struct SeveralRuns<'a> {
    config: &'a TrainConfig,
    repetition: Repetition,
    parts: Vec<Part>,
}

impl<'a> SeveralRuns<'a> {
    /// The trainings that the settings ask for; `None` where they ask for a single training.
    pub(crate) fn of(config: &'a TrainConfig) -> Option<Self> {
        let repetition = config.repetition()?;
        let parts = match repetition {
            Repetition::Folds(n) => cross_validation::parts(config, n),
            Repetition::Seeds(range) => seeds::parts(config, range),
        };
        Some(Self { config, repetition, parts })
    }

    /// Trains every part that has not ended yet, and shows the metrics over all.
    ///
    /// # Errors
    /// The errors of any training.
    pub(crate) fn run(
        &self,
        folder: WholeFolder,
        other_cpu: OtherCpu,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        match self.repetition {
            Repetition::Folds(_) => {
                cross_validation::run(self.config, &self.parts, folder, other_cpu, screen)
            }
            Repetition::Seeds(_) => seeds::run(self.config, &self.parts, folder, other_cpu, screen),
        }
    }

    /// As [`Self::run`], where several ranks train a share each. The first one gives the folder, which all have to see.
    ///
    /// A training that fails ends none on another rank: what they have trained is not repeated when the whole is resumed.
    ///
    /// # Errors
    /// The errors of any training; `--stop-with-input` with several ranks.
    pub(crate) fn run_on(
        &self,
        ranks: &Ranks,
        folder: Option<WholeFolder>,
        other_cpu: OtherCpu,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        if ranks.size() == 1 {
            return self.run(folder.expect("this is the first rank"), other_cpu, screen);
        }
        ranks.first(check_input)?;
        let mut loader = DataLoader::default();
        let first = &self.parts[0].config;
        let data = ranks
            .together(|| Ok::<_, TrainingError>(tested(loader.load_together(first, ranks, screen)?)?))?;
        agree_on_images(data, ranks)?;
        let folder = WholeFolder::open_on(folder, ranks, self.whole(), data)?;
        show_ranks(screen, self.parts.len(), ranks);
        let parts = self.share(Share::of_rank(ranks));
        // Also on a rank that trains nothing: ended by a signal at once, it would take the others down before their checkpoint.
        pipeline::listen_for_signals(screen)?;
        // Those that have ended take no memory.
        let has_ended = |part: &&Part| folder.file(&part.folder).join(METRICS).is_file();
        let n_left = self.parts.len() - self.parts.iter().filter(has_ended).count();
        let memory = memory_of_rank(n_left, ranks)?;
        ranks.together(|| train_share(&parts, &mut loader, &folder, memory, other_cpu, screen))?;
        ranks.first(|| self.run(WholeFolder::Existing(folder), other_cpu, screen)).map(drop)
    }

    /// Trains the share of one task in the folder `out`, in which other tasks work too.
    ///
    /// # Errors
    /// The errors of any training; a folder of other trainings.
    pub(crate) fn run_task(
        &self,
        task: Share,
        out: &Path,
        other_cpu: OtherCpu,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        let parts = self.share(task);
        let mut loader = DataLoader::default();
        let data = load_tested(&mut loader, parts.first().unwrap_or(&&self.parts[0]), screen)?;
        let folder = WholeFolder::OfTasks(out.to_owned()).open(self.whole(), data)?;
        let trained = train_share(&parts, &mut loader, &folder, MemoryShare::ALL, other_cpu, screen)
            .map_err(resumable_as_a_task)?;
        show_task(screen, task, trained, &folder);
        Ok(())
    }

    /// Fails if a training in the folder of the whole has not ended.
    ///
    /// # Errors
    /// [`RunDirError::NotEnded`].
    pub(crate) fn check_ended(&self, whole: &RunFolder) -> Result<(), RunDirError> {
        check_ended(self.parts.iter().map(|part| part.folder.as_str()), whole)
    }

    fn whole(&self) -> Whole<'_> {
        Whole::of(self.config)
    }

    /// The parts of a share; all take about as long.
    fn share(&self, share: Share) -> Vec<&Part> {
        share
            .positions(&vec![1.0; self.parts.len()])
            .into_iter()
            .map(|position| &self.parts[position])
            .collect()
    }
}

/// Fails if the end of the input is to stop the trainings of several ranks: only the first one, which calls this, has the input.
fn check_input() -> Result<(), TrainingError> {
    if !interrupt::stops_with_input() {
        return Ok(());
    }
    let reason = "the input of mpirun ends on the first rank only, and the others would train on; stop all ranks with a signal, \
                  or start one process";
    let second = "trainings that several ranks share";
    Err(ConfigError::Conflict { first: "--stop-with-input", second, reason }.into())
}
