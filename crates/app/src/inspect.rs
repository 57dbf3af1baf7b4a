//! `roentgen inspect`, the data doctor: what is in the data, what is wrong with them, and how long training will take.
//!
//! A run says the same at its start, in a few lines, and keeps the whole of it as `data.json`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ndarray::Array4;
use roentgen_data::{
    Dataset, Findings, ImageSet, Leak, Part, PatientSource, Patients, Place, default_val_fraction,
};
use roentgen_layers::{LossHead, Pass, ResNet9, ResNet9Config};
use roentgen_optim::{AdamConfig, OneCycle};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::TrainConfig;
use crate::error::AppError;
use crate::screen::{Screen, counted, duration};
use crate::step::TrainingStep;
use crate::tables;
use crate::train;

/// Lines of a list on the screen; `--json` and `data.json` have all.
const SHOWN: usize = 12;
/// Pictures of a class below which that is said.
const RARE: usize = 10;
/// Times as many pictures in the largest class as in the smallest from which on that is said.
const IMBALANCE: f64 = 3.0;

/// What `--json` prints and `data.json` holds.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Pictures per part and class.
    parts: Map<String, Value>,
    /// Files that cannot be used.
    bad: Vec<Bad>,
    /// Groups of pictures that show the same.
    duplicates: Vec<Vec<String>>,
    /// Those of them whose pictures stand under more than one class.
    conflicts: Vec<Vec<Labelled>>,
    /// Pictures of one part that also stand in another.
    leaks: Vec<LeakLine>,
    patients: PatientLines,
    /// 1 for grey, 3 for colour.
    channels: usize,
    /// Pictures by size as stored, such as `28x28`, for the most frequent sizes.
    sizes: Map<String, Value>,
    /// Pictures by bits of a channel.
    bit_depths: BTreeMap<u8, usize>,
    /// Pictures stored in grey, and in colour.
    stored_grey: usize,
    stored_colour: usize,
    /// Largest class over smallest, in the training part.
    imbalance: Option<f64>,
    /// Seconds that training with these settings would take on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_seconds: Option<f64>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Bad {
    path: String,
    reason: String,
}

/// A picture with its class.
#[derive(Clone, Debug, Serialize)]
struct Labelled {
    path: String,
    class: String,
}

