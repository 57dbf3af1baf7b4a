//! How the text of a setting is read: as a number in a range, a choice, a path, ... One reader serves the command line
//! and the config file, and its range is what help and errors show.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{EnumValueParser, ValueParser};

/// The kinds of values that TOML distinguishes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TomlKind {
    /// A number without a fraction.
    Whole,
    Number,
    Text,
    Bool,
}

/// From text to a value.
type Parse<T> = Box<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// Reads and writes the text of a setting; `None` for text that is not as `expected`.
pub(super) struct Input<T> {
    pub(super) value_name: &'static str,
    pub(super) expected: String,
    pub(super) parse: Parse<T>,
    pub(super) to_text: fn(&T) -> String,
    /// Where clap can do more than `parse`: it lists choices, and takes paths that are not UTF-8.
    pub(super) clap_parser: Option<ValueParser>,
    pub(super) kind: TomlKind,
    pub(super) default_text: Option<&'static str>,
    pub(super) is_common: bool,
    pub(super) is_derived: bool,
    pub(super) alias: Option<&'static str>,
    pub(super) argument: Option<&'static str>,
}

impl<T> Input<T> {
    fn new(
        kind: TomlKind,
        value_name: &'static str,
        parse: impl Fn(&str) -> Option<T> + Send + Sync + 'static,
        to_text: fn(&T) -> String,
    ) -> Self {
        Self {
            value_name,
            expected: String::new(),
            parse: Box::new(parse),
            to_text,
            clap_parser: None,
            kind,
            default_text: None,
            is_common: false,
            is_derived: false,
            alias: None,
            argument: None,
        }
    }

    /// Most people need this setting: `-h` shows it.
    pub(super) fn common(self) -> Self {
        Self { is_common: true, ..self }
    }

    /// The text that help shows as the default where that is not a plain value.
    pub(super) fn default_text(self, text: &'static str) -> Self {
        Self { default_text: Some(text), ..self }
    }

    /// The program chooses a value where none is given: `text` says how.
    pub(super) fn derived(self, text: &'static str) -> Self {
        Self { is_derived: true, ..self.default_text(text) }
    }

    /// A second name of the flag.
    pub(super) fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    /// Another text than that of the range.
    pub(super) fn expected(self, expected: &str) -> Self {
        Self { expected: expected.to_owned(), ..self }
    }

    /// The unit of a number.
    pub(super) fn unit(self, unit: &str) -> Self {
        Self { expected: format!("{} {unit}", self.expected), ..self }
    }

    /// May also be given as the first argument, without the flag.
    pub(super) fn also_argument(self, name: &'static str) -> Self {
        Self { argument: Some(name), ..self }
    }
}

/// A number in a range.
pub(super) fn number<T>(
    value_name: &'static str,
    range: impl RangeBounds<T> + Send + Sync + 'static,
) -> Input<T>
where
    T: FromStr + Display + PartialOrd + 'static,
{
    let expected = range_text(&range);
    // NaN is in no range.
    let parse = move |text: &str| text.parse().ok().filter(|number| range.contains(number));
    let is_whole = "0.5".parse::<T>().is_err();
    let kind = if is_whole { TomlKind::Whole } else { TomlKind::Number };
    Input::new(kind, value_name, parse, T::to_string).expected(&expected)
}

/// `0 to 0.5` and the like; every range has two ends.
fn range_text<T: Display>(range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(low), Bound::Included(high)) => format!("{low} to {high}"),
        (Bound::Included(low), Bound::Excluded(high)) => format!("{low} or more, below {high}"),
        (Bound::Excluded(low), Bound::Included(high)) => format!("above {low}, at most {high}"),
        _ => unreachable!("a range with one end"),
    }
}

/// One value of an enum, by its name.
pub(super) fn choice<T: ValueEnum + Clone + Send + Sync + 'static>(value_name: &'static str) -> Input<T> {
    let names: Vec<String> = T::value_variants().iter().map(choice_name).collect();
    let parse = |text: &str| T::from_str(text, false).ok();
    let input = Input::new(TomlKind::Text, value_name, parse, choice_name).expected(&names.join(", "));
    Input { clap_parser: Some(EnumValueParser::<T>::new().into()), ..input }
}

fn choice_name<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A file or folder.
pub(super) fn path(value_name: &'static str) -> Input<PathBuf> {
    let parse = |text: &str| Some(PathBuf::from(text));
    let to_text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let input = Input::new(TomlKind::Text, value_name, parse, to_text).expected("a path in quotes");
    Input { clap_parser: Some(clap::value_parser!(PathBuf)), ..input }
}

/// Text in a form of its own.
pub(super) fn text<T: FromStr + Display + 'static>(value_name: &'static str) -> Input<T> {
    Input::new(TomlKind::Text, value_name, |text| text.parse().ok(), T::to_string).expected("text in quotes")
}

/// On or off.
pub(super) fn switch() -> Input<bool> {
    Input::new(TomlKind::Bool, "", |text| text.parse().ok(), bool::to_string).expected("true or false")
}
