//! `roentgen predict`: predicted class and probability of each image, for any number of images.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use roentgen_data::{
    ClassMapping, FileCounts, ImageSource, LoadOptions, LoadedFiles, find_all_files, is_image,
    is_listed_image, without_masks,
};
use serde::Serialize;

use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::batch_summary::BatchSummary;
use crate::model::image_prediction::{ImagePrediction, predict_images};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::shift::{MIN_IMAGES, Shift, has_enough_validation_images};
use crate::model::trained_model::Model;
use crate::run_dir::error::WriteError;
use crate::terminal::foreign_text::{csv_cell, error_line, printable_json};
use crate::terminal::probability::{REJECTED, probability_text};
use crate::terminal::screen::{Screen, counted, table};

/// Files that are read and predicted together: more need more memory, and delay the first prediction.
const CHUNK: usize = 1024;
/// Most bytes of a list of paths on the standard input: a million long paths.
const MAX_LIST_BYTES: u64 = 1 << 28;
/// The argument that means the standard input.
const STDIN: &str = "-";
/// An image is recognised by at most so many bytes.
const FIRST_BYTES: u64 = 256;

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// A table to read.
    Text,
    /// A JSON object per line.
    JsonLines,
    /// Comma-separated values under a heading.
    Csv,
}

/// The result for one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub(crate) enum FileResult {
    /// The file was read.
    Predicted {
        /// The path as given.
        path: String,
        /// The predicted class; null for a rejected image.
        class: Option<String>,
        /// The probability of the predicted class; null for a rejected image.
        probability: Option<f64>,
        /// The score of each class, of a rejected image too: its probability, if the image is one of a known class.
        probabilities: BTreeMap<String, f64>,
        /// The logit of each class, before calibration and softmax.
        logits: BTreeMap<String, f32>,
        /// Whether the image is out of distribution.
        rejected: bool,
        /// Why it is rejected.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// The file could not be read.
    Failed {
        /// The path as given.
        path: String,
        /// Why.
        error: String,
    },
}

impl FileResult {
    /// Of a file with this path and the prediction for it, or the reason why it cannot be used.
    pub(crate) fn new(
        path: String,
        class_names: &[String],
        prediction: Result<&ImagePrediction, String>,
    ) -> Self {
        let prediction = match prediction {
            Ok(prediction) => prediction,
            Err(error) => return Self::Failed { path, error: error_line(&error) },
        };
        let ImagePrediction { class, probabilities, logits, reject_reason } = prediction;
        let names = || class_names.iter().cloned();
        let is_rejected = reject_reason.is_some();
        Self::Predicted {
            path,
            class: (!is_rejected).then(|| class_names[*class].clone()),
            probability: (!is_rejected).then(|| probabilities[*class]),
            probabilities: names().zip(probabilities.iter().copied()).collect(),
            logits: names().zip(logits.iter().copied()).collect(),
            rejected: is_rejected,
            reason: *reject_reason,
        }
    }
}

/// Predicts `inputs`: files, folders, or `-` for the standard input.
///
/// # Errors
/// If `model` is not a model file; and [`CommandError::NotAllRead`] after all other files have been predicted.
pub(crate) fn run(
    model: &Path,
    inputs: &[PathBuf],
    format: OutputFormat,
    screen: &Screen,
) -> Result<(), AppError> {
    let model = model_file::read(model)?;
    let card = &model.card;
    let (sources, n_masks) = expand(inputs, card)?;
    if let Some(text) = card.missing_detector_in_words() {
        screen.note("note", &text);
    }
    if n_masks > 0 {
        let left_out = counted(n_masks, "file");
        let text = format!(
            "left out {left_out} in folders of masks, as in training; name such a folder itself to predict its images"
        );
        screen.note("note", &text);
    }
    let bar = screen.bar(sources.len());
    bar.set_prefix("predicting");
    let mut writer = Writer::new(format, card);
    let mut summary = BatchSummary::new(card.class_names.len());
    let (mut failures, mut counts, mut n_trained) = (Failures::default(), FileCounts::default(), 0);
    for chunk in sources.chunks(CHUNK) {
        let PredictedFiles { results, counts: of_chunk, n_trained: n_of_chunk } =
            predict_files(&model, chunk, &mut summary);
        counts.add(of_chunk);
        n_trained += n_of_chunk;
        failures.add(&results);
        bar.inc(chunk.len() as u64);
        match bar.suspend(|| writer.write(&results)) {
            // A reader that went away (`| head`) has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|source| WriteError { path: "standard output".into(), source })?,
        }
    }
    bar.finish_and_clear();
    counts.notes(&card.image_options()).iter().for_each(|note| screen.note("note", &note.text));
    if summary.n_rejected() > 0 {
        let n = counted(summary.n_rejected(), "image");
        screen.note("rejected", &format!("{n} unlike the training images"));
    }
    // A model without a detector has had its note above.
    let is_compared = card.ood_detector.is_none() || has_enough_validation_images(card);
    if summary.n_images() >= MIN_IMAGES && !is_compared {
        let text = format!(
            "this model has fewer than {MIN_IMAGES} validation images, so these images were not compared with them"
        );
        screen.note("note", &text);
    }
    show_shift(Shift::of(&summary, card), n_trained, format, screen)?;
    failures.report(sources.len(), screen)
}

