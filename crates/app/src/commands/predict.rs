//! `roentgen predict`: class and probability of each picture, for as many as there are.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use roentgen_data::{LoadOptions, LoadedFiles, find_files, load_files};
use roentgen_layers::ResNet9;
use serde::Serialize;

use crate::error::AppError;
use crate::model::image_prediction::{ImagePrediction, predict_images};
use crate::model::model_file::{self, ModelCard};
use crate::terminal::screen::{Screen, counted, table};

/// Files that are read and answered together: what memory is needed, and how soon the first answer comes.
const CHUNK: usize = 1024;
/// Stands for the standard input.
const STDIN: &str = "-";

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A table to read.
    Text,
    /// A JSON object per line.
    JsonLines,
    /// Comma-separated values under a heading.
    Csv,
}

/// The answer about one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// It was read.
    Answered {
        /// As it was given.
        path: String,
        /// What the model takes it for.
        class: String,
        /// How likely that is.
        probability: f64,
        /// By class.
        probabilities: BTreeMap<String, f64>,
        /// By class, before calibration and softmax.
        logits: BTreeMap<String, f32>,
        /// Whether nothing of that is to be believed, because the picture is unlike all that the model knows.
        refused: bool,
        /// Why, if so.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// It could not be read.
    Failed {
        /// As it was given.
        path: String,
        /// Why.
        error: String,
    },
}

impl Line {
    fn new(path: &Path, class_names: &[String], prediction: &ImagePrediction) -> Self {
        let ImagePrediction { class, probabilities, logits, reject_reason } = prediction;
        let names = || class_names.iter().cloned();
        Self::Answered {
            path: path.display().to_string(),
            class: class_names[*class].clone(),
            probability: probabilities[*class],
            probabilities: names().zip(probabilities.iter().copied()).collect(),
            logits: names().zip(logits.iter().copied()).collect(),
            refused: reject_reason.is_some(),
            reason: *reject_reason,
        }
    }

    /// Calls the picture that came from the standard input, and was kept in the folder `piped`, what the user did.
    fn name_stdin(&mut self, piped: &Path) {
        let (Self::Answered { path, .. } | Self::Failed { path, .. }) = self;
        if Path::new(path).starts_with(piped) {
            STDIN.clone_into(path);
        }
    }
}

/// Answers about `inputs`: files, folders, or `-` for the standard input.
///
/// # Errors
/// For a file that is no model; and [`AppError::NotAllRead`] when all others are answered.
pub(crate) fn run(model: &Path, inputs: &[PathBuf], form: Form, screen: &Screen) -> Result<(), AppError> {
    let (model, card) = model_file::read(model)?;
    let piped =
        tempfile::tempdir().map_err(|source| AppError::Write { path: std::env::temp_dir(), source })?;
    let paths = expand(inputs, piped.path())?;
    if card.novelty.is_none() {
        screen.note("note", "this model does not know when to refuse: it was not kept at the end of a run");
    }
    let bar = screen.bar(paths.len());
    bar.set_prefix("predicting");
    let mut writer = Writer::new(form, &card);
    let (mut n_failed, mut n_rejected) = (0, 0);
    for chunk in paths.chunks(CHUNK) {
        let mut lines = answer(&model, &card, chunk);
        lines.iter_mut().for_each(|line| line.name_stdin(piped.path()));
        n_failed += lines.iter().filter(|line| matches!(line, Line::Failed { .. })).count();
        n_rejected +=
            lines.iter().filter(|line| matches!(line, Line::Answered { refused: true, .. })).count();
        bar.inc(chunk.len() as u64);
        match bar.suspend(|| writer.write(&lines)) {
            // A reader that went away (`| head`) has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => {
                written.map_err(|source| AppError::Write { path: "standard output".into(), source })?
            }
        }
    }
    bar.finish_and_clear();
    if n_rejected > 0 {
        screen.note("refused", &format!("{} unlike the training pictures", counted(n_rejected, "picture")));
    }
    if n_failed > 0 {
        return Err(AppError::NotAllRead { n_failed, n: paths.len() });
    }
    Ok(())
}

/// What the model says of each file.
#[must_use]
pub(crate) fn answer(model: &ResNet9, card: &ModelCard, paths: &[PathBuf]) -> Vec<Line> {
    let LoadedFiles { images, by_path } =
        load_files(paths, card.channels, &card.image_options(), &roentgen_data::silent);
    let predictions = predict_images(model, card, &images);
    let of_each = paths.iter().zip(by_path);
    of_each
        .map(|(path, image)| match image {
            Ok(image) => Line::new(path, &card.class_names, &predictions[image]),
            Err(error) => Line::Failed { path: path.display().to_string(), error },
        })
        .collect()
}

