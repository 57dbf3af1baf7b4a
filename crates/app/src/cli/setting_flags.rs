//! The settings of the config as flags of a command.

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::error::ConfigError;
use crate::config::{ConfigFile, Setting, TrainConfig, settings};

/// Lists of names of settings that a command accepts; `None` for all of them.
pub(super) type NameLists = Option<&'static [&'static [&'static str]]>;

/// Which settings a command has.
pub(super) trait Accepts {
    /// Their names.
    const NAMES: NameLists;
    /// Whether DATA has to be given.
    const NEEDS_DATA: bool = false;
    /// Help where a setting means less here than for `train`: names and texts.
    const HELP: &'static [(&'static str, &'static str)] = &[];
}

/// `train`: all of them.
#[derive(Debug)]
pub(super) struct AllSettings;

impl Accepts for AllSettings {
    const NAMES: NameLists = None;
}

/// Commands that only compute.
#[derive(Debug)]
pub(super) struct ThreadsOnly;

impl Accepts for ThreadsOnly {
    const NAMES: NameLists = Some(&[&["threads"]]);
}

/// What the command line gives of the settings that a command accepts.
#[derive(Debug)]
pub(super) struct SettingFlags<A> {
    matches: ArgMatches,
    accepts: PhantomData<A>,
}

impl<A: Accepts> SettingFlags<A> {
    fn accepted() -> impl Iterator<Item = &'static dyn Setting> {
        settings::all().filter(|setting| {
            A::NAMES.is_none_or(|lists| lists.iter().any(|names| names.contains(&setting.name())))
        })
    }

    /// The settings that are given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static dyn Setting> {
        Self::accepted().filter(|setting| setting.is_given(&self.matches))
    }

    /// The flags over the defaults, where they do not make up all settings of a run.
    pub(super) fn unchecked(&self) -> TrainConfig {
        self.set_over(TrainConfig::default())
    }

    fn set_over(&self, mut base: TrainConfig) -> TrainConfig {
        self.given().for_each(|setting| setting.set_given(&self.matches, &mut base));
        base
    }

    /// The flags over `base`, checked.
    pub(super) fn over(&self, base: TrainConfig) -> Result<TrainConfig, ConfigError> {
        let mut base = self.set_over(base);
        base.validate()?;
        if base.seeds.is_some() && self.given().any(|setting| setting.name() == "seed") {
            let reason = "one model is trained for each of several seeds; leave one of them out";
            return Err(ConfigError::Conflict { first: "--seed", second: "--seeds", reason });
        }
        if self.given().any(|setting| setting.name() == "films") && !base.uses_phantom() {
            let reason =
                "it is the number of phantom films, and other images are given; leave one of them out";
            return Err(ConfigError::Conflict { first: "--films", second: "DATA", reason });
        }
        if !base.uses_phantom() {
            // Of a file for phantom films; the config file of a run with other images does not have it.
            base.films = TrainConfig::default().films;
        }
        Ok(base)
    }

    /// The flags over the defaults, checked.
    pub(super) fn config(&self) -> Result<TrainConfig, ConfigError> {
        self.over(TrainConfig::default())
    }

    /// The flags over a config file, checked. If there are flags, the program chooses anew what it chose for the file: a
    /// `resize` that followed from the size then follows from the new size. The number of threads always follows from the machine.
    pub(super) fn over_file(&self, file: ConfigFile) -> Result<TrainConfig, ConfigError> {
        if self.given().next().is_some() {
            return self.over(file.given);
        }
        let mut base = TrainConfig { threads: file.given.threads, ..file.complete };
        base.derived.retain(|name| *name != "threads");
        self.over(base)
    }
}