/// How many files have no prediction, by extension and reason.
#[derive(Default)]
struct Failures(BTreeMap<(String, String), usize>);

impl Failures {
    fn add(&mut self, results: &[FileResult]) {
        for result in results {
            if let FileResult::Failed { path, error } = result {
                let extension = Path::new(path).extension().unwrap_or_default().to_string_lossy();
                *self.0.entry((extension.to_lowercase(), kind_of(error).to_owned())).or_default() += 1;
            }
        }
    }

    /// Shows the numbers.
    ///
    /// # Errors
    /// [`CommandError::NotAllRead`] if there are any.
    fn report(&self, n: usize, screen: &Screen) -> Result<(), AppError> {
        for ((extension, kind), count) in &self.0 {
            let named = match extension.as_str() {
                "" => "without extension".to_owned(),
                extension => format!(".{extension}"),
            };
            screen.note("unread", &format!("{} {named}: {kind}", counted(*count, "file")));
        }
        match self.0.values().sum() {
            0 => Ok(()),
            n_failed => Err(CommandError::NotAllRead { n_failed, n }.into()),
        }
    }
}

/// A reason without what differs between files.
fn kind_of(reason: &str) -> &str {
    let kind = reason.split(';').next().unwrap_or(reason);
    let has_detail = ["damaged", "truncated", "too large", "cannot be read"];
    if has_detail.iter().any(|kind| reason.starts_with(kind)) {
        return kind.split(':').next().unwrap_or(kind);
    }
    kind
}

/// Shows whether the images, of which `n_trained` are training images, differ from the validation images, taken together; as the
/// last line of JSON.
fn show_shift(
    shift: Option<Shift>,
    n_trained: usize,
    format: OutputFormat,
    screen: &Screen,
) -> Result<(), WriteError> {
    let Some(shift) = shift else { return Ok(()) };
    if shift.detected {
        screen.note("SHIFT", &shift.in_words(n_trained));
    }
    if format == OutputFormat::JsonLines {
        let line = printable_json(&serde_json::json!({ "shift": shift }).to_string());
        match writeln!(stdout().lock(), "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.map_err(|source| WriteError { path: "standard output".into(), source })?,
        }
    }
    Ok(())
}

/// Files that are predicted.
#[derive(Debug)]
pub(crate) struct PredictedFiles {
    /// One for each file.
    pub results: Vec<FileResult>,
    /// How many files are unusual.
    pub counts: FileCounts,
    /// How many images are known to be training images of the model.
    pub n_trained: usize,
}

/// Predicts each file, and adds its image to `summary`.
#[must_use]
pub(crate) fn predict_files(
    model: &Model,
    sources: &[ImageSource],
    summary: &mut BatchSummary,
) -> PredictedFiles {
    let LoadedFiles { images, by_source, counts } = model.card.read_images(sources);
    let predictions = predict_images(model, &images, summary);
    let n_trained = model.card.fitted_digests().count(&images);
    let of_each = sources.iter().map(ImageSource::name).zip(by_source);
    let results = of_each.map(|(path, image)| {
        FileResult::new(path, &model.card.class_names, image.map(|image| &predictions[image]))
    });
    PredictedFiles { results: results.collect(), counts, n_trained }
}

/// All files of all inputs. Those that are no images, or missing, stay in the list, so that the output names them; those in folders
/// of masks inside the inputs do not, and are counted.
fn expand(inputs: &[PathBuf], card: &ModelCard) -> Result<(Vec<ImageSource>, usize), AppError> {
    let mapping: Option<ClassMapping> = card.class_mapping.as_deref().and_then(|text| text.parse().ok());
    let mapping = mapping.unwrap_or_default();
    let (mut sources, mut n_masks) = (Vec::new(), 0);
    for input in inputs {
        if input.as_os_str() == STDIN {
            sources.extend(from_stream(stdin().lock())?);
        } else if input.is_dir() {
            let files = find_all_files(input)?;
            if !files.iter().any(|file| is_listed_image(file)) {
                return Err(CommandError::NoImages { path: input.clone() }.into());
            }
            let (files, n_masks_below) = without_masks(files, input, &card.class_names, &mapping);
            n_masks += n_masks_below;
            sources.extend(files.into_iter().map(ImageSource::File));
        } else {
            sources.push(ImageSource::File(input.clone()));
        }
    }
    Ok((sources, n_masks))
}

