//! Reads the file of a search space.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::values::{Range, Spacing, Values};
use super::{Halving, MAX_TRAININGS, Search, SearchSpace, SearchedSetting};
use crate::config::error::ConfigError;
use crate::config::file::{Entry, Source, in_order};
use crate::config::setting::Setting;
use crate::config::settings::{self, TrainConfig};

/// The keys of the file besides the settings.
const KEYS: [&str; 6] = ["search", "trainings", "seed", "halving", "min-epochs", "settings"];
/// The keys of a range.
const RANGE_KEYS: [&str; 4] = ["from", "to", "spacing", "steps"];
/// The kinds of values that a setting may have, for errors.
const EXPECTED: &str =
    "values such as [1, 2], or a range such as { from = 0.001, to = 0.1, spacing = \"log\" }";
/// Least epochs of a training where the file has none.
const MIN_EPOCHS: usize = 2;

/// Settings that cannot be searched, and why.
const NOT_SEARCHED: [(&[&str], &str); 2] = [
    (
        &[
            "data",
            "films",
            "test",
            "skip-bad",
            "val-fraction",
            "test-fraction",
            "patient-pattern",
            "path-column",
            "label-column",
            "split-column",
            "patient-column",
            "classes",
            "medical",
            "strict",
            "folds",
            "fold",
            "view",
            "prior",
            // They change how common the model takes each class to be.
            "class-weights",
            "sampler",
            "select",
            "seed",
            "seeds",
        ],
        "the trainings would be validated on different images, or by different figures",
    ),
    (&["checkpoint-minutes", "tensorboard", "audit", "pseudonyms", "threads"], "it changes no result"),
];

type Value<'i> = Spanned<DeValue<'i>>;

/// The entries of the file, as they are read.
#[derive(Default)]
struct Parsed<'i> {
    is_random: bool,
    trainings: Option<(usize, &'i Value<'i>)>,
    seed: Option<(usize, &'i Value<'i>)>,
    halving: Option<usize>,
    min_epochs: Option<(usize, &'i Value<'i>)>,
    settings: Option<Entry<'i, 'i>>,
}

pub(super) fn parse(path: &Path, text: String) -> Result<SearchSpace, ConfigError> {
    let source = Source { path: path.to_owned(), text: &text };
    let table = source.parse()?;
    let parsed = read_keys(&source, table.get_ref())?;
    let search = search(&source, &parsed)?;
    let min_epochs = match (parsed.halving, parsed.min_epochs) {
        (None, Some((_, value))) => return Err(source.unexpected("min-epochs", value, "it beside halving")),
        (_, given) => given.map_or(MIN_EPOCHS, |(number, _)| number),
    };
    let halving = parsed.halving.map(|factor| Halving { factor, min_epochs });
    let Some((key, value)) = parsed.settings else {
        let message = "there is no table [settings] with the values of each setting".to_owned();
        return Err(source.invalid(0..0, message));
    };
    let DeValue::Table(entries) = value.get_ref() else {
        return Err(source.unexpected("settings", value, "a table [settings]"));
    };
    let (mut searched, mut fixed) = (Vec::new(), Vec::new());
    for (key, value) in in_order(entries) {
        let setting = setting_named(&source, key)?;
        let values = setting_values(&source, setting, value, search == Search::Grid)?;
        match values {
            Values::List(mut texts) if texts.len() == 1 => {
                fixed.push((setting, texts.pop().expect("one text")));
            }
            _ if setting.name() == "epochs" && halving.is_some() => {
                let expected = "one value: with halving, the rungs have different epochs";
                return Err(source.unexpected("epochs", value, expected));
            }
            values => searched.push(SearchedSetting { setting, values }),
        }
    }
    if searched.is_empty() {
        return Err(source.invalid(key.span(), "[settings] has no setting with several values".to_owned()));
    }
    if search == Search::Grid {
        check_size(&source, &searched, key.span())?;
    }
    drop(table);
    Ok(SearchSpace { search, halving, searched, fixed, text })
}

fn read_keys<'i>(source: &Source<'_>, table: &'i DeTable<'i>) -> Result<Parsed<'i>, ConfigError> {
    let mut parsed = Parsed::default();
    for (key, value) in in_order(table) {
        let number = |low, high| whole_number(source, key.get_ref(), value, low, high);
        match key.get_ref().as_ref() {
            "search" => {
                parsed.is_random = match value.get_ref().as_str() {
                    Some("grid") => false,
                    Some("random") => true,
                    _ => return Err(source.unexpected("search", value, "\"grid\" or \"random\"")),
                }
            }
            "trainings" => parsed.trainings = Some((number(1, MAX_TRAININGS)?, value)),
            "seed" => parsed.seed = Some((number(0, i64::MAX as usize)?, value)),
            "halving" => parsed.halving = Some(number(2, 10)?),
            "min-epochs" => parsed.min_epochs = Some((number(1, 100_000)?, value)),
            "settings" => parsed.settings = Some((key, value)),
            _ => return Err(source.unknown_key(key, KEYS.into_iter())),
        }
    }
    Ok(parsed)
}

fn search(source: &Source<'_>, parsed: &Parsed<'_>) -> Result<Search, ConfigError> {
    match (parsed.is_random, parsed.trainings, parsed.seed) {
        (true, Some((trainings, _)), seed) => {
            Ok(Search::Random { trainings, seed: seed.map_or(0, |(seed, _)| seed as u64) })
        }
        (true, None, _) => {
            let message = "a random search needs trainings, the number of them, such as trainings = 20";
            Err(source.invalid(0..0, message.to_owned()))
        }
        (false, Some((_, value)), _) => {
            Err(source.unexpected("trainings", value, "no trainings in a grid, which has every combination"))
        }
        (false, None, Some((_, value))) => Err(source.unexpected(
            "seed",
            value,
            "no seed in a grid; that of the trainings is the flag --seed",
        )),
        (false, None, None) => Ok(Search::Grid),
    }
}