impl<A: Accepts> Args for SettingFlags<A> {
    fn augment_args(command: Command) -> Command {
        let has_sections = A::NAMES.is_none();
        // Where there are few flags, `-h` shows all of them, in one section.
        let shown = |arg: Arg| {
            let is_opposite = arg.get_id().as_str().starts_with("no-");
            if has_sections { arg } else { arg.help_heading(None).hide_short_help(is_opposite) }
        };
        let with_own_help = |command: Command, &(name, help): &(&'static str, &'static str)| {
            command.mut_arg(name, |arg| arg.help(help).long_help(help))
        };
        let command = command.args(Self::accepted().flat_map(Setting::args).map(shown));
        let command = A::HELP.iter().fold(command, with_own_help);
        if A::NEEDS_DATA {
            return command.mut_arg("DATA", require_data);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// DATA without its default.
fn require_data(argument: Arg) -> Arg {
    let help = settings::named("data").expect("a name of the table").help();
    argument.required_unless_present("data").help(help).long_help(help)
}

impl<A: Accepts> FromArgMatches for SettingFlags<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { matches: matches.clone(), accepts: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> SettingFlags<AllSettings> {
        let command = SettingFlags::<AllSettings>::augment_args(Command::new("train"));
        let matches = command.try_get_matches_from([&["train"], args].concat()).expect("known flags");
        SettingFlags::from_arg_matches(&matches).expect("any matches")
    }

    #[test]
    fn every_setting_is_in_help_and_the_common_ones_in_short_help() {
        let mut command = SettingFlags::<AllSettings>::augment_args(Command::new("train"));
        let flags = |help: String| -> Vec<String> {
            let lines = help.lines().map(|line| line.trim_start().trim_start_matches("-h, ").to_owned());
            lines.filter(|line| line.starts_with("--")).collect()
        };
        let (long, short) =
            (flags(command.render_long_help().to_string()), flags(command.render_help().to_string()));
        for setting in settings::all() {
            let name = format!("--{}", setting.name());
            assert!(long.iter().any(|line| line.split([' ', ',']).next() == Some(&name)), "{name}: {long:?}");
        }
        assert!((5..=15).contains(&short.len()), "{short:?}");
    }

    #[test]
    fn every_switch_can_be_switched_both_ways_and_the_last_flag_wins() {
        let switches: Vec<&str> = settings::all()
            .filter(|setting| setting.args().len() == 2 && setting.expected() == "true or false")
            .map(Setting::name)
            .collect();
        assert!(switches.contains(&"tta") && switches.contains(&"flip"), "{switches:?}");
        for name in switches {
            let (on, off) = (format!("--{name}"), format!("--no-{name}"));
            let line = |args: &[&str]| parse(args).config().expect("a valid config").to_toml();
            for (args, value) in [
                (&[&*on][..], "true"),
                (&[&*off], "false"),
                (&[&*on, &*off], "false"),
                (&[&*off, &*on], "true"),
            ] {
                assert!(line(args).contains(&format!("\n{name} = {value}\n")), "{args:?}");
            }
        }
    }

    #[test]
    fn a_flag_beside_a_file_makes_the_program_choose_anew() {
        let given = TrainConfig { size: 16, ..TrainConfig::default() };
        let file = ConfigFile { complete: given.resolved(226, 0.1), given };
        let repeated = parse(&[]).over_file(file.clone()).expect("a valid config");
        assert_eq!(repeated.threads, None, "as many as this machine has");
        assert_eq!(repeated.resolved(226, 0.1), file.complete);
        let larger = parse(&["--size", "48"]).over_file(file.clone()).expect("a valid config");
        assert_eq!((larger.size, larger.resize, larger.resize()), (48, None, 55));

        let given = TrainConfig { resize: Some(40), ..file.given };
        let file = ConfigFile { complete: given.resolved(226, 0.1), given };
        let error = parse(&["--size", "48"]).over_file(file).expect_err("a crop larger than the image");
        assert!(error.to_string().contains("resize is 40"), "{error}");
    }

    #[test]
    fn the_config_file_of_other_images_over_a_file_for_films_is_read_back_as_it_was() {
        let file = TrainConfig { films: 480, ..TrainConfig::default() };
        let config = parse(&["x"]).over(file).expect("a valid config");
        let written = TrainConfig::from_toml(&config.to_toml()).expect("a valid config");
        for setting in settings::all() {
            assert_eq!(setting.text(&written), setting.text(&config), "{}", setting.name());
        }
    }

    #[test]
    fn data_is_an_argument_or_a_flag() {
        let data = |args: &[&str]| parse(args).config().expect("a valid config").data;
        assert_eq!((data(&["films"]), data(&["--data", "films"])), ("films".into(), "films".into()));
        let command = SettingFlags::<AllSettings>::augment_args(Command::new("train"));
        let error = command
            .try_get_matches_from(["train", "films", "--data", "others"])
            .expect_err("data given twice");
        assert!(error.to_string().contains("[DATA]' cannot be used with '--data"), "{error}");
    }
}
