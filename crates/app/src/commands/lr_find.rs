//! `roentgen lr-find`: the learning rate range test (Smith 2017). The learning rate grows by the same factor at every step:
//! first the loss falls, then training begins to diverge. One-cycle training peaks at the largest learning rate before that
//! (Smith 2018, section 4.1).

use std::path::Path;

use serde::Serialize;

use crate::config::TrainConfig;
use crate::config::build::{normalization, resnet9_config};
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::error::command::CommandError;
use crate::report::plot::{self, Axis, Scale, Series, SeriesStyle, Tip};
use crate::run_dir::output_file::OutputFile;
use crate::terminal::screen::{Screen, table};
use crate::training::memory_estimate::{LOWER_SETTINGS, MemoryEstimate};
use crate::training::objective::loss_head;
use crate::training::pipeline::check_smallest_batch;
use crate::training::trainer::{RangeStep, Trainer};

/// Title of the plot, by which a file of an earlier call is recognised.
const TITLE: &str = "Learning rate range test";
/// First and last learning rate.
const FIRST_LR: f64 = 1e-6;
const LAST_LR: f64 = 1.0;
/// Steps from one to the other.
const STEPS: usize = 120;
/// Weight of the newest loss in the running mean.
const NEW_WEIGHT: f64 = 0.1;
/// The test ends when the smoothed loss is this many times its minimum.
const DIVERGED: f64 = 4.0;
/// The first steps are ignored: their running mean is of too few losses.
const SETTLING: usize = 10;
/// Training begins to diverge where the smoothed loss is this many times its minimum.
const RISEN: f64 = 2.0;
/// Rows of the table.
const ROWS: usize = 12;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct RangeTestResult {
    /// The suggested `--lr`.
    max_lr: f64,
    /// The learning rate at the minimum of the smoothed loss.
    lr_at_min_loss: f64,
    /// The largest learning rate before the smoothed loss has doubled; null if it did not double up to the last one.
    lr_at_divergence: Option<f64>,
    steps: Vec<CurvePoint>,
}

/// One step of the test; in JSON an array of its numbers in this order.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(into = "[f64; 3]")]
struct CurvePoint {
    lr: f64,
    loss: f64,
    smoothed_loss: f64,
}

impl From<CurvePoint> for [f64; 3] {
    fn from(CurvePoint { lr, loss, smoothed_loss }: CurvePoint) -> Self {
        [lr, loss, smoothed_loss]
    }
}

impl RangeTestResult {
    /// The learning rates that a curve suggests; `None` if all its steps are ignored.
    fn of(steps: Vec<CurvePoint>) -> Option<Self> {
        let settled = steps.iter().enumerate().skip(SETTLING);
        let (best, least) = settled.min_by(|a, b| a.1.smoothed_loss.total_cmp(&b.1.smoothed_loss))?;
        let is_tolerated = |step: &&CurvePoint| step.smoothed_loss <= RISEN * least.smoothed_loss;
        // At least one, the minimum itself.
        let end = best + steps[best..].iter().take_while(is_tolerated).count();
        let (lr_at_min_loss, last_lr) = (least.lr, steps[end - 1].lr);
        // Before its last step the test ends only where the loss is far above its minimum, or not finite.
        let has_diverged = end < steps.len() || steps.len() < STEPS;
        let lr_at_divergence = has_diverged.then_some(last_lr);
        // The geometric mean: the random batches shift either end by a factor of up to ten.
        let max_lr = two_digits((lr_at_min_loss * last_lr).sqrt());
        Some(Self { max_lr, lr_at_min_loss, lr_at_divergence, steps })
    }
}

/// Runs the test on the data of `config`, shows its curve, and writes it as SVG where `out` says, over another file only
/// with `force`.
///
/// # Errors
/// Unusable data, settings that they cannot be trained with, or an `out` that has another ending than `.svg` or cannot be
/// written.
pub(crate) fn run(
    config: &TrainConfig,
    out: Option<&Path>,
    force: bool,
    screen: &Screen,
) -> Result<(), AppError> {
    out.map_or(Ok(()), |path| CommandError::check_ending("--out", path, "svg"))?;
    let out = out.map(|path| OutputFile { path, inputs: &[], mark: TITLE.as_bytes(), force });
    out.map_or(Ok(()), |file| file.check())?;
    let data = load(config, screen)?;
    let n_train = data.train.len();
    // A rate for settings that cannot be trained with would be of no use.
    check_smallest_batch(config, &data)?;
    MemoryEstimate::of(config, &data).check(LOWER_SETTINGS)?;
    let model = resnet9_config(config, &data).build(config.seed);
    let normalization = normalization(config, &data.train);
    let loss_head = loss_head(config, &data.train.class_counts(data.class_names.len()));
    let mut trainer = Trainer::new(config, model, normalization, loss_head, n_train);
    let bar = screen.bar(STEPS);
    bar.set_prefix("range test");
    let (mut steps, mut mean) = (Vec::new(), 0.0);
    let mut least = f64::INFINITY;
    trainer.range_test(&data.train, STEPS, &lr_at, |RangeStep { step, lr, loss }| {
        bar.set_position(step as u64 + 1);
        bar.set_message(format!("learning rate {lr:.1e}  loss {loss:.3}"));
        mean = (1.0 - NEW_WEIGHT) * mean + NEW_WEIGHT * f64::from(loss);
        // Bias correction, as in Adam: a running mean that starts at zero is too small at first.
        let smoothed_loss = mean / (1.0 - libm::pow(1.0 - NEW_WEIGHT, step as f64 + 1.0));
        if !loss.is_finite() {
            return false;
        }
        steps.push(CurvePoint { lr, loss: f64::from(loss), smoothed_loss });
        if step >= SETTLING {
            least = least.min(smoothed_loss);
        }
        smoothed_loss <= DIVERGED * least
    })?;
    bar.finish_and_clear();
    let result = RangeTestResult::of(steps).ok_or(CommandError::NoRate)?;
    let RangeTestResult { max_lr, lr_at_min_loss, lr_at_divergence, steps } = &result;
    show_curve(steps, screen);
    let divergence = match lr_at_divergence {
        Some(lr) => format!("training begins to diverge above {lr:.1e}"),
        None => format!("training did not diverge up to {LAST_LR:.1e}, the last rate of the test"),
    };
    screen.field("minimum", &format!("loss at a learning rate of {lr_at_min_loss:.1e}; {divergence}"));
    screen.field("suggested", &format!("--lr {max_lr}"));
    if let Some(file) = out {
        file.write(to_svg(steps).as_bytes())?;
        screen.field("written", &file.path.display().to_string());
    }
    screen.result(&result);
    Ok(())
}