/// The setting of a key, if it can be searched.
fn setting_named(
    source: &Source<'_>,
    key: &Spanned<toml::de::DeString<'_>>,
) -> Result<&'static dyn Setting, ConfigError> {
    let reason_of =
        |name: &str| NOT_SEARCHED.iter().find(|(names, _)| names.contains(&name)).map(|(_, reason)| *reason);
    let name = key.get_ref();
    let Some(setting) = settings::named(name) else {
        let names = settings::all().map(Setting::name).filter(|name| reason_of(name).is_none());
        return Err(source.unknown_key(key, names));
    };
    match reason_of(name) {
        Some(reason) => {
            let message = format!("`{name}` cannot be searched: {reason}; give it as a flag");
            Err(source.invalid(key.span(), message))
        }
        None => Ok(setting),
    }
}

fn setting_values(
    source: &Source<'_>,
    setting: &'static dyn Setting,
    value: &Value<'_>,
    is_grid: bool,
) -> Result<Values, ConfigError> {
    match value.get_ref() {
        DeValue::Array(items) if !items.is_empty() => {
            let mut texts: Vec<String> = Vec::new();
            for item in items.iter() {
                let text = text_of(source, setting.name(), setting, item)?;
                if texts.contains(&text) {
                    let message = format!("{} has the value {text} twice", setting.name());
                    return Err(source.invalid(item.span(), message));
                }
                texts.push(text);
            }
            Ok(Values::List(texts))
        }
        DeValue::Array(_) => Err(source.unexpected(setting.name(), value, EXPECTED)),
        DeValue::Table(table) => range(source, setting, value, table, is_grid),
        _ => Ok(Values::List(vec![text_of(source, setting.name(), setting, value)?])),
    }
}

/// A range of numbers, of which a grid has some steps.
fn range(
    source: &Source<'_>,
    setting: &'static dyn Setting,
    value: &Value<'_>,
    table: &DeTable<'_>,
    is_grid: bool,
) -> Result<Values, ConfigError> {
    if let Some((key, _)) =
        in_order(table).into_iter().find(|(key, _)| !RANGE_KEYS.contains(&&**key.get_ref()))
    {
        return Err(source.unknown_key(key, RANGE_KEYS.into_iter()));
    }
    let (Some(from_value), Some(to_value)) = (table.get("from"), table.get("to")) else {
        return Err(source.unexpected(setting.name(), value, EXPECTED));
    };
    let spacing = match table.get("spacing").map(|value| (value, value.get_ref().as_str())) {
        None | Some((_, Some("linear"))) => Spacing::Linear,
        Some((_, Some("log"))) => Spacing::Log,
        Some((value, _)) => return Err(source.unexpected("spacing", value, "\"linear\" or \"log\"")),
    };
    let end = |name: &str, value: &Value<'_>| {
        let text = text_of(source, name, setting, value)?;
        // Settings of text that happen to look like numbers have no range.
        text.parse::<f64>().map_err(|_| source.unexpected(name, value, "a number"))
    };
    let (from, to) = (end("from", from_value)?, end("to", to_value)?);
    if from >= to {
        let message = format!("from is {from} and to is {to}: expected a smaller from");
        return Err(source.invalid(value.span(), message));
    }
    if spacing == Spacing::Log && from <= 0.0 {
        return Err(source.unexpected("from", from_value, "a number above 0, with spacing = \"log\""));
    }
    let range = Range { from, to, spacing, is_whole: setting.is_whole_number() };
    match (is_grid, table.get("steps")) {
        (true, Some(steps)) => Ok(Values::List(range.steps(whole_number(source, "steps", steps, 2, 100)?))),
        (true, None) => {
            let message = format!("{} has no steps, which a grid needs, such as steps = 5", setting.name());
            Err(source.invalid(value.span(), message))
        }
        (false, Some(steps)) => Err(source.unexpected("steps", steps, "no steps in a random search")),
        (false, None) => Ok(Values::Range(range)),
    }
}

/// A value as on the command line, after it was checked.
fn text_of(
    source: &Source<'_>,
    name: &str,
    setting: &'static dyn Setting,
    value: &Value<'_>,
) -> Result<String, ConfigError> {
    let mut config = TrainConfig::default();
    let is_set = setting.set_from_file(value.get_ref(), &mut config);
    let text = is_set.and_then(|()| setting.text(&config));
    text.ok_or_else(|| source.unexpected(name, value, setting.expected()))
}

fn whole_number(
    source: &Source<'_>,
    name: &str,
    value: &Value<'_>,
    low: usize,
    high: usize,
) -> Result<usize, ConfigError> {
    let number = match value.get_ref() {
        DeValue::Integer(number) => number.to_string().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| source.unexpected(name, value, &format!("{low} to {high}")))
}

/// Fails if there are too many combinations, before any is made.
fn check_size(
    source: &Source<'_>,
    searched: &[SearchedSetting],
    place: std::ops::Range<usize>,
) -> Result<(), ConfigError> {
    let n_values = |searched: &SearchedSetting| match &searched.values {
        Values::List(texts) => texts.len() as u128,
        Values::Range(_) => unreachable!("ranges of a grid have steps"),
    };
    let n = searched.iter().map(n_values).fold(1, u128::saturating_mul);
    if n <= MAX_TRAININGS as u128 {
        return Ok(());
    }
    let message = format!(
        "a grid of {n} combinations, and {MAX_TRAININGS} trainings are the most; give fewer values, or \
         search = \"random\" with trainings"
    );
    Err(source.invalid(place, message))
}
