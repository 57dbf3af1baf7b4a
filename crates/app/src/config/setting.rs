//! What a setting is: an item of the table in `settings.rs`, with all that the command line, the config file and the
//! checks need to know of it.

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use toml::de::DeValue;

use super::TrainConfig;
use super::error::ConfigError;
use super::input::{Input, TomlKind};

/// A setting of any type.
pub(crate) trait Setting: Send + Sync {
    /// The flag without its dashes, and the key of the config file.
    fn name(&'static self) -> &'static str;
    /// The flag as it is typed.
    fn flag(&'static self) -> &'static str;
    /// Another name of the flag, without its dashes.
    fn alias(&self) -> Option<&'static str>;
    /// Its meaning, without default and range.
    fn help(&self) -> &'static str;
    /// The values that are accepted, in words.
    fn expected(&'static self) -> &'static str;
    /// Whether the program chooses a value where none is given.
    fn is_derived(&self) -> bool;
    /// Whether it is a number with a range.
    #[cfg(test)]
    fn is_number(&self) -> bool;
    /// Whether it is a number without a fraction.
    fn is_whole_number(&self) -> bool;
    /// Its flag; two flags for a switch; a flag and an argument where both are accepted.
    fn args(&'static self) -> Vec<Arg>;
    /// Whether the command line gives a value.
    fn is_given(&'static self, matches: &ArgMatches) -> bool;
    /// Sets the value that the command line gives, if it does.
    fn set_given(&'static self, matches: &ArgMatches, config: &mut TrainConfig);
    /// Sets a value of a config file; `None` if it is not as expected.
    fn set_from_file(&self, value: &DeValue<'_>, config: &mut TrainConfig) -> Option<()>;
    /// Sets the value that a flag has as its text; `None` if it is not as expected.
    fn set_text(&self, text: &str, config: &mut TrainConfig) -> Option<()>;
    /// The value as the text of a flag; `None` where there is no value.
    fn text(&self, config: &TrainConfig) -> Option<String>;
    /// Whether it has a flag that switches it on, and one that switches it off.
    fn is_switch(&self) -> bool;
    /// The value in a config file; `None` where there is no value.
    fn to_toml(&self, config: &TrainConfig) -> Option<String>;
    /// Checks the value, wherever it comes from.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    fn check(&'static self, config: &TrainConfig) -> Result<(), ConfigError>;
}

/// An item of the table, of type `T`.
pub(super) struct Item<T: 'static> {
    /// The name after two dashes.
    flag: String,
    /// The flag that switches off; used by switches alone.
    off_name: String,
    /// The section of `--help`.
    heading: &'static str,
    help: &'static str,
    input: Input<T>,
    get: fn(&TrainConfig) -> Option<T>,
    set: fn(&mut TrainConfig, T),
}

impl<T> Item<T> {
    /// From what the table has; `field` is the name with underscores.
    pub(super) fn new(
        heading: &'static str,
        field: &'static str,
        help: &'static str,
        input: Input<T>,
        get: fn(&TrainConfig) -> Option<T>,
        set: fn(&mut TrainConfig, T),
    ) -> Self {
        let name = field.replace('_', "-");
        Self {
            off_name: format!("no-{name}"),
            flag: format!("--{name}"),
            heading,
            help: help.trim(),
            input,
            get,
            set,
        }
    }

    fn value_text(&self, config: &TrainConfig) -> Option<String> {
        (self.get)(config).map(|value| (self.input.to_text)(&value))
    }

    /// The help of a flag, with its default, and in `--help` with its range.
    fn with_help(&self, arg: Arg) -> Arg {
        let (help, default) = (self.help, self.default_in_help());
        let range = match self.input.kind {
            TomlKind::Whole | TomlKind::Number => format!(" [range: {}]", self.input.expected),
            _ => String::new(),
        };
        arg.help(format!("{help}{default}")).long_help(format!("{help}{range}{default}"))
    }

    fn default_in_help(&self) -> String {
        let default = match self.input.default_text {
            Some(text) => Some(text.to_owned()),
            None => self.value_text(&TrainConfig::default()),
        };
        match (self.input.kind, default.as_deref()) {
            (TomlKind::Bool, Some("true")) => " [default: on]".to_owned(),
            (TomlKind::Bool, Some("false")) | (_, None) => String::new(),
            (_, Some(default)) => format!(" [default: {default}]"),
        }
    }
}

impl<T: Clone + Send + Sync> Item<T> {
    fn parser(&'static self) -> ValueParser {
        let input = &self.input;
        let also = input.alias.map(|alias| format!(" (--{alias} is {})", self.flag)).unwrap_or_default();
        let expected = format!("expected {}{also}", input.expected);
        let parse = move |text: &str| (input.parse)(text).ok_or_else(|| expected.clone());
        input.clap_parser.clone().unwrap_or_else(|| ValueParser::new(parse))
    }

    /// `--tta`, and `--no-tta` for a preset or a config file that switches it on.
    fn switch_args(&'static self) -> Vec<Arg> {
        let (on, off) = (self.name(), self.off_name.as_str());
        let flag = |name, other| Arg::new(name).long(name).action(ArgAction::SetTrue).overrides_with(other);
        let off_help = format!("Switch --{on} off");
        vec![self.with_help(flag(on, off)), flag(off, on).help(off_help).hide_short_help(true)]
    }

    fn value_args(&'static self) -> Vec<Arg> {
        let name = self.name();
        let value = |arg: Arg| arg.value_parser(self.parser()).value_name(self.input.value_name);
        let mut flag = value(Arg::new(name).long(name));
        if let Some(alias) = self.input.alias {
            flag = flag.visible_alias(alias);
        }
        match self.input.argument {
            None => vec![self.with_help(flag)],
            Some(argument) => vec![
                self.with_help(value(Arg::new(argument).conflicts_with(name))),
                flag.help(format!("Same as the argument {argument}")).hide_short_help(true),
            ],
        }
    }
}

impl<T: Clone + Send + Sync> Setting for Item<T> {
    fn name(&'static self) -> &'static str {
        &self.flag[2..]
    }

    fn flag(&'static self) -> &'static str {
        &self.flag
    }

    fn alias(&self) -> Option<&'static str> {
        self.input.alias
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn expected(&'static self) -> &'static str {
        &self.input.expected
    }

    fn is_derived(&self) -> bool {
        self.input.is_derived
    }

    #[cfg(test)]
    fn is_number(&self) -> bool {
        matches!(self.input.kind, TomlKind::Whole | TomlKind::Number)
    }

    fn is_whole_number(&self) -> bool {
        self.input.kind == TomlKind::Whole
    }

    fn args(&'static self) -> Vec<Arg> {
        let args = if self.input.kind == TomlKind::Bool { self.switch_args() } else { self.value_args() };
        if self.input.is_common {
            return args;
        }
        let hidden = |arg: Arg| arg.help_heading(self.heading).hide_short_help(true);
        args.into_iter().map(hidden).collect()
    }

    fn is_given(&'static self, matches: &ArgMatches) -> bool {
        let off_name = self.is_switch().then_some(self.off_name.as_str());
        let mut ids = [Some(self.name()), self.input.argument, off_name].into_iter().flatten();
        ids.any(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
    }

    fn set_given(&'static self, matches: &ArgMatches, config: &mut TrainConfig) {
        if !self.is_given(matches) {
            return;
        }
        let value = if self.input.kind == TomlKind::Bool {
            (self.input.parse)(&matches.get_flag(self.name()).to_string())
        } else {
            let ids = [Some(self.name()), self.input.argument].into_iter().flatten();
            ids.filter_map(|id| matches.get_one::<T>(id)).next().cloned()
        };
        if let Some(value) = value {
            (self.set)(config, value);
        }
    }

    fn set_from_file(&self, value: &DeValue<'_>, config: &mut TrainConfig) -> Option<()> {
        let text = match (self.input.kind, value) {
            (TomlKind::Whole | TomlKind::Number, DeValue::Integer(number)) => number.to_string(),
            (TomlKind::Number, DeValue::Float(number)) => number.to_string(),
            (TomlKind::Text, DeValue::String(text)) => text.to_string(),
            (TomlKind::Bool, DeValue::Boolean(is_on)) => is_on.to_string(),
            _ => return None,
        };
        self.set_text(&text, config)
    }

    fn set_text(&self, text: &str, config: &mut TrainConfig) -> Option<()> {
        let value = (self.input.parse)(text)?;
        (self.set)(config, value);
        Some(())
    }

    fn text(&self, config: &TrainConfig) -> Option<String> {
        self.value_text(config)
    }

    fn is_switch(&self) -> bool {
        self.input.kind == TomlKind::Bool
    }

    fn to_toml(&self, config: &TrainConfig) -> Option<String> {
        let text = self.text(config)?;
        let is_text = self.input.kind == TomlKind::Text;
        Some(if is_text { toml::Value::String(text).to_string() } else { text })
    }

    fn check(&'static self, config: &TrainConfig) -> Result<(), ConfigError> {
        match self.text(config) {
            Some(text) if (self.input.parse)(&text).is_none() => Err(out_of_range(self, text)),
            _ => Ok(()),
        }
    }
}

/// The error for a value that is not as expected.
pub(crate) fn out_of_range(setting: &'static dyn Setting, found: impl ToString) -> ConfigError {
    ConfigError::OutOfRange { name: setting.name(), found: found.to_string(), expected: setting.expected() }
}

/// Makes [`TrainConfig`], its default and the list of its settings from one table.
macro_rules! settings {
    ($($heading:literal {
        $($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:expr => $input:expr;)+
    })+) => {
        /// The settings of a run. Where a value is `None`, the program chooses, as `--help` says of the flag of that name.
        ///
        /// ```
        /// use roentgen::TrainConfig;
        ///
        /// let config = TrainConfig { data: "films".into(), max_lr: 0.005, tta: true, ..TrainConfig::default() };
        /// assert!(config.validate().is_ok());
        /// assert!(TrainConfig { size: 4, ..config }.validate().is_err());
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        pub struct TrainConfig {
            $($($(#[doc = $help])+ pub $name: $type,)+)+
            /// Names of the settings that the program chose, in the settings of a finished run.
            pub derived: Vec<&'static str>,
            /// A folder for decoded images: [`LoadOptions::cache`](roentgen_data::LoadOptions::cache). Not a setting: no result
            /// depends on it, and no config file has it.
            pub cache: Option<std::path::PathBuf>,
        }

        impl Default for TrainConfig {
            fn default() -> Self {
                Self { $($($name: $default,)+)+ derived: Vec::new(), cache: None }
            }
        }

        /// All settings, in the order of the table.
        static SETTINGS: std::sync::LazyLock<Vec<Box<dyn Setting>>> = std::sync::LazyLock::new(|| {
            vec![$($(Box::new(Item::new(
                $heading,
                stringify!($name),
                concat!($($help),+),
                $input,
                // A field is a value or an option; `into` makes either an option, and sets either.
                |config| config.$name.clone().into(),
                |config, value| config.$name = value.into(),
            ))),+),+]
        });
    };
}
pub(super) use settings;
