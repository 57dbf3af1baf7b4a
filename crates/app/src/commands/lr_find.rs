//! `roentgen lr-find`: the learning rate range test (Smith 2017). The learning rate grows by the same factor at every step:
//! first the loss falls, then training begins to diverge. One-cycle training peaks at the largest learning rate before that
//! (Smith 2018, section 4.1).

use std::path::Path;

use roentgen_layers::ResNet9;
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
    /// The largest learning rate before the smoothed loss has doubled.
    lr_at_divergence: f64,
    /// Learning rate, loss and smoothed loss of each step.
    steps: Vec<[f64; 3]>,
}

/// Runs the test on the data of `config`, shows its curve, and writes it as SVG where `out` says, over another file only
/// with `force`.
///
/// # Errors
/// Unusable data, or an `out` that has another ending than `.svg` or cannot be written.
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
    MemoryEstimate::of(config, &data).check(LOWER_SETTINGS)?;
    let model = ResNet9::new(&resnet9_config(config, &data), config.seed);
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
        let smooth = mean / (1.0 - libm::pow(1.0 - NEW_WEIGHT, step as f64 + 1.0));
        if !loss.is_finite() {
            return false;
        }
        steps.push([lr, f64::from(loss), smooth]);
        if step >= SETTLING {
            least = least.min(smooth);
        }
        smooth <= DIVERGED * least
    })?;
    bar.finish_and_clear();
    let settled = steps.iter().enumerate().skip(SETTLING);
    let (best, &[lr_at_min_loss, ..]) =
        settled.min_by(|a, b| a.1[2].total_cmp(&b.1[2])).ok_or(CommandError::NoRate)?;
    let tolerated = steps[best..].iter().take_while(|step| step[2] <= RISEN * least).last();
    let lr_at_divergence = tolerated.map_or(lr_at_min_loss, |step| step[0]);
    // The geometric mean: the random batches shift either end by a factor of up to ten.
    let max_lr = two_digits((lr_at_min_loss * lr_at_divergence).sqrt());
    show_curve(&steps, screen);
    screen.field(
        "minimum",
        &format!("loss at a learning rate of {lr_at_min_loss:.1e}; training begins to diverge above {lr_at_divergence:.1e}"),
    );
    screen.field("suggested", &format!("--lr {max_lr}"));
    if let Some(file) = out {
        file.write(to_svg(&steps).as_bytes())?;
        screen.field("written", &file.path.display().to_string());
    }
    screen.result(&RangeTestResult { max_lr, lr_at_min_loss, lr_at_divergence, steps });
    Ok(())
}

/// The smoothed loss by learning rate, with a bar for each.
fn show_curve(steps: &[[f64; 3]], screen: &Screen) {
    let mut rows = vec![["learning rate", "loss", ""].map(str::to_owned).to_vec()];
    let most = steps.iter().map(|step| step[2]).fold(0.0, f64::max);
    for [lr, _, smooth] in steps.iter().step_by(steps.len().div_ceil(ROWS).max(1)) {
        let length = (30.0 * smooth / most).round() as usize;
        rows.push(vec![format!("{lr:.1e}"), format!("{smooth:.3}"), format!("{:<30}", "#".repeat(length))]);
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

fn to_svg(steps: &[[f64; 3]]) -> String {
    let rates = Axis::around("learning rate", Scale::Log, steps.iter().map(|step| step[0]));
    let losses = Axis::around("loss", Scale::Linear, steps.iter().map(|step| step[2]));
    let smooth = Series {
        name: "smoothed",
        points: steps.iter().map(|step| [step[0], step[2]]).collect(),
        style: SeriesStyle::Line,
    };
    let each = Series {
        name: "each step",
        points: steps.iter().map(|step| [step[0], step[1]]).collect(),
        style: SeriesStyle::Line,
    };
    let tip = |step: &[f64; 3]| Tip {
        x: step[0],
        text: format!("learning rate {:.1e}\nloss {:.3}", step[0], step[2]),
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
}