#[derive(Clone, Debug, Serialize)]
struct LeakLine {
    path: String,
    part: &'static str,
    twin: String,
    twin_part: &'static str,
    similarity: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct PatientLines {
    /// What tells them; null where nothing does.
    source: Option<String>,
    n: usize,
    /// Pictures without one.
    n_unknown: usize,
    crossing: Vec<String>,
}

impl Inspection {
    /// What is known of a data set.
    #[must_use]
    pub fn of(data: &Dataset) -> Self {
        let Findings { duplicates, leaks, patients, bad, notes, .. } = &data.findings;
        let sets = parts_of(data);
        let facts = || sets.iter().flat_map(|(_, set)| (0..set.len()).filter_map(|index| set.facts(index)));
        let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        let mut bit_depths = BTreeMap::new();
        for facts in facts() {
            *sizes.entry((facts.width, facts.height)).or_default() += 1;
            *bit_depths.entry(facts.bit_depth).or_default() += 1;
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by_key(|&(size, count)| (std::cmp::Reverse(count), size));
        let sizes = sizes.iter().take(SHOWN).map(|((w, h), count)| (format!("{w}x{h}"), Value::from(*count)));
        let stored_colour = facts().filter(|facts| facts.channels > 2).count();
        Self {
            parts: sets.iter().map(|(part, set)| (part.name().to_owned(), counts(data, set))).collect(),
            bad: bad
                .iter()
                .map(|bad| Bad { path: bad.path.display().to_string(), reason: bad.reason.clone() })
                .collect(),
            duplicates: duplicates
                .iter()
                .map(|group| group.iter().map(|place| place.path.clone()).collect())
                .collect(),
            conflicts: conflicts(data),
            leaks: leaks.iter().map(LeakLine::of).collect(),
            patients: match patients {
                Some(Patients { source, n, n_unknown, crossing }) => PatientLines {
                    source: Some(source.to_string()),
                    n: *n,
                    n_unknown: *n_unknown,
                    crossing: crossing.clone(),
                },
                None => PatientLines { n_unknown: facts().count(), ..PatientLines::default() },
            },
            channels: data.channels,
            sizes: sizes.collect(),
            bit_depths,
            stored_grey: facts().count() - stored_colour,
            stored_colour,
            imbalance: imbalance(data),
            train_seconds: None,
            notes: notes.clone(),
        }
    }
}

impl LeakLine {
    fn of(leak: &Leak) -> Self {
        let Leak { picture, twin, similarity } = leak;
        Self {
            path: picture.path.clone(),
            part: picture.part.name(),
            twin: twin.path.clone(),
            twin_part: twin.part.name(),
            similarity: *similarity,
        }
    }
}

/// The parts that have pictures.
fn parts_of(data: &Dataset) -> Vec<(Part, &ImageSet)> {
    let sets = [(Part::Train, &data.train), (Part::Val, &data.val), (Part::Test, &data.test)];
    sets.into_iter().filter(|(_, set)| !set.is_empty()).collect()
}

fn counts(data: &Dataset, set: &ImageSet) -> Value {
    let counts = set.class_counts(data.class_names.len());
    let counts = data.class_names.iter().cloned().zip(counts.into_iter().map(Value::from));
    Value::Object(counts.collect())
}

/// The groups of copies that stand under more than one class.
fn conflicts(data: &Dataset) -> Vec<Vec<Labelled>> {
    if data.findings.duplicates.is_empty() {
        return Vec::new();
    }
    let mut classes = BTreeMap::new();
    for (part, set) in parts_of(data) {
        for (index, &label) in set.labels().iter().enumerate() {
            classes.insert((part, set.name(index)), data.class_names[label as usize].as_str());
        }
    }
    let class = |place: &Place| classes.get(&(place.part, place.path.as_str())).copied().unwrap_or_default();
    let differ = |group: &&Vec<Place>| group.iter().any(|place| class(place) != class(&group[0]));
    let labelled = |place: &Place| Labelled { path: place.path.clone(), class: class(place).to_owned() };
    let groups = data.findings.duplicates.iter().filter(differ);
    groups.map(|group| group.iter().map(labelled).collect()).collect()
}

fn imbalance(data: &Dataset) -> Option<f64> {
    let counts = data.train.class_counts(data.class_names.len());
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (*least > 0).then(|| *most as f64 / *least as f64)
}

/// Inspects the data of `config`.
///
/// # Errors
/// Whatever makes the data unusable as a whole; single bad files are part of what is found.
pub fn run(config: &TrainConfig, screen: &Screen) -> Result<(), AppError> {
    // As given: what a run would split off is not yet a part.
    let as_given =
        TrainConfig { skip_bad: true, val_fraction: Some(0.0), test_fraction: 0.0, ..config.clone() };
    let (data, source) = train::read(&as_given, screen)?;
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

/// Classes that a part split off may have no picture of.
fn rare_note(data: &Dataset) -> Option<String> {
    let counts = data.train.class_counts(data.class_names.len());
    let rare = data.class_names.iter().zip(counts).filter(|(_, count)| *count < RARE);
    let rare: Vec<String> = rare.map(|(class, count)| format!("`{class}` ({count})")).collect();
    let more = if rare.len() > SHOWN { ", ..." } else { "" };
    let named = rare[..rare.len().min(SHOWN)].join(", ");
    (!rare.is_empty()).then(|| {
        format!(
            "fewer than {RARE} pictures to train on: {named}{more}; add some, or figures on them tell little"
        )
    })
}

/// Share of the training part, as given, that a run will validate on where there is no part for it.
fn val_fraction(config: &TrainConfig, data: &Dataset) -> f64 {
    config.val_fraction.unwrap_or_else(|| default_val_fraction(data.train.len()))
}

/// What a run will take from the training part.
fn split_off_note(config: &TrainConfig, data: &Dataset) -> Option<String> {
    let missing =
        [("val", &data.val, val_fraction(config, data)), ("test", &data.test, config.test_fraction)];
    let missing = missing.into_iter().filter(|(_, set, fraction)| set.is_empty() && *fraction > 0.0);
    let told: Vec<String> = missing
        .map(|(part, _, fraction)| {
            format!("{:.0} % as the {part} part (--{part}-fraction)", 100.0 * fraction)
        })
        .collect();
    (!told.is_empty())
        .then(|| format!("`train` will split off {}; patients and copies stay together", told.join(" and ")))
}

/// How pictures are stored, and how even the classes are.
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
            "the largest has {ratio:.1} times as many pictures as the smallest; look at the recall of each, and \
             consider --prior balanced or, stronger, --class-weights balanced"
        );
        screen.field("classes", &text);
    }
}