/// What comes through the standard input: either one image, or paths, one a line.
fn from_stream(mut input: impl Read) -> Result<Vec<ImageSource>, AppError> {
    let unreadable = |source| CommandError::StdinUnreadable { source };
    // A pipe may give a few bytes at a time.
    let mut first = Vec::new();
    input.by_ref().take(FIRST_BYTES).read_to_end(&mut first).map_err(unreadable)?;
    let is_image = is_image(&first);
    let input = Cursor::new(first).chain(input);
    if !is_image {
        let mut list = String::new();
        input.take(MAX_LIST_BYTES + 1).read_to_string(&mut list).map_err(unreadable)?;
        if list.len() as u64 > MAX_LIST_BYTES {
            let reason = format!("the list of paths has more than {MAX_LIST_BYTES} bytes; send it in parts");
            return Err(unreadable(io::Error::other(reason)).into());
        }
        let lines = list.trim_start_matches('\u{feff}').lines().filter(|line| !line.is_empty());
        let sources: Vec<_> = lines.map(|line| ImageSource::File(line.into())).collect();
        if sources.is_empty() {
            let reason = "it is empty; send an image, or paths, one a line";
            return Err(unreadable(io::Error::other(reason)).into());
        }
        return Ok(sources);
    }
    let limit = LoadOptions::default().limits.file_bytes + 1;
    let mut bytes = Vec::new();
    input.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(vec![ImageSource::Bytes { name: STDIN.to_owned(), bytes }])
}

/// Writes results to the standard output.
struct Writer<'a> {
    format: OutputFormat,
    card: &'a ModelCard,
    is_first: bool,
}

impl<'a> Writer<'a> {
    fn new(format: OutputFormat, card: &'a ModelCard) -> Self {
        Self { format, card, is_first: true }
    }

    fn write(&mut self, results: &[FileResult]) -> io::Result<()> {
        let mut out = stdout().lock();
        match self.format {
            OutputFormat::JsonLines => {
                for result in results {
                    writeln!(out, "{}", printable_json(&serde_json::to_string(result)?))?;
                }
            }
            OutputFormat::Text => {
                let (rows, remarks): (Vec<_>, Vec<_>) = results.iter().map(text).unzip();
                for (line, remark) in table(&rows).iter().zip(remarks) {
                    writeln!(out, "{line}{remark}")?;
                }
            }
            OutputFormat::Csv => {
                let mut csv = csv::Writer::from_writer(&mut out);
                if self.is_first {
                    let names = self.card.class_names.iter().map(|name| format!("p({name})"));
                    let fixed =
                        ["path", "class", "probability", "rejected", "reason", "error"].map(str::to_owned);
                    csv.write_record(fixed.into_iter().chain(names).map(|name| csv_cell(&name)))?;
                }
                for result in results {
                    csv.write_record(self.csv_row(result).iter().map(|cell| csv_cell(cell)))?;
                }
                csv.flush()?;
            }
        }
        self.is_first = false;
        out.flush()
    }

    fn csv_row(&self, result: &FileResult) -> Vec<String> {
        let names = &self.card.class_names;
        match result {
            FileResult::Predicted { path, class, probability, probabilities, rejected, reason, .. } => {
                let probability = probability.map(|p| p.to_string()).unwrap_or_default();
                let (rejected_cell, reason) = (rejected.to_string(), reason.unwrap_or_default().to_owned());
                let class = class.clone().unwrap_or_default();
                let fixed = [path.clone(), class, probability, rejected_cell, reason, String::new()];
                // Who reads a table takes the largest column for the class.
                let scores = names.iter().map(|name| match rejected {
                    true => String::new(),
                    false => probabilities[name].to_string(),
                });
                fixed.into_iter().chain(scores).collect()
            }
            FileResult::Failed { path, error } => {
                let empty = String::new;
                let fixed = [path.clone(), empty(), empty(), empty(), empty(), error.clone()];
                fixed.into_iter().chain(names.iter().map(|_| empty())).collect()
            }
        }
    }
}

/// The columns of a result in the table, and the remark behind them.
fn text(result: &FileResult) -> (Vec<String>, String) {
    match result {
        FileResult::Predicted { path, class, probability, reason, .. } => {
            let remark = reason.map(|reason| format!("  {reason}")).unwrap_or_default();
            let probability = probability.map(probability_text).unwrap_or_default();
            let class = class.as_deref().unwrap_or(REJECTED).to_owned();
            (vec![path.clone(), class, probability], remark)
        }
        FileResult::Failed { path, error } => (vec![path.clone()], format!("  error: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that gives a byte at a time.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(1);
            self.0.read(&mut buffer[..n])
        }
    }

    fn received(bytes: &[u8]) -> Vec<ImageSource> {
        from_stream(Trickle(Cursor::new(bytes.to_vec()))).expect("an image or a list")
    }

    #[test]
    fn an_image_is_recognised_however_the_pipe_cuts_it() {
        let dicom = [&[0; 128][..], b"DICM", &[7; 300]].concat();
        for image in [&dicom[..], b"\x89PNG\r\n\x1a\n and more"] {
            let found = received(image);
            assert!(matches!(&found[..], [ImageSource::Bytes { bytes, .. }] if bytes == image), "{found:?}");
        }
        // A BMP begins with BM, too.
        for list in ["\u{feff}films/1.png\nfilms/2.png\n", "BM/1.png\nBM/2.png\nBM.png"] {
            let found = received(list.as_bytes());
            assert!(
                matches!(&found[..], [ImageSource::File(a), ImageSource::File(_), ..] if a.ends_with("1.png")),
                "{found:?}"
            );
        }
    }
}