/// The files that the inputs stand for. What does not exist stays, to be named among the answers.
fn expand(inputs: &[PathBuf], piped: &Path) -> Result<Vec<PathBuf>, AppError> {
    let mut paths = Vec::new();
    for input in inputs {
        if input.as_os_str() == STDIN {
            paths.extend(from_stdin(piped)?);
        } else if input.is_dir() {
            let found = find_files(input)?;
            if found.is_empty() {
                return Err(AppError::NoPictures { path: input.clone() });
            }
            paths.extend(found);
        } else {
            paths.push(input.clone());
        }
    }
    Ok(paths)
}

/// One picture, which is put into the folder `piped`; or paths, a line each.
fn from_stdin(piped: &Path) -> Result<Vec<PathBuf>, AppError> {
    let unreadable = |source| AppError::StdinUnreadable { source };
    let mut input = stdin().lock();
    let first = input.fill_buf().map_err(unreadable)?;
    if first.is_empty() {
        return Err(unreadable(io::Error::other("nothing came; send a picture, or paths, a line each")));
    }
    let extension = match first {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xFF, 0xD8, ..] => Some("jpg"),
        _ => None,
    };
    let Some(extension) = extension else {
        let lines: Result<Vec<String>, _> = input.lines().collect();
        let lines = lines.map_err(unreadable)?;
        return Ok(lines
            .iter()
            .map(|line| line.trim_end_matches('\r'))
            .filter(|l| !l.is_empty())
            .map(PathBuf::from)
            .collect());
    };
    let path = piped.join(format!("stdin.{extension}"));
    let limit = LoadOptions::default().limits.file_bytes + 1;
    let mut bytes = Vec::new();
    input.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    std::fs::write(&path, bytes).map_err(|source| AppError::Write { path: path.clone(), source })?;
    Ok(vec![path])
}

/// Puts lines on the standard output.
struct Writer<'a> {
    form: Form,
    card: &'a ModelCard,
    is_first: bool,
}

impl<'a> Writer<'a> {
    fn new(form: Form, card: &'a ModelCard) -> Self {
        Self { form, card, is_first: true }
    }

    fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut out = stdout().lock();
        match self.form {
            Form::JsonLines => {
                for line in lines {
                    serde_json::to_writer(&mut out, line)?;
                    writeln!(out)?;
                }
            }
            Form::Text => {
                let (rows, remarks): (Vec<_>, Vec<_>) = lines.iter().map(text).unzip();
                for (line, remark) in table(&rows).iter().zip(remarks) {
                    writeln!(out, "{line}{remark}")?;
                }
            }
            Form::Csv => {
                let mut csv = csv::Writer::from_writer(&mut out);
                if self.is_first {
                    let names = self.card.class_names.iter().map(|name| format!("p({name})"));
                    let fixed = ["path", "class", "probability", "refused", "error"].map(str::to_owned);
                    csv.write_record(fixed.into_iter().chain(names))?;
                }
                lines.iter().try_for_each(|line| csv.write_record(self.row_of_csv(line)))?;
                csv.flush()?;
            }
        }
        self.is_first = false;
        out.flush()
    }

    fn row_of_csv(&self, line: &Line) -> Vec<String> {
        let names = &self.card.class_names;
        match line {
            Line::Answered { path, class, probability, probabilities, refused, .. } => {
                let fixed = [
                    path.clone(),
                    class.clone(),
                    probability.to_string(),
                    refused.to_string(),
                    String::new(),
                ];
                fixed.into_iter().chain(names.iter().map(|name| probabilities[name].to_string())).collect()
            }
            Line::Failed { path, error } => {
                let empty = String::new;
                let fixed = [path.clone(), empty(), empty(), empty(), error.clone()];
                fixed.into_iter().chain(names.iter().map(|_| empty())).collect()
            }
        }
    }
}

/// The columns of a line to read, and what follows them.
fn text(line: &Line) -> (Vec<String>, String) {
    match line {
        Line::Answered { path, class, probability, reason, .. } => {
            let remark = reason.map(|reason| format!("  refused: {reason}")).unwrap_or_default();
            (vec![path.clone(), class.clone(), format!("{:.1} %", 100.0 * probability)], remark)
        }
        Line::Failed { path, error } => (vec![path.clone()], format!("  error: {error}")),
    }
}
