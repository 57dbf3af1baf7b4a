//! Repetition: one run for each of several seeds, each the same as a run with that seed alone.
//!
//! The seed decides the splits too, where the data have none, so that the trainings may be tested on different images. The spread
//! over the seeds has both causes: other images, and another training.

use serde::Serialize;

use super::parts::{Part, PartResult, train_parts};
use super::spread::{MainMetrics, Spread};
use super::whole_folder::WholeFolder;
use crate::config::{SeedRange, TrainConfig};
use crate::data_loading::medical::is_medical;
use crate::model::instruction_sets::OtherCpu;
use crate::terminal::screen::Screen;
use crate::terminal::tables;
use crate::training::error::TrainingError;

/// `metrics.json` of several seeds, also what `--json` prints.
#[derive(Debug, Serialize)]
struct SeedsMetrics {
    n_seeds: usize,
    /// Over the main test images of each seed.
    #[serde(flatten)]
    spread: Spread,
    /// Test images that leaked, over all seeds.
    n_leaked: usize,
    seeds: Vec<SeedMetrics>,
}

/// The metrics of one seed.
#[derive(Debug, Serialize)]
struct SeedMetrics {
    seed: u64,
    #[serde(flatten)]
    main: MainMetrics,
}

/// A training for each seed.
pub(super) fn parts(config: &TrainConfig, range: SeedRange) -> Vec<Part> {
    let n = range.seeds().count();
    let part = |(index, seed)| Part {
        heading: format!("seed {seed}, {} of {n}", index + 1),
        folder: format!("seed-{seed}"),
        config: TrainConfig { seed, seeds: None, ..config.clone() },
    };
    range.seeds().enumerate().map(part).collect()
}

/// Trains with every seed that has not ended yet, and shows mean and standard deviation over all.
///
/// # Errors
/// As [`train_parts`].
pub(super) fn run(
    config: &TrainConfig,
    parts: &[Part],
    folder: WholeFolder,
    other_cpu: OtherCpu,
    screen: &Screen,
) -> Result<(), TrainingError> {
    let (mut seeds, mut is_any_medical) = (Vec::new(), false);
    let folder =
        train_parts(config, parts, folder, other_cpu, screen, |PartResult { data, metrics, .. }| {
            is_any_medical |= is_medical(config, data);
            let seed = parts[seeds.len()].config.seed;
            seeds.push(SeedMetrics { seed, main: MainMetrics::new(&metrics) });
        })?;
    let metrics = SeedsMetrics {
        n_seeds: seeds.len(),
        spread: Spread::new(seeds.iter().map(|seed| &seed.main)),
        n_leaked: seeds.iter().map(|seed| seed.main.n_leaked).sum(),
        seeds,
    };
    folder.end(&metrics)?;
    let heading = format!("test set, over {} seeds", metrics.n_seeds);
    metrics.spread.show(screen, &heading, "seeds", &metrics.seeds[0].main.metrics);
    tables::show_caution(screen, is_any_medical);
    screen.line("");
    screen.field("run", &folder.path().display().to_string());
    screen.result(&metrics);
    Ok(())
}
