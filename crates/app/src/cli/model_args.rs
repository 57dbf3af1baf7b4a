//! The flags of the commands that use a trained model. The model is the first argument, or the value of `--model`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::OutputArgs;
use super::setting_flags::{Accepts, NameLists, SettingFlags, ThreadsOnly};
use crate::commands::predict::OutputFormat;
use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::config::unused::TABLE;

/// A model by itself.
#[derive(Debug, Args)]
pub(super) struct ModelArg {
    /// The model: a run folder, or a model.safetensors file
    #[arg(value_name = "MODEL", required_unless_present = "model", conflicts_with = "model")]
    argument: Option<PathBuf>,
    /// Same as the argument MODEL
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
}

impl ModelArg {
    pub(super) fn path(&self) -> &Path {
        self.argument.as_deref().or(self.model.as_deref()).expect("clap requires one of them")
    }
}

/// A model and what follows it; with `--model`, every argument is what follows.
fn model_and_rest<'a>(
    flag: Option<&'a Path>,
    arguments: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(&'a Path, Vec<PathBuf>), ConfigError> {
    let mut arguments = arguments.into_iter().map(PathBuf::as_path).peekable();
    let is_model = |path: &&Path| path.extension().is_some_and(|ending| ending == "safetensors");
    if flag.is_some() && arguments.peek().is_some_and(is_model) {
        let reason = "the model is given twice; leave one of them out";
        return Err(ConfigError::Conflict { first: "MODEL", second: "--model", reason });
    }
    let model = flag.or_else(|| arguments.next()).expect("clap requires the flag or an argument");
    Ok((model, arguments.map(Path::to_owned).collect()))
}

const EVALUATE_USAGE: &str = "\
roentgen evaluate [OPTIONS] <MODEL> [DATA]
       roentgen evaluate [OPTIONS] --model <MODEL> [DATA]";

const EVALUATE_EXAMPLES: &str = "\
Examples:
  roentgen evaluate runs/a films
  roentgen evaluate runs/a films --json --quiet";

/// The settings of `evaluate`.
#[derive(Debug)]
pub(super) struct EvaluateSettings;

impl Accepts for EvaluateSettings {
    const NAMES: NameLists = Some(&[TABLE, &["classes", "threads"]]);
    const HELP: &'static [(&'static str, &'static str)] = &[(
        "classes",
        "Classes of the model for classes of DATA, such as \"pneumonia=Viral Pneumonia+Bacterial Pneumonia\" \
         [default: as in training]",
    )];
}

/// Flags of `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES, override_usage = EVALUATE_USAGE)]
pub(super) struct EvaluateArgs {
    /// The model: a run folder, or a model.safetensors file. Leave it out if you use --model
    #[arg(value_name = "MODEL", required_unless_present = "model")]
    first: Option<PathBuf>,
    /// Images to test on, in a form that `train` reads. Their test set is used, or all of them if they have no sets. For the
    /// data that the model was trained on, it is the test set of that run. For a model of phantom films, give `phantom` or
    /// nothing
    #[arg(value_name = "DATA")]
    second: Option<PathBuf>,
    /// Same as the argument MODEL
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Same as the argument DATA
    #[arg(long, value_name = "DATA", conflicts_with = "second")]
    data: Option<PathBuf>,
    /// Leave out files that cannot be used, instead of stopping
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    settings: SettingFlags<EvaluateSettings>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl EvaluateArgs {
    /// How images are read, checked.
    pub(super) fn config(&self) -> Result<TrainConfig, ConfigError> {
        Ok(TrainConfig { skip_bad: self.skip_bad, ..self.settings.config()? })
    }

    /// Model and data.
    pub(super) fn paths(&self) -> Result<(&Path, Option<PathBuf>), ConfigError> {
        let (model, rest) = model_and_rest(self.model.as_deref(), self.first.iter().chain(&self.second))?;
        let data: Vec<PathBuf> = rest.into_iter().chain(self.data.clone()).collect();
        if data.len() > 1 {
            if self.data.is_none() {
                let reason = "the only argument is then the images to test on; leave the other one out";
                let (first, second) = ("a second argument", "--model");
                return Err(ConfigError::Conflict { first, second, reason });
            }
            let reason = "the images to test on are given twice; leave one of them out";
            return Err(ConfigError::Conflict { first: "DATA", second: "--data", reason });
        }
        Ok((model, data.into_iter().next()))
    }
}

const PREDICT_USAGE: &str = "\
roentgen predict [OPTIONS] <MODEL> <FILES>...
       roentgen predict [OPTIONS] --model <MODEL> <FILES>...";

const PREDICT_EXAMPLES: &str = "\
Examples:
  roentgen predict runs/a film.png
  roentgen predict runs/a films --csv > predictions.csv
  find films -name '*.png' |
    roentgen predict runs/a - --json";

/// Flags of `predict`.
#[derive(Debug, Args)]
#[command(after_help = PREDICT_EXAMPLES, override_usage = PREDICT_USAGE)]
pub(super) struct PredictArgs {
    /// The model: a run folder, or a model.safetensors file. Leave it out if you use --model
    #[arg(value_name = "MODEL")]
    first: PathBuf,
    /// Images (DICOM, png, jpeg and more), folders of images (without the folders of masks in them), or `-` for the standard input: one image, or a list of paths, one on a line
    #[arg(value_name = "FILES", required_unless_present = "model")]
    rest: Vec<PathBuf>,
    /// Same as the argument MODEL
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Print one JSON object for each image, one on a line; with 20 images or more, and a model with 20 validation images or
    /// more, the last line is `shift`: whether they differ from the validation images
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values with a header line
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    pub(super) settings: SettingFlags<ThreadsOnly>,
    /// Print only predictions and errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

impl PredictArgs {
    /// Model and images.
    pub(super) fn paths(&self) -> Result<(&Path, Vec<PathBuf>), ConfigError> {
        let (model, files) =
            model_and_rest(self.model.as_deref(), std::iter::once(&self.first).chain(&self.rest))?;
        let has = |ending: &str| {
            files.iter().any(|path| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)))
        };
        let reason = "predictions are printed; to have them in a file, write > before its name";
        if self.csv && has("csv") {
            return Err(ConfigError::Conflict { first: "--csv", second: "a .csv file", reason });
        }
        if self.json && (has("json") || has("jsonl")) {
            return Err(ConfigError::Conflict { first: "--json", second: "a .json file", reason });
        }
        Ok((model, files))
    }

