//! The search space of a sweep: the file `SPACE.toml` with the values of each setting, and the trainings that follow from it.
//!
//! A grid has every combination of the values; a random search draws each setting of each training by itself, which finds
//! good values of few important settings with fewer trainings (Bergstra & Bengio 2012). Each draw has its own key of seed,
//! training and setting, so that more trainings begin with the same ones.

use std::collections::BTreeSet;
use std::path::Path;

use roentgen_data::read_text_file;
use roentgen_tensor::rng::{CounterRng, Purpose};

use super::error::ConfigError;
use super::setting::Setting;
use super::settings::TrainConfig;
use values::Values;

mod space_file;
pub(crate) mod values;

/// The copy of the file in the folder of a sweep.
pub(crate) const SPACE_FILE: &str = "space.toml";
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Most trainings of a sweep.
const MAX_TRAININGS: usize = 1000;
/// Draws of a random search for each training, before it is content with fewer that differ.
const DRAWS_PER_TRAINING: usize = 100;

/// A setting and its values.
#[derive(Clone)]
pub(crate) struct SearchedSetting {
    /// The item of the table.
    pub setting: &'static dyn Setting,
    /// Its values.
    pub values: Values,
}

/// How trainings are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Every combination.
    Grid,
    /// A number of draws, with their seed.
    Random {
        /// How many.
        trainings: usize,
        /// The seed of the draws.
        seed: u64,
    },
}

/// Successive halving: each rung trains the best part of the one before, for more epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halving {
    /// One in this many is trained on, for as many times the epochs.
    pub factor: usize,
    /// Least epochs of a training.
    pub min_epochs: usize,
}

/// The settings that are searched, and how.
pub(crate) struct SearchSpace {
    /// The file.
    pub text: String,
    /// How trainings are chosen.
    pub search: Search,
    /// With successive halving.
    pub halving: Option<Halving>,
    /// The settings that have several values, in the order of the file.
    pub searched: Vec<SearchedSetting>,
    /// Settings with a single value.
    fixed: Vec<(&'static dyn Setting, String)>,
}

/// The settings of one training.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The text of each searched setting, in their order.
    pub values: Vec<String>,
    /// All settings.
    pub config: TrainConfig,
}

