//! The data sets of several trainings. Images are decoded once as long as the settings that decoding depends on stay the same:
//! the folds of a cross-validation, and several seeds, only split them differently.

use std::path::PathBuf;

use roentgen_data::{Alone, Dataset, DecodedImages, LoadOptions, Team};

use super::load::{accept, add_notes, load_together};
use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::terminal::screen::Screen;

/// All that a data set depends on.
#[derive(PartialEq)]
struct DataKey {
    data: PathBuf,
    /// Phantom films.
    films: u32,
    options: LoadOptions,
}

impl DataKey {
    fn of(config: &TrainConfig) -> Result<Self, DataLoadingError> {
        Ok(Self { data: config.data.clone(), films: config.films, options: config.load_options()? })
    }
}

/// The positions of trainings in an order in which those with the same data set follow each other: it is then loaded once.
///
/// # Errors
/// As [`load`](super::load::load) of such settings.
pub(crate) fn grouped_by_data<'a>(
    configs: impl Iterator<Item = &'a TrainConfig>,
) -> Result<Vec<usize>, DataLoadingError> {
    let keys: Vec<DataKey> = configs.map(DataKey::of).collect::<Result<_, _>>()?;
    let mut positions: Vec<usize> = (0..keys.len()).collect();
    positions.sort_by_cached_key(|&position| keys.iter().position(|key| *key == keys[position]));
    Ok(positions)
}

/// Loads the data set of one training after the other.
#[derive(Default)]
pub(crate) struct DataLoader {
    images: Option<(PathBuf, DecodedImages)>,
    current: Option<(DataKey, Dataset)>,
    drops_test: bool,
}

impl DataLoader {
    /// One whose data sets have no test images, also where the data have a test set.
    pub(crate) fn without_test() -> Self {
        Self { drops_test: true, ..Self::default() }
    }

    /// The data set that [`load`](super::load::load) returns; shows what was found in it, unless it is that of the call before.
    ///
    /// # Errors
    /// As [`load`](super::load::load).
    pub(crate) fn load(
        &mut self,
        config: &TrainConfig,
        screen: &Screen,
    ) -> Result<&Dataset, DataLoadingError> {
        self.load_together(config, &Alone, screen)
    }

    /// [`Self::load`] by several processes, each of which decodes a share of the files.
    ///
    /// # Errors
    /// As [`load_together`].
    pub(crate) fn load_together(
        &mut self,
        config: &TrainConfig,
        team: &dyn Team,
        screen: &Screen,
    ) -> Result<&Dataset, DataLoadingError> {
        let key = DataKey::of(config)?;
        if self.current.as_ref().is_none_or(|(current, _)| *current != key) {
            // Its memory is needed for the next one.
            self.current = None;
            let mut data = match config.uses_phantom() {
                true => load_together(config, team, screen)?,
                false => self.split(config, &key, team, screen)?,
            };
            if self.drops_test {
                data.remove_test();
            }
            self.current = Some((key, data));
        }
        let (_, data) = self.current.as_ref().expect("it was just loaded");
        Ok(data)
    }

    fn split(
        &mut self,
        config: &TrainConfig,
        DataKey { options, .. }: &DataKey,
        team: &dyn Team,
        screen: &Screen,
    ) -> Result<Dataset, DataLoadingError> {
        let is_decoded = |(path, images): &(PathBuf, DecodedImages)| {
            *path == config.data && images.can_be_split_by(options)
        };
        if !self.images.as_ref().is_some_and(is_decoded) {
            config.check_used()?;
            self.images = None;
            let images = DecodedImages::load(&config.data, options, team, &screen.loading())?;
            self.images = Some((config.data.clone(), images));
        }
        let (path, images) = self.images.as_ref().expect("they were just decoded");
        let mut data = images.split(options)?;
        add_notes(config, &mut data);
        accept(config, data, &path.display().to_string(), screen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainings_with_the_same_data_set_follow_each_other() {
        let config = |(size, max_lr): (u32, f64)| TrainConfig { size, max_lr, ..TrainConfig::default() };
        let configs = [(24, 0.01), (48, 0.01), (24, 0.02), (32, 0.01), (48, 0.02)].map(config);
        assert_eq!(grouped_by_data(configs.iter()).expect("usable settings"), [0, 2, 1, 4, 3]);
    }
}
