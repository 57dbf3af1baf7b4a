//! PyTorch beside us: the same work in turn with ours, several rounds, and the ratio of the medians.
//!
//! A ratio taken in the same minutes is the only one that holds on a machine that others use too; so each round runs
//! all of it once, ours and theirs one after the other.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::case::{Case, CaseFigures, Mode, figures_of};
use super::timing::median;
use super::{BenchConfig, Filter};
use crate::error::AppError;
use crate::terminal::screen::Screen;

/// What PyTorch runs, kept whole in this program.
const SCRIPT: &str = include_str!("torch_step.py");
/// Seconds of timed steps of one process.
const BUDGET_S: f64 = 5.0;

/// One kind of work, and the ways in which the others may do it: the fastest counts.
struct Contest {
    name: &'static str,
    case: Case,
    variants: &'static [&'static str],
}

const CONTESTS: [Contest; 5] = [
    Contest {
        name: "train:128",
        case: Case { mode: Mode::Train, batch: 128 },
        variants: &["eager", "compiled"],
    },
    Contest { name: "train:128 bf16", case: Case { mode: Mode::Train, batch: 128 }, variants: &["bf16"] },
    Contest {
        name: "train:32",
        case: Case { mode: Mode::Train, batch: 32 },
        variants: &["eager", "compiled"],
    },
    Contest {
        name: "infer:128",
        case: Case { mode: Mode::Infer, batch: 128 },
        variants: &["eager", "compiled", "onnx"],
    },
    Contest {
        name: "infer:1",
        case: Case { mode: Mode::Infer, batch: 1 },
        variants: &["eager", "compiled", "onnx"],
    },
];

/// Names of the contests.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CONTESTS.iter().map(|contest| contest.name)
}

/// What became of a contest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ContestFigures {
    name: String,
    /// Images per second of each round.
    ours: Vec<f64>,
    theirs: Vec<VariantFigures>,
    /// Ours by the fastest of theirs, of each round.
    ratios: Vec<f64>,
    /// Most memory of each, MiB, ours first; of the variant `eager`, or of the only one.
    peak_rss_mib: Option<[f64; 2]>,
    /// From the start of the process to the end of the first step, seconds, likewise.
    first_step_s: Option<[f64; 2]>,
}

/// One way of doing it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct VariantFigures {
    variant: String,
    /// Images per second of each round; empty if it can't be had here.
    images_per_s: Vec<f64>,
}

