//! The flags of the commands that examine data: `inspect`, `audit` and `lr-find`; and of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::OutputArgs;
use super::cache_args::CacheArgs;
use super::setting_flags::{Accepts, NameLists, SettingFlags};
use crate::config::unused::TABLE;

const INSPECT_EXAMPLES: &str = "\
Examples:
  roentgen inspect films
  roentgen inspect films --json --quiet";

const AUDIT_EXAMPLES: &str = "\
Examples:
  roentgen audit films
  roentgen audit films --json --quiet";

/// The settings that say which images are read, and how, beside [`TABLE`].
const READ: &[&str] =
    &["data", "films", "patient-pattern", "classes", "view", "fit", "invert", "size", "seed", "threads"];

/// The settings that say which images are in which set, and how long a training takes.
const SPLIT: &[&str] = &["test", "val-fraction", "test-fraction", "epochs"];

/// The settings of `inspect`, which lists bad files and goes on.
#[derive(Debug)]
pub(super) struct InspectSettings;

impl Accepts for InspectSettings {
    const NAMES: NameLists = Some(&[READ, TABLE, SPLIT]);
    const NEEDS_DATA: bool = true;
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("epochs", "Number of epochs to estimate the training time for [default: as many as `train` takes]"),
        ("size", "Side of the square crop to estimate the training time for [default: 24]"),
        ("seed", "Seed of the split into training, validation and test set [default: 0]"),
    ];
}

/// The settings of `audit`.
#[derive(Debug)]
pub(super) struct AuditSettings;

impl Accepts for AuditSettings {
    const NAMES: NameLists = Some(&[READ, TABLE, SPLIT, &["skip-bad", "flip"]]);
    const NEEDS_DATA: bool = true;
    const HELP: &'static [(&'static str, &'static str)] = &[(
        "epochs",
        "Number of epochs of each of the short trainings [default: 3 to 40, fewer for larger training sets]",
    )];
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES, override_usage = "roentgen inspect [OPTIONS] <DATA>")]
pub(super) struct InspectArgs {
    #[command(flatten)]
    pub(super) settings: SettingFlags<InspectSettings>,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Flags of `audit`.
#[derive(Debug, Args)]
#[command(after_help = AUDIT_EXAMPLES, override_usage = "roentgen audit [OPTIONS] <DATA>")]
pub(super) struct AuditArgs {
    #[command(flatten)]
    pub(super) settings: SettingFlags<AuditSettings>,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

const LR_FIND_EXAMPLES: &str = "\
Examples:
  roentgen lr-find films
  roentgen lr-find films --batch 128 --out rates.svg";

/// The settings of `lr-find`.
#[derive(Debug)]
pub(super) struct LrFindSettings;

impl Accepts for LrFindSettings {
    const NAMES: NameLists = Some(&[READ, TABLE, &["skip-bad", "width", "batch"]]);
    const NEEDS_DATA: bool = true;
    const HELP: &'static [(&'static str, &'static str)] = &[(
        "patient-pattern",
        "Regular expression that finds the patient in a file name: its group `patient`, else its first group, else the whole \
         match. Not needed for names such as person1000_virus_1681, IM-0115-0001 and 00000013_005",
    )];
}

/// Flags of `lr-find`.
#[derive(Debug, Args)]
#[command(after_help = LR_FIND_EXAMPLES)]
pub(super) struct LrFindArgs {
    #[command(flatten)]
    pub(super) settings: SettingFlags<LrFindSettings>,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// SVG file to write the curve to (.svg)
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Replace the file of --out, whatever it is
    #[arg(long, requires = "out")]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Draw phantom chest films, as a folder of png files to train on.
    Phantom(PhantomArgs),
}

/// The settings of `data phantom`.
#[derive(Debug)]
pub(super) struct PhantomSettings;

impl Accepts for PhantomSettings {
    const NAMES: NameLists = Some(&[&["films", "seed", "threads"]]);
    const HELP: &'static [(&'static str, &'static str)] = &[("seed", "Seed of the films [default: 0]")];
}

const PHANTOM_EXAMPLES: &str = "\
Examples:
  roentgen data phantom --out phantom-films --films 480";

/// Flags of `data phantom`.
#[derive(Debug, Args)]
#[command(after_help = PHANTOM_EXAMPLES)]
pub(super) struct PhantomArgs {
    #[command(flatten)]
    pub(super) settings: SettingFlags<PhantomSettings>,
    /// Folder to write, new or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Print only errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}