/// Patients, copies and leaks, in a few lines.
pub fn show_findings(screen: &Screen, data: &Dataset) {
    let findings = &data.findings;
    if let Some(patients) = &findings.patients {
        let unknown = match patients.n_unknown {
            0 => String::new(),
            n => format!("; {} without one count each for itself", counted(n, "picture")),
        };
        let kept = match &patients.source {
            PatientSource::FileNames(_) => "; --patient-pattern for another rule",
            _ => "",
        };
        screen.field("patients", &format!("{} known by {}{unknown}{kept}", patients.n, patients.source));
        if !patients.crossing.is_empty() {
            let n = patients.crossing.len();
            let named = patients.crossing[..n.min(SHOWN)].join(", ");
            let more = if n > SHOWN { ", ..." } else { "" };
            let text =
                format!("{} with pictures in more than one part: {named}{more}", counted(n, "patient"));
            screen.field("LEAK", &text);
        }
    }
    let groups = &findings.duplicates;
    if !groups.is_empty() {
        let n_pictures: usize = groups.iter().map(Vec::len).sum();
        let text = format!(
            "{} of pictures that show the same, {n_pictures} pictures in all; no split takes one apart",
            counted(groups.len(), "group")
        );
        screen.field("copies", &text);
        let inside: Vec<&Vec<Place>> =
            groups.iter().filter(|group| group.iter().all(|place| place.part == group[0].part)).collect();
        for group in inside.iter().take(SHOWN / 2) {
            let paths: Vec<&str> = group.iter().take(4).map(|place| place.path.as_str()).collect();
            let more = if group.len() > 4 { ", ..." } else { "" };
            screen.field("", &format!("{}{more}", paths.join(" = ")));
        }
        if inside.len() > SHOWN / 2 {
            screen.field("", &format!("and {} more", counted(inside.len() - SHOWN / 2, "group")));
        }
    }
    let conflicts = conflicts(data);
    if !conflicts.is_empty() {
        let text = format!(
            "{} of copies under more than one class: at most one of the labels is right; mend or remove them:",
            counted(conflicts.len(), "group")
        );
        screen.field("LABELS", &text);
        for group in conflicts.iter().take(SHOWN) {
            let paths: Vec<String> =
                group.iter().take(4).map(|Labelled { path, class }| format!("{path} ({class})")).collect();
            let more = if group.len() > 4 { ", ..." } else { "" };
            screen.field("", &format!("{}{more}", paths.join(" = ")));
        }
        if conflicts.len() > SHOWN {
            screen.field("", &format!("and {} more", counted(conflicts.len() - SHOWN, "group")));
        }
    }
    let leaks = &findings.leaks;
    if !leaks.is_empty() {
        let mut leaked: Vec<&Place> = leaks.iter().map(|leak| &leak.picture).collect();
        leaked.dedup();
        let text = format!("{} also in an earlier part; --strict refuses such data:", stands(leaked.len()));
        screen.field("LEAK", &text);
        for Leak { picture, twin, similarity } in leaks.iter().take(SHOWN) {
            screen.field("", &format!("{} = {} ({similarity:.3})", picture.path, twin.path));
        }
        if leaks.len() > SHOWN {
            screen.field(
                "",
                &format!("and {} more, in data.json and --json", counted(leaks.len() - SHOWN, "pair")),
            );
        }
    }
    let clean = &findings.clean_test;
    if !clean.is_empty() && !clean.contains(&true) {
        let text = "no test picture is new: each of them, or its patient, stands in an earlier part. Figures on them \
                    say nothing about other pictures; test on others";
        screen.field("LEAK", text);
    }
}

/// Refuses data whose parts share pictures or patients.
///
/// # Errors
/// [`AppError::Leaks`] with all of them.
pub fn refuse_leaks(findings: &Findings) -> Result<(), AppError> {
    let pairs =
        findings.leaks.iter().map(|Leak { picture, twin, .. }| format!("  {} = {}", picture.path, twin.path));
    let crossing = findings.patients.iter().flat_map(|patients| &patients.crossing);
    let patients = crossing.map(|patient| format!("  patient {patient} has pictures in more than one part"));
    let list: Vec<String> = pairs.chain(patients).collect();
    if list.is_empty() { Ok(()) } else { Err(AppError::Leaks { list: list.join("\n") }) }
}

fn stands(n: usize) -> String {
    if n == 1 { "1 picture stands".to_owned() } else { format!("{n} pictures stand") }
}

/// Seconds of a training run over `n_train` pictures, from a few steps on made up pictures.
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
    // Validation and the batch norms of an average are some per cent on top.
    per_image * (n_train * config.epochs(n_train)) as f64
}
