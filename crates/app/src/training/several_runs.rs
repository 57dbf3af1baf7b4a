//! Commands that train more than once: a cross-validation, or several seeds.

use super::parts::{Part, WholeFolder};
use super::{cross_validation, seeds};
use crate::config::TrainConfig;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;

/// What the several trainings are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One for each fold.
    Folds,
    /// One for each seed.
    Seeds,
}

/// Several trainings that belong together.
#[derive(Debug)]
pub(crate) struct SeveralRuns<'a> {
    config: &'a TrainConfig,
    kind: Kind,
    parts: Vec<Part>,
}

impl<'a> SeveralRuns<'a> {
    /// Those that the settings ask for; `None` where they ask for a single training.
    pub(crate) fn of(config: &'a TrainConfig) -> Option<Self> {
        let (kind, parts) = match (config.folds, config.fold, config.seeds) {
            (_, _, Some(range)) => (Kind::Seeds, seeds::parts(config, range)),
            (Some(n), None, None) => (Kind::Folds, cross_validation::parts(config, n)),
            _ => return None,
        };
        Some(Self { config, kind, parts })
    }

    /// The folder of the first training in that of the whole.
    pub(crate) fn first_folder(&self) -> &str {
        &self.parts[0].folder
    }

    /// Trains every part that has not ended yet, and shows the metrics over all.
    ///
    /// # Errors
    /// Those of any training.
    pub(crate) fn run(
        &self,
        folder: WholeFolder,
        other_cpu: bool,
        screen: &Screen,
    ) -> Result<(), TrainingError> {
        match self.kind {
            Kind::Folds => cross_validation::run(self.config, &self.parts, folder, other_cpu, screen),
            Kind::Seeds => seeds::run(self.config, &self.parts, folder, other_cpu, screen),
        }
    }
}