/// Runs the contests that `filter` leaves.
///
/// # Errors
/// [`AppError::BenchProcess`] if PyTorch does not run at all; a single variant that fails is left out, and said.
pub(super) fn measure(
    python: &Path,
    rounds: usize,
    config: &BenchConfig,
    filter: &Filter,
    screen: &Screen,
) -> Result<Vec<ContestFigures>, AppError> {
    let threads = rayon::current_num_threads();
    let mut script = tempfile::Builder::new().suffix(".py").tempfile().map_err(cannot_write)?;
    script.write_all(SCRIPT.as_bytes()).map_err(cannot_write)?;
    let run = |case: Case, variant: &str| {
        let mut command = Command::new(python);
        command.arg(script.path()).args([case.mode.to_string(), case.batch.to_string()]);
        let numbers = [config.size, config.channels, config.n_classes, threads];
        command.args(numbers.map(|number| number.to_string()));
        command.args([BUDGET_S.to_string(), variant.to_owned()]);
        figures_of(command)
    };
    let contests: Vec<&Contest> = CONTESTS.iter().filter(|contest| filter.matches(contest.name)).collect();
    let n_runs = rounds * contests.iter().map(|contest| 1 + contest.variants.len()).sum::<usize>();
    let bar = screen.bar(n_runs);
    let mut outcomes: Vec<Outcome> = contests.iter().map(|contest| Outcome::new(contest)).collect();
    for round in 1..=rounds {
        for outcome in &mut outcomes {
            let Contest { name, case, variants } = *outcome.contest;
            bar.set_prefix(format!("round {round} of {rounds}"));
            bar.set_message(name);
            outcome.ours.push(case.measure(config, threads)?);
            bar.inc(1);
            for (variant, found) in variants.iter().zip(&mut outcome.theirs) {
                bar.set_message(format!("{name}, PyTorch {variant}"));
                match run(case, variant) {
                    Ok(figures) => found.push(figures),
                    Err(error) if *variant == "eager" || found.len() + 1 < round => return Err(error),
                    Err(error) if round == 1 => screen.line(&format!("left out: {name} {variant}: {error}")),
                    Err(_) => {}
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(outcomes.iter().map(Outcome::figures).collect())
}

fn cannot_write(source: std::io::Error) -> AppError {
    AppError::Write { path: std::env::temp_dir(), source }
}

/// All rounds of a contest.
struct Outcome {
    contest: &'static Contest,
    ours: Vec<CaseFigures>,
    /// By variant.
    theirs: Vec<Vec<CaseFigures>>,
}

impl Outcome {
    fn new(contest: &'static Contest) -> Self {
        Self { contest, ours: Vec::new(), theirs: vec![Vec::new(); contest.variants.len()] }
    }

    fn figures(&self) -> ContestFigures {
        let rates = |rounds: &[CaseFigures]| rounds.iter().map(|f| f.images_per_s).collect::<Vec<_>>();
        let ours = rates(&self.ours);
        let ratio = |(round, ours): (usize, &f64)| {
            let theirs = self.theirs.iter().filter_map(|rounds| rounds.get(round));
            ours / theirs.map(|figures| figures.images_per_s).fold(0.0, f64::max)
        };
        let ratios = ours.iter().enumerate().map(ratio).filter(|ratio| ratio.is_finite()).collect();
        let plain = self.theirs.first().filter(|rounds| !rounds.is_empty());
        let both = |of: fn(&CaseFigures) -> Option<f64>| {
            let middle = |rounds: &[CaseFigures]| {
                let values: Option<Vec<f64>> = rounds.iter().map(of).collect();
                values.map(middle)
            };
            Some([middle(&self.ours)?, middle(plain?)?])
        };
        let variants = self.contest.variants.iter().zip(&self.theirs);
        ContestFigures {
            name: self.contest.name.to_owned(),
            theirs: variants
                .map(|(name, rounds)| VariantFigures { variant: (*name).into(), images_per_s: rates(rounds) })
                .collect(),
            ratios,
            peak_rss_mib: both(|figures| figures.peak_rss_mib),
            first_step_s: both(|figures| Some(figures.first_step_s)),
            ours,
        }
    }
}

/// The median of numbers in any order.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    median(&values)
}

/// The contests as rows of a table, headings first.
pub(super) fn rows(contests: &[ContestFigures]) -> Vec<Vec<String>> {
    let heading = ["images/s", "ours", "eager", "compiled", "onnx", "bf16", "ratio", "all rounds"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for contest in contests {
        let mut row = vec![contest.name.clone(), format!("{:.0}", middle(contest.ours.clone()))];
        for variant in ["eager", "compiled", "onnx", "bf16"] {
            let rates =
                contest.theirs.iter().find(|theirs| theirs.variant == variant).map(|t| &t.images_per_s);
            let rate = rates.filter(|rates| !rates.is_empty()).map(|rates| middle(rates.clone()));
            row.push(rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}")));
        }
        if contest.ratios.is_empty() {
            row.extend(["-".to_owned(), "-".to_owned()]);
        } else {
            let mut ratios = contest.ratios.clone();
            ratios.sort_unstable_by(f64::total_cmp);
            row.push(format!("{:.2}", median(&ratios)));
            row.push(ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" "));
        }
        rows.push(row);
    }
    rows
}

/// Memory and start of the first contest in training, as rows of a table, headings first.
pub(super) fn cost_rows(contests: &[ContestFigures]) -> Vec<Vec<String>> {
    let mut rows = vec![["train:128", "ours", "PyTorch", "ratio"].map(str::to_owned).to_vec()];
    let Some(contest) = contests.iter().find(|contest| contest.name == "train:128") else {
        return Vec::new();
    };
    let lines =
        [("peak memory, MiB", contest.peak_rss_mib, 0), ("start to first step, s", contest.first_step_s, 2)];
    for (name, both, digits) in lines {
        if let Some([ours, theirs]) = both {
            let ratio = format!("{:.2}", ours / theirs);
            rows.push(vec![name.to_owned(), format!("{ours:.digits$}"), format!("{theirs:.digits$}"), ratio]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(images_per_s: f64) -> CaseFigures {
        let text = format!(
            r#"{{"images_per_s": {images_per_s}, "ms": {{"min": 1, "p50": 1, "p95": 1, "p99": 1, "max": 1}},
                "runs": 5, "first_step_at": 0, "peak_rss_mib": null}}"#
        );
        serde_json::from_str(&text).expect("what the script prints")
    }

    #[test]
    fn the_ratio_is_by_the_fastest_of_the_same_round() {
        let outcome = Outcome {
            contest: &CONTESTS[0],
            ours: vec![found(300.0), found(200.0), found(400.0)],
            theirs: vec![vec![found(100.0), found(50.0), found(100.0)], vec![found(150.0), found(40.0)]],
        };
        let figures = outcome.figures();
        assert_eq!(figures.ratios, [2.0, 4.0, 4.0]);
        assert_eq!(figures.peak_rss_mib, None);
        let row = rows(&[figures]).remove(1);
        assert_eq!(row, ["train:128", "300", "100", "95", "-", "-", "4.00", "2.00 4.00 4.00"]);
    }
}