impl SearchSpace {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], [`ConfigError::Invalid`].
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text_file(path, MAX_BYTES)
            .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), source: error.into() })?;
        Self::parse(path, text)
    }

    /// Reads the content of a file, which errors name by its path.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub(super) fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        space_file::parse(path, text)
    }

    /// The trainings, which have the settings of `base` where the space says nothing. A random search has fewer than it was to
    /// have where there are not as many that differ.
    ///
    /// # Errors
    /// If the settings of one of them cannot be used together.
    pub(crate) fn candidates(&self, base: &TrainConfig) -> Result<Vec<Candidate>, ConfigError> {
        let all = match self.search {
            Search::Grid => self.grid(),
            Search::Random { trainings, seed } => self.draw(trainings, seed),
        };
        let candidate = |values: Vec<String>| {
            let mut config = base.clone();
            let searched = self.searched.iter().map(|searched| searched.setting);
            let fixed = self.fixed.iter().map(|(setting, text)| (*setting, text));
            for (setting, text) in searched.zip(&values).chain(fixed) {
                setting.set_text(text, &mut config).expect("values were checked when they were read");
            }
            config.validate().map_err(|error| ConfigError::UnusableCombination {
                settings: self.describe(&values),
                error: Box::new(error),
            })?;
            Ok(Candidate { values, config })
        };
        all.into_iter().map(candidate).collect()
    }

    /// Whether a setting has a value, or several, in the file.
    pub(crate) fn has(&self, name: &str) -> bool {
        let searched = self.searched.iter().map(|searched| searched.setting);
        searched.chain(self.fixed.iter().map(|(setting, _)| *setting)).any(|setting| setting.name() == name)
    }

    /// Values with the names of their settings.
    pub(crate) fn describe(&self, values: &[String]) -> String {
        let named = self.searched.iter().zip(values);
        let named = named.map(|(searched, value)| format!("{} {value}", searched.setting.name()));
        named.collect::<Vec<_>>().join(", ")
    }

    /// Every combination: the last setting changes first.
    fn grid(&self) -> Vec<Vec<String>> {
        let mut all = vec![Vec::new()];
        for searched in &self.searched {
            let Values::List(texts) = &searched.values else { unreachable!("ranges of a grid have steps") };
            let longer = |values: &Vec<String>| {
                texts
                    .iter()
                    .map(|text| [values.as_slice(), std::slice::from_ref(text)].concat())
                    .collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all
    }

    fn draw(&self, trainings: usize, seed: u64) -> Vec<Vec<String>> {
        let (mut all, mut known) = (Vec::new(), BTreeSet::new());
        for key in 0..(DRAWS_PER_TRAINING * trainings) as u64 {
            let drawn = |(index, searched): (usize, &SearchedSetting)| {
                searched.values.draw(&mut CounterRng::new(seed, Purpose::Search, key, index as u64))
            };
            let values: Vec<String> = self.searched.iter().enumerate().map(drawn).collect();
            if known.insert(values.clone()) {
                all.push(values);
            }
            if all.len() == trainings {
                break;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(text: &str) -> Result<SearchSpace, ConfigError> {
        space_file::parse(Path::new("space.toml"), text.to_owned())
    }

    fn values(text: &str) -> Vec<String> {
        let space = space(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let candidates = space.candidates(&TrainConfig::default()).expect("usable settings");
        candidates.iter().map(|candidate| candidate.values.join(" ")).collect()
    }

    #[test]
    fn a_grid_has_every_combination() {
        let text = "[settings]\nwidth = [16, 32]\nflip = [true, false]\nepochs = 5\n\
                    max-lr = { from = 0.001, to = 0.1, spacing = \"log\", steps = 3 }";
        let found = values(text);
        assert_eq!(found.len(), 12);
        assert_eq!([&found[0], &found[1], &found[11]], ["16 true 0.001", "16 true 0.01", "32 false 0.1"]);
        let config = space(text).and_then(|space| space.candidates(&TrainConfig::default()));
        let config = config.expect("usable settings").pop().expect("the last one").config;
        assert_eq!((config.width, config.flip, config.max_lr, config.epochs), (32, false, 0.1, Some(5)));
    }

    #[test]
    fn a_range_of_a_setting_without_fractions_has_whole_numbers() {
        let range = |name: &str| values(&format!("[settings]\n{name} = {{ from = 8, to = 13, steps = 3 }}"));
        assert_eq!(range("width"), ["8", "11", "13"]);
        assert_eq!(range("rotate"), ["8", "10.5", "13"]);
    }

    #[test]
    fn more_draws_begin_with_the_same_ones_and_none_comes_twice() {
        let text = |n: usize, seed: u64| {
            format!(
                "search = \"random\"\ntrainings = {n}\nseed = {seed}\n[settings]\nwidth = [16, 32]\n\
                 max-lr = {{ from = 0.001, to = 0.1, spacing = \"log\" }}"
            )
        };
        let (few, many) = (values(&text(3, 1)), values(&text(12, 1)));
        assert_eq!(few, many[..3]);
        assert_ne!(few, values(&text(3, 2)));
        let all =
            values("search = \"random\"\ntrainings = 50\n[settings]\nwidth = [16, 32]\nflip = [true, false]");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(all.len(), 4, "there are no more that differ");
    }

    #[test]
    fn a_wrong_space_is_one_error_with_its_line() {
        let settings = |text: &str| format!("[settings]\n{text}");
        let random = "search = \"random\"\ntrainings = 5\n[settings]\n";
        for (text, words) in [
            (String::new(), "line 1: there is no table [settings]"),
            (settings(""), "line 1: [settings] has no setting with several values"),
            (settings("width = 16"), "line 1: [settings] has no setting with several values"),
            (
                "serch = \"grid\"".into(),
                "line 1: there is no setting `serch` here; there are:\n  search, trainings",
            ),
            (settings("widht = [16]"), "line 2: there is no setting `widht` here"),
            (settings("lr = [0.1, 0.2]"), "there is no setting `lr` here; it is called max-lr"),
            (settings("width = []"), "line 2: width is []: expected values"),
            (settings("width = [16, \"a\"]"), "line 2: width is \"a\": expected 8 to 256 channels"),
            (settings("width = [16, 4]"), "line 2: width is 4: expected 8 to 256 channels"),
            (settings("width = [16, 16]"), "line 2: width has the value 16 twice"),
            (
                settings("seed = [1, 2]"),
                "line 2: `seed` cannot be searched: the trainings would be validated on",
            ),
            (settings("threads = [1, 2]"), "line 2: `threads` cannot be searched: it changes no result"),
            (settings("max-lr = { from = 0.1 }"), "line 2: max-lr is { from = 0.1 }: expected"),
            (
                settings("max-lr = { from = 0.1, to = 0.01 }"),
                "from is 0.1 and to is 0.01: expected a smaller from",
            ),
            (settings("max-lr = { from = 0.1, to = nan }"), "line 2: to is nan: expected"),
            (settings("max-lr = { from = 0.1, to = 1, by = 2 }"), "there is no setting `by` here"),
            (settings("max-lr = { from = 0.1, to = 1 }"), "line 2: max-lr has no steps, which a grid needs"),
            (settings("max-lr = { from = 0.1, to = 1, steps = 1 }"), "steps is 1: expected 2 to 100"),
            (
                settings("dropout = { from = 0, to = 0.5, spacing = \"log\" }"),
                "from is 0: expected a number above 0",
            ),
            (
                settings("decay = { from = 1, to = 2, steps = 2 }"),
                "line 2: from is 1: expected l2, decoupled",
            ),
            (
                format!("{random}max-lr = {{ from = 0.1, to = 1, steps = 3 }}"),
                "line 4: steps is 3: expected no steps",
            ),
            (
                "trainings = 5\n[settings]\nflip = [true, false]".into(),
                "line 1: trainings is 5: expected no trainings",
            ),
            (
                "search = \"random\"\n[settings]\nflip = [true, false]".into(),
                "a random search needs trainings",
            ),
            ("search = \"all\"".into(), "line 1: search is \"all\": expected \"grid\" or \"random\""),
            ("halving = 1".into(), "line 1: halving is 1: expected 2 to 10"),
            (
                "min-epochs = 2\n[settings]\nflip = [true, false]".into(),
                "min-epochs is 2: expected it beside halving",
            ),
            (
                "halving = 3\n[settings]\nepochs = [4, 8]".into(),
                "line 3: epochs is [4, 8]: expected one value",
            ),
            (settings(&"width = [16, 32]\n".repeat(2)), "line 3: duplicate key"),
        ] {
            let error = space(&text).map(|_| ()).expect_err(&text).to_string();
            assert!(error.contains(words), "{text}\n{error}");
        }
    }

    #[test]
    fn a_million_combinations_are_rejected_at_once() {
        let names = ["dropout", "erase", "zoom", "aspect", "jitter", "ema"];
        let lines = names.map(|name| format!("{name} = {{ from = 0.0, to = 0.5, steps = 100 }}\n"));
        let error = space(&format!("[settings]\n{}", lines.concat())).map(|_| ()).expect_err("too many");
        let words = "a grid of 1000000000000 combinations, and 1000 trainings are the most; give fewer values, or search";
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn a_combination_that_cannot_be_trained_is_named() {
        let space = space("[settings]\nsize = [24, 48]\nresize = [28, 60]").expect("each value is fine");
        let error = space.candidates(&TrainConfig::default()).map(|_| ()).expect_err("48 of 28");
        let words = "size 48, resize 28 cannot be used together: resize is 28";
        assert!(error.to_string().contains(words), "{error}");
    }
}
