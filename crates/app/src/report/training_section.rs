//! The section on training: loss, accuracy and learning rate by epoch.

use maud::{Markup, html};
use roentgen_optim::OneCycle;

use super::input::{ReportInput, sentence};
use super::plot::{Axis, Guide, Scale, Series, SeriesStyle, Tip, plot};
use crate::run_dir::records::LogLine;
use crate::terminal::screen::{counted, thousands};

/// Points of the learning rate's curve.
const LR_POINTS: usize = 80;
/// Curves of fewer epochs than this show each point as a dot.
const DOTS_BELOW: usize = 12;

/// The whole section.
pub(super) fn training_section(input: &ReportInput<'_>) -> Markup {
    let metrics = input.metrics;
    html! {
        h2 id="training" { "Training" }
        p { "ResNet9 of width " (input.config.width) " with " (thousands(metrics.n_parameters)) " parameters; " (counted(metrics.epochs, "epoch")) " of "
            (counted(input.steps_per_epoch, "step")) " in " (format!("{:.0} s", metrics.train_seconds)) " at "
            (format!("{:.0}", metrics.train_images_per_s)) " images/s. The saved weights are those of epoch "
            (metrics.saved_epoch)
            @if !input.data.val.is_empty() { ", the last one whose validation score is within one standard error of the best" }
            "." }
        p { "Augmentation of the training images: " (input.config.describe_augmentation(&input.data.train)) "."
            @for extra in input.config.describe_extras() { " " (sentence(&extra)) } }
        div.plots { (loss_plot(input.log, metrics.epochs)) (accuracy_plot(input.log, metrics.epochs)) (lr_plot(input)) }
    }
}

/// The loss by epoch, of a training of so many epochs.
pub(crate) fn loss_plot(log: &[LogLine], epochs: usize) -> Markup {
    let (train, val) = (|line: &LogLine| Some(line.train_loss), |line: &LogLine| line.val_loss);
    let curves = curves(log, train, val);
    let losses = curves.iter().flat_map(|series| series.points.iter().map(|point| point[1]));
    let axis = Axis::around("loss", Scale::Log, losses);
    plot("Loss", &epoch_axis(epochs), &axis, &curves, &tips(log, train, val), Guide::None)
}

/// The accuracy by epoch, of a training of so many epochs.
pub(crate) fn accuracy_plot(log: &[LogLine], epochs: usize) -> Markup {
    let (train, val) = (|line: &LogLine| Some(line.train_accuracy), |line: &LogLine| line.val_accuracy);
    let curves = curves(log, train, val);
    let axis = Axis::new("accuracy", [0.0, 1.0]);
    plot("Accuracy", &epoch_axis(epochs), &axis, &curves, &tips(log, train, val), Guide::None)
}

/// The learning rate of the whole schedule, also of the epochs that early stopping left out.
fn lr_plot(input: &ReportInput<'_>) -> Markup {
    let n_epochs = input.config.epochs(input.data.train.len());
    let schedule = OneCycle::new(input.config.max_lr, input.steps_per_epoch * n_epochs);
    let lr_at = |index: usize| {
        let step = index * (schedule.total_steps() - 1) / (LR_POINTS - 1);
        [step as f64 / input.steps_per_epoch as f64, schedule.at(step).lr]
    };
    let points: Vec<[f64; 2]> = (0..LR_POINTS).map(lr_at).collect();
    let tip = |&[x, lr]: &[f64; 2]| Tip { x, text: format!("after {x:.1} epochs\nlearning rate {lr:.5}") };
    let tips: Vec<Tip> = points.iter().map(tip).collect();
    let lr_axis = Axis::around("learning rate", Scale::Linear, points.iter().map(|point| point[1]));
    let series = Series { name: "", points, style: SeriesStyle::Line };
    plot(
        "Learning rate",
        &Axis::new("epoch", [0.0, n_epochs as f64]),
        &lr_axis,
        &[series],
        &tips,
        Guide::None,
    )
}

/// From the first to the last epoch; a single epoch still gets an axis with a length.
fn epoch_axis(epochs: usize) -> Axis {
    Axis::new("epoch", [1.0, epochs.max(2) as f64])
}

/// A curve for the training set, and one for the validation set if there is one.
fn curves(
    log: &[LogLine],
    train: impl Fn(&LogLine) -> Option<f64>,
    val: impl Fn(&LogLine) -> Option<f64>,
) -> Vec<Series<'static>> {
    let mut curves = vec![curve("training", log, train), curve("validation", log, val)];
    curves.retain(|series| !series.points.is_empty());
    curves
}

fn curve(name: &'static str, log: &[LogLine], value_of: impl Fn(&LogLine) -> Option<f64>) -> Series<'static> {
    let points = log.iter().filter_map(|line| Some([line.epoch as f64, value_of(line)?])).collect();
    let style = if log.len() < DOTS_BELOW { SeriesStyle::LineWithDots } else { SeriesStyle::Line };
    Series { name, points, style }
}

/// Both values of each epoch.
fn tips(
    log: &[LogLine],
    train: impl Fn(&LogLine) -> Option<f64>,
    val: impl Fn(&LogLine) -> Option<f64>,
) -> Vec<Tip> {
    let shown = |name: &str, value: Option<f64>| {
        value.map_or_else(String::new, |value| format!("\n{name} {value:.3}"))
    };
    let tip = |line: &LogLine| Tip {
        x: line.epoch as f64,
        text: format!(
            "epoch {}{}{}",
            line.epoch,
            shown("training", train(line)),
            shown("validation", val(line))
        ),
    };
    log.iter().map(tip).collect()
}
