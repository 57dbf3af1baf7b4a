//! Parallel coordinates (Inselberg 1985): an axis for each setting of a sweep, the score as the last one, and a line for each
//! training. The page shows them without a script: the line under the pointer is marked by its style sheet.

use maud::{Markup, html};

use super::plot::{Axis, Scale, rounded};
use crate::run_dir::sweep_record::{ScoreName, SearchedValues, SettingRecord, SweepRecord, TrainingRecord};

/// Height of the plot, and width for each axis, in units of the SVG.
const HEIGHT: f64 = 330.0;
const AXIS_WIDTH: f64 = 150.0;
/// Edges of the area of the axes.
const TOP: f64 = 34.0;
const BOTTOM: f64 = HEIGHT - 34.0;
/// Where trainings without a score end: below the axis.
const FAILED: f64 = HEIGHT - 12.0;
/// Trainings from the best on that are drawn in a strong colour.
const N_STRONG: usize = 3;

/// Where a value is on its axis, from 0 to 1; `None` for no value.
type Place<'a> = Box<dyn Fn(&TrainingRecord) -> Option<f64> + 'a>;

/// An axis and how a training is placed on it.
struct Coordinate<'a> {
    name: &'a str,
    axis: Axis,
    place: Place<'a>,
}

/// The plot of all trainings.
pub(super) fn parallel_coordinates(record: &SweepRecord) -> Markup {
    let mut coordinates: Vec<Coordinate<'_>> = record.settings.iter().map(of_setting).collect();
    coordinates.push(of_score(record));
    let at_x = |index: usize| (index as f64 + 0.5) * AXIS_WIDTH;
    let width = AXIS_WIDTH * coordinates.len() as f64;
    let best = record.trainings.iter().take(N_STRONG).filter(|training| training.last().score.is_some());
    let n_strong = best.count();
    html! {
        figure.plot.parallel {
            figcaption { "A line for each training: its settings, and at the right its validation " (record.score.name) }
            svg viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" aria-label="Trainings of the sweep" {
                @for (index, Coordinate { name, .. }) in coordinates.iter().enumerate() {
                    line.axis x1=(at_x(index)) x2=(at_x(index)) y1=(TOP) y2=(BOTTOM) {}
                    text.value x=(at_x(index)) y="16" text-anchor="middle" { (name) }
                }
                // The best ones are drawn last, over the others.
                @for (rank, training) in record.trainings.iter().enumerate().rev() {
                    g class=(class_of(rank, n_strong, training, record)) {
                        title { (tip(training, record)) }
                        polyline points=(points(&coordinates, training, at_x)) {}
                    }
                }
                // Over the lines, so that they can be read.
                @for (index, Coordinate { axis, .. }) in coordinates.iter().enumerate() {
                    @for tick in axis.ticks() {
                        text.tick x=(at_x(index) - 6.0) y=(rounded(at_y(axis.position(tick)) + 3.5)) text-anchor="end" {
                            (axis.tick_text(tick))
                        }
                    }
                }
            }
            p.legend {
                span.key.s1 { "the best" }
                @if n_strong > 1 { span.key.s0 { "the next " (n_strong - 1) } }
                span { "others are grey" }
                @if record.rungs.len() > 1 { span { "thin: not in the last rung, so of fewer epochs" } }
                @if record.trainings.iter().any(|training| training.last().score.is_none()) { span { "dashed: failed" } }
            }
        }
    }
}

fn at_y(position: f64) -> f64 {
    BOTTOM - position * (BOTTOM - TOP)
}

fn of_setting(setting: &SettingRecord) -> Coordinate<'_> {
    let name = setting.name;
    match &setting.values {
        SearchedValues::List { values } => {
            let axis = Axis::of_names(name, values.clone());
            let names = axis.clone();
            let place = move |training: &TrainingRecord| {
                let text = training.text_of(name);
                values.iter().position(|value| *value == text).map(|index| names.position(index as f64))
            };
            Coordinate { name, axis, place: Box::new(place) }
        }
        SearchedValues::Range { from, to, log } => {
            let scale = if *log { Scale::Log } else { Scale::Linear };
            let axis = Axis::new(name, [*from, *to]).with_scale(scale);
            let numbers = axis.clone();
            let place = move |training: &TrainingRecord| {
                training.settings[name].as_f64().map(|value| numbers.position(value))
            };
            Coordinate { name, axis, place: Box::new(place) }
        }
    }
}

/// The axis of the score: the better end is at the top.
fn of_score(record: &SweepRecord) -> Coordinate<'_> {
    let ScoreName { name, lower_is_better, .. } = record.score;
    let scores = record.trainings.iter().filter_map(|training| training.last().score);
    let [low, high] = scores
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], score| [low.min(score), high.max(score)]);
    let range = match high - low {
        spread if spread > 0.0 => [low, high],
        // All values are equal, or the list is empty.
        _ if low.is_finite() => [low - 0.5, high + 0.5],
        _ => [0.0, 1.0],
    };
    let axis = Axis::new(name, if lower_is_better { [range[1], range[0]] } else { range });
    let numbers = axis.clone();
    let place = move |training: &TrainingRecord| training.last().score.map(|score| numbers.position(score));
    Coordinate { name, axis, place: Box::new(place) }
}

