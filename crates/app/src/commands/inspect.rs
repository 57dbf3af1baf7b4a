//! `roentgen inspect`: what is in the data, which problems they have, and how long training will take.

use std::time::{Duration, Instant};

use ndarray::Array4;
use roentgen_data::{Dataset, Progress};
use roentgen_layers::{LossHead, Pass, ResNet9Config};
use roentgen_optim::{AdamConfig, OneCycle};

use crate::config::TrainConfig;
use crate::data_loading::class_notes::{SplitOffSet, counts_to_train_on, split_off_sets};
use crate::data_loading::findings::show_findings;
use crate::data_loading::inspection::Inspection;
use crate::data_loading::load::read;
use crate::error::AppError;
use crate::terminal::figures::colour_word;
use crate::terminal::screen::{Screen, counted, duration, mebibytes};
use crate::terminal::tables;
use crate::training::memory_estimate::{LOWER_SETTINGS, MemoryEstimate};
use crate::training::step::TrainingStep;

/// Data, and what was found in them.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) data: Dataset,
    source: String,
    pub(crate) inspection: Inspection,
    /// Which sets a training splits off, in words.
    pub(crate) split_off: Option<String>,
    memory_bytes: u64,
    /// Why a training would not fit into the memory.
    pub(crate) no_memory: Option<String>,
}

/// Inspects the data of `config`, and shows what was found.
///
/// # Errors
/// As [`inspect`].
pub(crate) fn run(config: &TrainConfig, screen: &Screen) -> Result<(), AppError> {
    let inspected = inspect(config, &screen.loading())?;
    show(config, &inspected, screen);
    screen.result(&inspected.inspection);
    Ok(())
}

/// Inspects the data of `config`.
///
/// # Errors
/// Whatever makes the data unusable as a whole; single bad files are listed.
pub(crate) fn inspect(config: &TrainConfig, progress: &dyn Progress) -> Result<Inspected, AppError> {
    // The sets are those that a run with these settings has, and so are the notes.
    let (data, source) = read(&TrainConfig { skip_bad: !config.uses_phantom(), ..config.clone() }, progress)?;
    let mut inspection = Inspection::of(&data);
    let split_off = split_off_note(config, &data);
    inspection.notes.extend(split_off.clone());
    let memory = MemoryEstimate::of(config, &data);
    let memory_bytes = memory.total_bytes as u64;
    inspection.train_memory_bytes = Some(memory_bytes);
    let fits = memory.check(LOWER_SETTINGS);
    let no_memory = fits.err().map(|error| error.to_string());
    inspection.notes.extend(no_memory.clone());
    if no_memory.is_none() && !progress.is_cancelled() {
        inspection.train_seconds = train_seconds(config, &data, &|| progress.is_cancelled());
    }
    Ok(Inspected { data, source, inspection, split_off, memory_bytes, no_memory })
}

fn show(config: &TrainConfig, inspected: &Inspected, screen: &Screen) {
    let Inspected { data, source, inspection, split_off, memory_bytes, no_memory } = inspected;
    tables::show_data(screen, source, data);
    show_files(screen, inspection);
    show_findings(screen, data);
    tables::show_remarks(screen, &data.findings);
    if !data.findings.bad.is_empty() {
        screen.field("note", "a training stops at unusable files, unless --skip-bad leaves them out");
    }
    if let Some(note) = split_off {
        screen.field("note", note);
    }
    let n_train = data.train.len();
    let batch = counted(config.batch(n_train).min(n_train), "image");
    screen.field("memory", &format!("about {} to train with {batch} in a step", mebibytes(*memory_bytes)));
    if let Some(seconds) = inspection.train_seconds {
        let epochs = counted(config.epochs(n_train), "epoch");
        let time = duration(Duration::from_secs_f64(seconds));
        let threads = counted(config.threads(), "thread");
        screen.field("time", &format!("about {time} to train {epochs} with {threads}"));
    }
    if let Some(note) = no_memory {
        screen.field("note", note);
    }
}

