//! `roentgen inspect`: what is in the data, which problems they have, and how long training will take.

use std::time::{Duration, Instant};

use ndarray::Array4;
use roentgen_data::{Dataset, ImageSet, default_val_fraction};
use roentgen_layers::{LossHead, Pass, ResNet9, ResNet9Config};
use roentgen_optim::{AdamConfig, OneCycle};

use crate::config::TrainConfig;
use crate::data_loading::findings::{SHOWN, show_findings};
use crate::data_loading::inspection::Inspection;
use crate::data_loading::load::read;
use crate::error::AppError;
use crate::terminal::screen::{Screen, counted, duration};
use crate::terminal::tables;
use crate::training::step::TrainingStep;

/// Classes with fewer images have a note.
const RARE: usize = 10;
/// Imbalance, the size of the largest class over that of the smallest, from which on a note is shown.
const IMBALANCE: f64 = 3.0;

/// Inspects the data of `config`.
///
/// # Errors
/// Whatever makes the data unusable as a whole; single bad files are listed.
pub(crate) fn run(config: &TrainConfig, screen: &Screen) -> Result<(), AppError> {
    // As given: nothing is split off from the training set yet.
    let as_given =
        TrainConfig { skip_bad: true, val_fraction: Some(0.0), test_fraction: 0.0, ..config.clone() };
    let (data, source) = read(&as_given, screen)?;
    tables::show_data(screen, &source, &data);
    let mut inspection = Inspection::of(&data);
    show_files(screen, &inspection);
    show_findings(screen, &data);
    tables::show_remarks(screen, &data.findings);
    for note in rare_note(&data).into_iter().chain(split_off_note(config, &data)) {
        screen.field("note", &note);
        inspection.notes.push(note);
    }
    let val_fraction = val_fraction(config, &data);
    let split_off = |set: &ImageSet, fraction: f64| if set.is_empty() { fraction } else { 0.0 };
    let left = 1.0 - split_off(&data.val, val_fraction) - split_off(&data.test, config.test_fraction);
    let n_train = (left * data.train.len() as f64) as usize;
    let seconds = train_seconds(config, &data, n_train.max(1));
    inspection.train_seconds = Some(seconds);
    let epochs = counted(config.epochs(n_train), "epoch");
    let time = duration(Duration::from_secs_f64(seconds));
    screen.field(
        "time",
        &format!("about {time} to train {epochs} with {}", counted(config.threads(), "thread")),
    );
    screen.result(&inspection);
    Ok(())
}

/// Names the classes with few images: a set that is split off may have none of them.
fn rare_note(data: &Dataset) -> Option<String> {
    let counts = data.train.class_counts(data.class_names.len());
    let rare = data.class_names.iter().zip(counts).filter(|(_, count)| *count < RARE);
    let rare: Vec<String> = rare.map(|(class, count)| format!("`{class}` ({count})")).collect();
    let more = if rare.len() > SHOWN { ", ..." } else { "" };
    let named = rare[..rare.len().min(SHOWN)].join(", ");
    (!rare.is_empty()).then(|| {
        format!(
            "fewer than {RARE} training images: {named}{more}; add some, or the metrics of these classes are unreliable"
        )
    })
}

/// Share of the training set, as given, that a run splits off for validation if there is no validation set.
fn val_fraction(config: &TrainConfig, data: &Dataset) -> f64 {
    config.val_fraction.unwrap_or_else(|| default_val_fraction(data.train.len()))
}

/// Names the sets that a run will split off from the training set.
fn split_off_note(config: &TrainConfig, data: &Dataset) -> Option<String> {
    let missing = [
        ("validation", "val", &data.val, val_fraction(config, data)),
        ("test", "test", &data.test, config.test_fraction),
    ];
    let missing = missing.into_iter().filter(|(_, _, set, fraction)| set.is_empty() && *fraction > 0.0);
    let sets: Vec<String> = missing
        .map(|(name, flag, _, fraction)| {
            format!("{:.0} % as the {name} set (--{flag}-fraction)", 100.0 * fraction)
        })
        .collect();
    (!sets.is_empty()).then(|| {
        format!(
            "`train` will split off {}; a patient, or a group of duplicates, stays in one set",
            sets.join(" and ")
        )
    })
}

/// How images are stored, and how imbalanced the classes are.
fn show_files(screen: &Screen, inspection: &Inspection) {
    let Inspection { sizes, bit_depths, stored_grey, stored_colour, imbalance, .. } = inspection;
    if stored_grey + stored_colour > 0 {
        let commonest = sizes.iter().max_by_key(|(_, count)| count.as_u64());
        let size = commonest.map_or_else(String::new, |(size, count)| format!("{size} ({count})"));
        let others = if sizes.len() > 1 { " and other sizes" } else { "" };
        let depths: Vec<String> = bit_depths.keys().map(ToString::to_string).collect();
        let text = format!(
            "{size}{others}; {} bit; {stored_grey} stored in grey, {stored_colour} in colour, read as {}",
            depths.join(" and "),
            if inspection.channels == 1 { "grey" } else { "colour" }
        );
        screen.field("files", &text);
    }
    if let Some(ratio) = imbalance.filter(|ratio| *ratio >= IMBALANCE) {
        let text = format!(
            "the largest has {ratio:.1} times as many images as the smallest; check the recall of each class, and \
             consider --prior balanced or, stronger, --class-weights balanced"
        );
        screen.field("classes", &text);
    }
}

/// Estimates the seconds of a training run over `n_train` images from a few steps on artificial images.
fn train_seconds(config: &TrainConfig, data: &Dataset, n_train: usize) -> f64 {
    const WARM_UP: u64 = 2;
    const TIMED: u64 = 6;
    let (batch, size) = (config.batch(n_train).min(n_train).max(2), config.size as usize);
    let n_classes = data.class_names.len();
    let model = ResNet9Config { width: config.width, ..ResNet9Config::new(data.channels, n_classes) };
    let mut step = TrainingStep::new(ResNet9::new(&model, 0), LossHead::default(), AdamConfig::default());
    let x = Array4::from_shape_fn((batch, size, size, data.channels), |(n, h, w, _)| {
        ((n + h * w) % 7) as f32 - 3.0
    });
    let labels: Vec<u32> = (0..batch).map(|image| (image % n_classes) as u32).collect();
    let schedule = OneCycle::new(1e-3, 1_000);
    let mut take = |step_idx: u64| {
        step.take(&x, &labels, schedule.at(step_idx as usize), Pass::Train { seed: 0, step: step_idx });
    };
    (0..WARM_UP).for_each(&mut take);
    let start = Instant::now();
    (WARM_UP..WARM_UP + TIMED).for_each(&mut take);
    let per_image = start.elapsed().as_secs_f64() / (TIMED * batch as u64) as f64;
    // Validation and the batch norms of averaged weights, a few per cent, are not included.
    per_image * (n_train * config.epochs(n_train)) as f64
}
