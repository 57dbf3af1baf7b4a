//! What a run shows of every epoch and of every step.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::config::TrainConfig;
use crate::run_dir::records::{LogLine, TimeLine};
use crate::terminal::figures::{or_dash, percent};
use crate::terminal::screen::duration;
use crate::training::divergence::clip_remedy;
use crate::training::trainer::StepReport;

/// Columns that the wide line of an epoch needs.
const WIDE: usize = 74;

pub(super) fn epoch_heading(width: usize) -> String {
    let narrow = "  epoch    loss  val loss  val acc.";
    if width < WIDE { narrow.to_owned() } else { format!("{narrow}        lr  images/s       time") }
}

pub(super) fn epoch_line(line: &LogLine, time: &TimeLine, epochs: usize, width: usize) -> String {
    let epoch = format!("{}/{epochs}", line.epoch);
    let val_loss = or_dash(line.val_loss.map(shown_loss));
    let val_accuracy = or_dash(line.val_accuracy.map(percent));
    let narrow = format!("{epoch:>7}  {:>6}  {val_loss:>8}  {val_accuracy:>8}", shown_loss(line.train_loss));
    let saved = if line.saved { "  saved" } else { "" };
    if width < WIDE {
        return narrow + saved;
    }
    let took = duration(Duration::from_secs_f64(time.seconds));
    format!("{narrow}  {:>8.6}  {:>8.0}  {took:>9}{saved}", line.lr, time.images_per_s)
}

/// In six characters: fewer decimals for large losses, a power of ten for a run that diverges.
fn shown_loss(loss: f64) -> String {
    match loss {
        ..10.0 => format!("{loss:.4}"),
        ..1000.0 => format!("{loss:.2}"),
        _ => format!("{loss:.1e}"),
    }
}

/// A warning if the last epoch is no better than guessing, which has the loss `guessing`: a run may diverge without ever
/// reaching NaN, and ends normally.
pub(super) fn warning(last: &LogLine, config: &TrainConfig, guessing: f64) -> Option<String> {
    let clip = clip_remedy(config, "keep");
    (last.train_loss >= guessing).then(|| {
        format!(
            "the last epoch has a training loss of {}, no better than guessing ({}): training has diverged, or was too \
             short; try a lower --lr (it is {}), {clip}, or train longer",
            shown_loss(last.train_loss),
            shown_loss(guessing),
            config.max_lr,
        )
    })
}

/// Shows every step on the bar: loss, learning rate, speed and time left, as far as there is room.
pub(super) fn show_step(bar: &ProgressBar, n_steps: usize, width: usize) -> impl FnMut(StepReport) {
    let start = Instant::now();
    let (mut n_images, mut n_done) = (0, 0);
    move |report| {
        n_images += report.n_images;
        n_done += 1;
        let seconds = start.elapsed().as_secs_f64();
        let left =
            duration(Duration::from_secs_f64(seconds / n_done as f64 * (n_steps - report.step) as f64));
        bar.set_position(report.step as u64);
        bar.set_message(if width < WIDE {
            format!("loss {:.3}  {left} left", report.loss)
        } else {
            let speed = n_images as f64 / seconds;
            format!("loss {:.3}  lr {:.4}  {speed:.0} images/s  {left} left", report.loss, report.lr)
        });
    }
}

#[cfg(test)]
mod tests {
    use roentgen_optim::Clip;

    use super::*;
    use crate::config::{ClassWeights, ClipChoice};
    use crate::model::instruction_sets::InstructionSets;
    use crate::training::objective::loss_of_guessing;

    #[test]
    fn an_epoch_is_compared_with_guessing_by_the_loss_of_the_run() {
        let labels: Vec<u32> = (0..1000).map(|image| u32::from(image % 100 == 0)).collect();
        let warning_with = |clip: Clip, batch: usize, train_loss: f64| {
            let config = TrainConfig {
                clip: ClipChoice(clip),
                class_weights: ClassWeights::Balanced,
                label_smoothing: 0.05,
                batch: Some(batch),
                ..TrainConfig::default()
            };
            let last = LogLine {
                epoch: 1,
                train_loss,
                train_accuracy: 0.5,
                val_loss: None,
                val_accuracy: None,
                val_score: None,
                lr: 0.01,
                saved: true,
                instruction_sets: InstructionSets::default(),
            };
            super::warning(&last, &config, loss_of_guessing(&config, &[990, 10], &labels, 0))
        };
        let warning = |batch: usize, train_loss: f64| warning_with(Clip::Value(0.2), batch, train_loss);
        // The smoothed target of a common image has most of its weight in the rare class, so guessing costs more than ln 2.
        assert_eq!(warning(1000, 1.2), None);
        let text = warning(1000, 1.54).expect("a warning");
        assert!(text.contains("no better than guessing (1.5337)"), "{text}");
        assert!(text.ends_with(" keep --clip (it is value:0.2), or train longer"), "{text}");
        let text = warning_with(Clip::Off, 1000, 1.54).expect("a warning");
        assert!(text.contains(" switch --clip on (it is off, and value:0.1 by default), or"), "{text}");
        // Most small batches have no rare image, and common ones cost 2.39 there.
        assert_eq!(warning(16, 2.0), None);
        assert!(warning(16, 2.4).is_some());
    }
}
