//! The settings of a command that trains: flags over a preset or a config file.

use std::path::PathBuf;

use clap::Args;

use super::setting_flags::{AllSettings, SettingFlags};
use crate::config::error::ConfigError;
use crate::config::{ConfigFile, Preset, TrainConfig};
use crate::model::instruction_sets::OtherCpu;
use crate::training::resumption::Resumption;

/// All settings, and what they start from.
#[derive(Debug, Args)]
pub(super) struct BaseSettings {
    #[command(flatten)]
    pub(super) flags: SettingFlags<AllSettings>,
    /// Settings to start from instead of the defaults: robust is for images from other sources than the training images.
    /// Flags override them
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "config")]
    preset: Option<Preset>,
    /// Config file (TOML; its keys are the settings among the flags, without the leading --), or a run folder, whose config
    /// file is read. Flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl BaseSettings {
    /// Flags over file or preset over defaults, checked.
    pub(super) fn config(&self) -> Result<TrainConfig, ConfigError> {
        match (&self.config, self.preset) {
            (Some(path), _) => self.flags.over_file(ConfigFile::read(path)?),
            (None, Some(preset)) => self.flags.over(preset.config()),
            (None, None) => self.flags.config(),
        }
    }

    /// The same for a command that changes them: what the program chose for a file, it chooses anew.
    pub(super) fn config_to_change(&self) -> Result<TrainConfig, ConfigError> {
        match &self.config {
            Some(path) => self.flags.over(ConfigFile::read(path)?.given),
            None => self.config(),
        }
    }

    /// What may be given beside `--resume`: of the settings, only the number of threads, and where the images are now.
    pub(super) fn resumption(
        &self,
        other_cpu: bool,
        cache: Option<PathBuf>,
        reason: &'static str,
    ) -> Result<Resumption, ConfigError> {
        const ALLOWED: [&str; 3] = ["threads", "data", "test"];
        if let Some(setting) = self.flags.given().find(|setting| !ALLOWED.contains(&setting.name())) {
            return Err(ConfigError::Conflict { first: "--resume", second: setting.flag(), reason });
        }
        let is_moved = self.flags.given().any(|setting| setting.name() == "data");
        let TrainConfig { threads, data, test, .. } = self.flags.unchecked();
        let other_cpu = OtherCpu::of_flag(other_cpu);
        Ok(Resumption { threads, other_cpu, moved_data: is_moved.then_some(data), moved_test: test, cache })
    }
}