    pub(super) fn format(&self) -> OutputFormat {
        match (self.json, self.csv) {
            (true, _) => OutputFormat::JsonLines,
            (_, true) => OutputFormat::Csv,
            _ => OutputFormat::Text,
        }
    }
}

const EXPLAIN_USAGE: &str = "\
roentgen explain [OPTIONS] <MODEL> <FILE> --out <PNG>
       roentgen explain [OPTIONS] --model <MODEL> <FILE> --out <PNG>";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  roentgen explain runs/a film.png --out why.png
  roentgen explain runs/a film.png --out other.png \\
    --class pneumonia";

/// Flags of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES, override_usage = EXPLAIN_USAGE)]
pub(super) struct ExplainArgs {
    /// The model: a run folder, or a model.safetensors file. Leave it out if you use --model
    #[arg(value_name = "MODEL")]
    first: PathBuf,
    /// The image (DICOM, png, jpeg and more)
    #[arg(value_name = "FILE", required_unless_present = "model")]
    second: Option<PathBuf>,
    /// Same as the argument MODEL
    #[arg(long, value_name = "MODEL", conflicts_with = "second")]
    model: Option<PathBuf>,
    /// png file to write
    #[arg(long, value_name = "PNG")]
    pub(super) out: PathBuf,
    /// Replace the file of --out, whatever it is
    #[arg(long)]
    pub(super) force: bool,
    /// Class to explain [default: the predicted class]
    #[arg(long, value_name = "NAME")]
    pub(super) class: Option<String>,
    #[command(flatten)]
    pub(super) settings: SettingFlags<ThreadsOnly>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl ExplainArgs {
    /// Model and image.
    pub(super) fn paths(&self) -> Result<(&Path, PathBuf), ConfigError> {
        let arguments = std::iter::once(&self.first).chain(&self.second);
        let (model, rest) = model_and_rest(self.model.as_deref(), arguments)?;
        Ok((model, rest.into_iter().next().expect("clap requires an image")))
    }
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  roentgen export runs/a --onnx model.onnx

PyTorch loads the model.safetensors file of a run without export: see docs/interchange.md.";

/// Flags of `export`.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub(super) model: ModelArg,
    /// ONNX file to write
    #[arg(long, value_name = "FILE")]
    pub(super) onnx: PathBuf,
    /// Replace the file of --onnx, whatever it is
    #[arg(long)]
    pub(super) force: bool,
    /// Print only errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

const DESCRIBE_EXAMPLES: &str = "\
Examples:
  roentgen describe runs/a";

/// Flags of `describe`.
#[derive(Debug, Args)]
#[command(after_help = DESCRIBE_EXAMPLES)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    pub(super) model: ModelArg,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}