/// Names the sets that are split off from the training set, and the sizes of those that have clearly more or fewer images than
/// the settings ask for.
fn split_off_note(config: &TrainConfig, data: &Dataset) -> Option<String> {
    let split_off: Vec<SplitOffSet<'_>> =
        split_off_sets(config, data).into_iter().filter(|of| !of.set.is_empty()).collect();
    let in_words = |of: &SplitOffSet<'_>| {
        format!("{:.0} % as the {} set{}", 100.0 * of.fraction, of.subset.in_words(), of.flag())
    };
    let sets: Vec<String> = split_off.iter().map(in_words).collect();
    let counts = counts_to_train_on(data);
    let n_images: usize = counts.iter().sum();
    let others = split_off.iter().filter(|of| of.has_other_size(&counts));
    let sizes: Vec<String> = others
        .map(|of| format!("the {} set has {} of {n_images} images", of.subset.in_words(), of.set.len()))
        .collect();
    let sizes = if sizes.is_empty() { String::new() } else { format!(", so {}", sizes.join(" and ")) };
    let together = match data.findings.patients {
        Some(_) => "a patient, or a group of duplicates,",
        None => "a group of duplicates",
    };
    (!sets.is_empty()).then(|| {
        let sets = sets.join(" and ");
        format!("`train` splits off {sets}; {together} stays in one set{sizes}")
    })
}

/// How images are stored.
fn show_files(screen: &Screen, inspection: &Inspection) {
    let Inspection { sizes, bit_depths, stored_grey, stored_colour, .. } = inspection;
    if stored_grey + stored_colour > 0 {
        let commonest = sizes.iter().max_by_key(|(_, count)| count.as_u64());
        let size = commonest.map_or_else(String::new, |(size, count)| format!("{size} ({count})"));
        let others = if sizes.len() > 1 { " and other sizes" } else { "" };
        let depths: Vec<String> = bit_depths.keys().map(ToString::to_string).collect();
        let text = format!(
            "{size}{others}; {} bit; {stored_grey} stored in grey, {stored_colour} in colour, read as {}",
            depths.join(" and "),
            colour_word(inspection.channels)
        );
        screen.field("files", &text);
    }
}

/// Estimates the seconds of a training run from a few steps on artificial images; `None` if that is cancelled.
fn train_seconds(config: &TrainConfig, data: &Dataset, is_cancelled: &dyn Fn() -> bool) -> Option<f64> {
    const WARM_UP: u64 = 2;
    const TIMED: u64 = 6;
    // A step of a large set takes seconds, and one of them is enough.
    const LONGEST: Duration = Duration::from_secs(3);
    let n_train = data.train.len();
    let (batch, size) = (config.batch(n_train).min(n_train).max(2), config.size as usize);
    let n_classes = data.class_names.len();
    let model = ResNet9Config { width: config.width, ..ResNet9Config::new(data.channels, n_classes) };
    let mut step = TrainingStep::new(model.build(0), LossHead::default(), AdamConfig::default());
    let x = Array4::from_shape_fn((batch, size, size, data.channels), |(n, h, w, _)| {
        ((n + h * w) % 7) as f32 - 3.0
    });
    let labels: Vec<u32> = (0..batch).map(|image| (image % n_classes) as u32).collect();
    let schedule = OneCycle::new(1e-3, 1_000);
    let mut take = |step_idx: u64| {
        step.take(
            &x,
            &labels,
            schedule.at(step_idx as usize),
            Pass::Train { seed: 0, step: step_idx, shard: 0 },
        );
    };
    let (mut start, mut n_timed) = (Instant::now(), 0);
    for step_idx in 0..WARM_UP + TIMED {
        if is_cancelled() {
            return None;
        }
        if step_idx == WARM_UP {
            (start, n_timed) = (Instant::now(), 0);
        }
        take(step_idx);
        n_timed += 1;
        if step_idx >= WARM_UP && start.elapsed() > LONGEST {
            break;
        }
    }
    let per_image = start.elapsed().as_secs_f64() / (n_timed * batch as u64) as f64;
    // Validation and the batch norms of averaged weights, a few per cent, are not included.
    Some(per_image * (n_train * config.epochs(n_train)) as f64)
}