/// The smoothed loss by learning rate, with a bar for each.
fn show_curve(steps: &[CurvePoint], screen: &Screen) {
    let mut rows = vec![["learning rate", "loss", ""].map(str::to_owned).to_vec()];
    let most = steps.iter().map(|step| step.smoothed_loss).fold(0.0, f64::max);
    for CurvePoint { lr, smoothed_loss, .. } in steps.iter().step_by(steps.len().div_ceil(ROWS).max(1)) {
        let length = (30.0 * smoothed_loss / most).round() as usize;
        rows.push(vec![
            format!("{lr:.1e}"),
            format!("{smoothed_loss:.3}"),
            format!("{:<30}", "#".repeat(length)),
        ]);
    }
    screen.line("");
    screen.indented(&table(&rows));
    screen.line("");
}

/// The learning rate of a step.
fn lr_at(step: usize) -> f64 {
    FIRST_LR * libm::pow(LAST_LR / FIRST_LR, step as f64 / (STEPS - 1) as f64)
}

/// Rounded to two significant digits.
fn two_digits(lr: f64) -> f64 {
    format!("{lr:.1e}").parse().expect("a number that was just written")
}

fn to_svg(steps: &[CurvePoint]) -> String {
    let rates = Axis::around("learning rate", Scale::Log, steps.iter().map(|step| step.lr));
    let losses = Axis::around("loss", Scale::Linear, steps.iter().map(|step| step.smoothed_loss));
    let smooth = Series {
        name: "smoothed",
        points: steps.iter().map(|step| [step.lr, step.smoothed_loss]).collect(),
        style: SeriesStyle::Line,
    };
    let each = Series {
        name: "each step",
        points: steps.iter().map(|step| [step.lr, step.loss]).collect(),
        style: SeriesStyle::Line,
    };
    let tip = |CurvePoint { lr, smoothed_loss, .. }: &CurvePoint| Tip {
        x: *lr,
        text: format!("learning rate {lr:.1e}\nloss {smoothed_loss:.3}"),
    };
    let tips: Vec<Tip> = steps.iter().map(tip).collect();
    plot::file(TITLE, &rates, &losses, &[smooth, each], &tips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_grow_by_the_same_factor() {
        assert!((lr_at(0) - FIRST_LR).abs() < 1e-12 && (lr_at(STEPS - 1) - LAST_LR).abs() < 1e-9);
        assert!((lr_at(11) / lr_at(10) - lr_at(101) / lr_at(100)).abs() < 1e-9);
        assert_eq!([two_digits(0.012_34), two_digits(3.0)], [0.012, 3.0]);
    }

    fn curve(smoothed_losses: impl IntoIterator<Item = f64>) -> Vec<CurvePoint> {
        let point = |(smoothed_loss, n): (f64, u32)| CurvePoint {
            lr: f64::from(n) / 100.0,
            loss: 1.0,
            smoothed_loss,
        };
        smoothed_losses.into_iter().zip(1..).map(point).collect()
    }

    #[test]
    fn the_rate_is_between_the_minimum_and_where_the_loss_has_doubled() {
        let ignored = [0.1; SETTLING];
        let risen_and_fallen = [4.0, 2.0, 1.0, 1.5, 2.0, 2.1, 1.9];
        let found = RangeTestResult::of(curve(ignored.into_iter().chain(risen_and_fallen))).expect("rates");
        let RangeTestResult { max_lr, lr_at_min_loss, lr_at_divergence, steps } = found;
        assert_eq!((lr_at_min_loss, lr_at_divergence, max_lr), (0.13, Some(0.15), 0.14));
        assert_eq!(steps.len(), SETTLING + risen_and_fallen.len());
        assert!(RangeTestResult::of(curve(ignored)).is_none());
    }

    #[test]
    fn losses_that_fall_up_to_the_last_rate_do_not_diverge() {
        let falling = |n: usize| curve((0..n).map(|step| 2.0 - 0.01 * step as f64));
        let found = RangeTestResult::of(falling(STEPS)).expect("rates");
        assert_eq!((found.lr_at_divergence, found.lr_at_min_loss, found.max_lr), (None, 1.2, 1.2));
        // The next loss was not finite.
        let broken_off = RangeTestResult::of(falling(STEPS - 1)).expect("rates");
        assert_eq!(broken_off.lr_at_divergence, Some(1.19));
    }

    #[test]
    fn a_step_is_three_numbers_in_json() {
        let point = CurvePoint { lr: 0.5, loss: 2.0, smoothed_loss: 3.0 };
        assert_eq!(serde_json::to_string(&point).expect("numbers"), "[0.5,2.0,3.0]");
    }
}