fn points(coordinates: &[Coordinate<'_>], training: &TrainingRecord, at_x: impl Fn(usize) -> f64) -> String {
    let point = |(index, coordinate): (usize, &Coordinate<'_>)| {
        let y = (coordinate.place)(training).map_or(FAILED, at_y);
        format!("{},{}", rounded(at_x(index)), rounded(y))
    };
    coordinates.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

fn class_of(rank: usize, n_strong: usize, training: &TrainingRecord, record: &SweepRecord) -> String {
    let colour = match rank {
        _ if rank >= n_strong => "weak",
        0 => "s1 strong",
        _ => "s0",
    };
    let is_thin = training.rungs.len() < record.rungs.len();
    let has_failed = training.last().score.is_none();
    format!(
        "training {colour}{}{}",
        if is_thin { " thin" } else { "" },
        if has_failed { " failed" } else { "" }
    )
}

/// What the pointer shows.
fn tip(training: &TrainingRecord, record: &SweepRecord) -> String {
    let settings =
        record.settings.iter().map(|setting| format!("{} {}", setting.name, training.text_of(setting.name)));
    let settings = settings.collect::<Vec<_>>().join("\n");
    let last = training.last();
    let score =
        last.score.map_or_else(|| "failed".to_owned(), |score| format!("{} {score:.3}", record.score.name));
    format!("training {}\n{settings}\n{} epochs: {score}", training.number, last.epochs)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::run_dir::sweep_record::{ResultRecord, RungRecord};

    fn training(number: usize, lr: f64, name: &str, score: Option<f64>) -> TrainingRecord {
        let serde_json::Value::Object(settings) = json!({ "max-lr": lr, "decay": name }) else {
            unreachable!()
        };
        let result = ResultRecord {
            folder: format!("training-{number}"),
            epochs: 3,
            saved_epoch: score.map(|_| 2),
            set: score.map(|_| "val"),
            score,
            log_loss: score,
            failure: score.is_none().then(|| "diverged <b>".to_owned()),
        };
        TrainingRecord { number, settings, rungs: vec![result] }
    }

    /// Two trainings, and one that failed.
    pub(in crate::report) fn record(lower_is_better: bool) -> SweepRecord {
        SweepRecord {
            score: ScoreName { key: "accuracy", name: "accuracy", lower_is_better },
            settings: vec![
                SettingRecord {
                    name: "max-lr",
                    values: SearchedValues::Range { from: 0.001, to: 0.1, log: true },
                },
                SettingRecord {
                    name: "decay",
                    values: SearchedValues::List { values: vec!["l2".to_owned(), "decoupled".to_owned()] },
                },
            ],
            rungs: vec![RungRecord { n_trainings: 3, epochs_divisor: 1 }],
            trainings: vec![
                training(2, 0.01, "l2", Some(0.9)),
                training(1, 0.1, "decoupled", Some(0.5)),
                training(3, 0.001, "l2", None),
            ],
            command: Some("roentgen train --max-lr 0.01".to_owned()),
            command_key: None,
        }
    }

    #[test]
    fn every_training_is_a_line_through_its_values() {
        let svg = parallel_coordinates(&record(false)).into_string();
        // The middle of the logarithmic axis, the lower of two names, the better end of the score.
        assert!(svg.contains("points=\"75.0,165.0 225.0,230.5 375.0,34.0\""), "{svg}");
        assert!(svg.contains("points=\"75.0,34.0 225.0,99.5 375.0,296.0\""), "{svg}");
        assert!(svg.contains("points=\"75.0,296.0 225.0,230.5 375.0,318.0\""), "below the axis: {svg}");
        for class in ["training s1 strong", "training s0", "training weak failed"] {
            assert!(svg.contains(&format!("class=\"{class}\"")), "{class}: {svg}");
        }
    }

    #[test]
    fn small_numbers_of_a_list_are_found_on_their_axis() {
        let mut record = record(false);
        let values = SearchedValues::List { values: vec!["0.000001".to_owned(), "0.1".to_owned()] };
        record.settings[0] = SettingRecord { name: "max-lr", values };
        record.trainings[0] = training(2, 1e-6, "l2", Some(0.9));
        let svg = parallel_coordinates(&record).into_string();
        assert!(svg.contains("points=\"75.0,230.5 225.0,230.5 375.0,34.0\""), "{svg}");
    }

    #[test]
    fn the_better_end_is_at_the_top_also_where_lower_is_better() {
        let svg = parallel_coordinates(&record(true)).into_string();
        assert!(svg.contains("points=\"75.0,34.0 225.0,99.5 375.0,34.0\""), "{svg}");
    }
}
