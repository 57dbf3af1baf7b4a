//! `roentgen lr-find`: the learning rate range test (Smith 2017). The rate grows by the same factor at every step: first the
//! loss falls, then training begins to diverge. One cycle peaks at the largest rate before that (Smith 2018, section 4.1).

use std::path::Path;

use roentgen_layers::ResNet9;
use serde::Serialize;

use crate::config::TrainConfig;
use crate::config::build::{architecture, normalization};
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::report::plot::{self, Axis, Scale, Series, Tip};
use crate::run_dir::atomic_file::write_file;
use crate::terminal::screen::{Screen, table};
use crate::training::objective::loss_head;
use crate::training::trainer::{RangeStep, Trainer};

/// First and last rate.
const FROM: f64 = 1e-6;
const TO: f64 = 1.0;
/// Steps from one to the other.
const STEPS: usize = 120;
/// Weight of the last loss in the running mean.
const NEW: f64 = 0.1;
/// The test ends where the loss is so many times its least.
const DIVERGED: f64 = 4.0;
/// Losses from the first on that are not looked at: their running mean is of few.
const SETTLING: usize = 10;
/// Training begins to diverge where the smoothed loss is so many times its least.
const RISEN: f64 = 2.0;
/// Rows of the table.
const ROWS: usize = 12;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Figures {
    /// The rate to give to `train`.
    max_lr: f64,
    /// The rate at which the smoothed loss is least.
    least_at: f64,
    /// The largest rate before the smoothed loss has doubled.
    diverges_at: f64,
    /// Rate, loss and smoothed loss of each step.
    steps: Vec<[f64; 3]>,
}

/// Runs the test on the data of `config`, shows its curve, and writes it as SVG where `out` says.
///
/// # Errors
/// Whatever makes the data unusable, and a disk that is full.
pub(crate) fn run(config: &TrainConfig, out: Option<&Path>, screen: &Screen) -> Result<(), AppError> {
    let data = load(config, screen)?;
    let n_train = data.train.len();
    let model = ResNet9::new(&architecture(config, &data), config.seed);
    let normalization = normalization(config, &data.train);
    let loss_head = loss_head(config, &data.train.class_counts(data.class_names.len()));
    let mut trainer = Trainer::new(config, model, normalization, loss_head, n_train);
    let bar = screen.bar(STEPS);
    bar.set_prefix("rates");
    let (mut steps, mut mean) = (Vec::new(), 0.0);
    let mut least = f64::INFINITY;
    trainer.range_test(&data.train, STEPS, &|step| rate(step), |RangeStep { step, lr, loss }| {
        bar.set_position(step as u64 + 1);
        bar.set_message(format!("rate {lr:.1e}  loss {loss:.3}"));
        mean = (1.0 - NEW) * mean + NEW * f64::from(loss);
        // As Adam's moments: a mean that starts at zero is too small at first.
        let smooth = mean / (1.0 - (1.0 - NEW).powi(step as i32 + 1));
        if !loss.is_finite() {
            return false;
        }
        steps.push([lr, f64::from(loss), smooth]);
        if step >= SETTLING {
            least = least.min(smooth);
        }
        smooth <= DIVERGED * least
    });
    bar.finish_and_clear();
    let settled = steps.iter().enumerate().skip(SETTLING);
    let (best, &[least_at, ..]) = settled.min_by(|a, b| a.1[2].total_cmp(&b.1[2])).ok_or(AppError::NoRate)?;
    let tolerated = steps[best..].iter().take_while(|step| step[2] <= RISEN * least).last();
    let diverges_at = tolerated.map_or(least_at, |step| step[0]);
    // Halfway on the scale of the test: one draw of batches puts either end up to ten times too high or too low.
    let max_lr = two_digits((least_at * diverges_at).sqrt());
    let mut rows = vec![["rate", "loss", ""].map(str::to_owned).to_vec()];
    let most = steps.iter().map(|step| step[2]).fold(0.0, f64::max);
    for [lr, _, smooth] in steps.iter().step_by(steps.len().div_ceil(ROWS).max(1)) {
        let length = (30.0 * smooth / most).round() as usize;
        rows.push(vec![format!("{lr:.1e}"), format!("{smooth:.3}"), format!("{:<30}", "#".repeat(length))]);
    }
    screen.line("");
    table(&rows).iter().for_each(|line| screen.line(&format!("  {line}")));
    screen.line("");
    screen.field(
        "least",
        &format!("at a rate of {least_at:.1e}; training begins to diverge above {diverges_at:.1e}"),
    );
    screen.field("suggest", &format!("--max-lr {max_lr}"));
    if let Some(path) = out {
        write_svg(path, &steps)?;
        screen.field("written", &path.display().to_string());
    }
    screen.result(&Figures { max_lr, least_at, diverges_at, steps });
    Ok(())
}

/// The rate of a step.
fn rate(step: usize) -> f64 {
    FROM * (TO / FROM).powf(step as f64 / (STEPS - 1) as f64)
}

/// Rounded to two digits.
fn two_digits(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().expect("a number that was just written")
}

fn write_svg(path: &Path, steps: &[[f64; 3]]) -> Result<(), AppError> {
    let rates = Axis::around("learning rate", Scale::Log, steps.iter().map(|step| step[0]));
    let losses = Axis::around("loss", Scale::Linear, steps.iter().map(|step| step[2]));
    let smooth = Series {
        name: "smoothed",
        points: steps.iter().map(|step| [step[0], step[2]]).collect(),
        dots: false,
    };
    let each = Series {
        name: "each step",
        points: steps.iter().map(|step| [step[0], step[1]]).collect(),
        dots: false,
    };
    let tip =
        |step: &[f64; 3]| Tip { x: step[0], text: format!("rate {:.1e}\nloss {:.3}", step[0], step[2]) };
    let tips: Vec<Tip> = steps.iter().map(tip).collect();
    let svg = plot::file("Learning rate range test", &rates, &losses, &[smooth, each], &tips);
    write_file(path, svg.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_grow_by_one_factor() {
        assert!((rate(0) - FROM).abs() < 1e-12 && (rate(STEPS - 1) - TO).abs() < 1e-9);
        assert!((rate(11) / rate(10) - rate(101) / rate(100)).abs() < 1e-9);
        assert_eq!([two_digits(0.012_34), two_digits(3.0)], [0.012, 3.0]);
    }
}
