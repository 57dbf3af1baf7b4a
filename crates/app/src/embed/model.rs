//! What a program that embeds the trainer does with a trained model.

use std::path::{Path, PathBuf};

use roentgen_data::{ImageSet, LoadedFiles};

use super::all_fit;
use crate::data_loading::error::DataLoadingError;
use crate::error::AppError;
use crate::metrics::{Predictions, SubsetMetrics};
use crate::model::batch_summary::BatchSummary;
use crate::model::error::ModelError;
use crate::model::image_prediction::{ImagePrediction, predict_images};
use crate::model::inference::evaluate;
use crate::model::model_file;
use crate::model::trained_model::Model;

impl Model {
    /// Reads `model.safetensors`, or the one in a run folder.
    ///
    /// # Errors
    /// [`ModelError::Unreadable`] if there is no such file, [`ModelError::Invalid`] if it is not a model, is damaged,
    /// or was written by another version.
    ///
    /// ```
    /// use roentgen::{AppError, Model};
    ///
    /// let error = Model::read("no-such-run".as_ref()).unwrap_err();
    /// assert!(matches!(error, AppError::Model(_)));
    /// ```
    pub fn read(path: &Path) -> Result<Self, AppError> {
        Ok(model_file::read(path)?)
    }

    /// The classes, in the order of the network's outputs.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.card.class_names
    }

    /// Channels of the images that the network sees: 1 for grey, 3 for colour.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.card.channels
    }

    /// Side of the square that the network sees, in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.card.size as usize
    }

    /// Predicts the class of every image of a set, and compares it with its label: the figures, and what they are computed
    /// from. Intervals are by patient where the patients are known, and count duplicates together.
    ///
    /// The labels of `set` are indices into [`Model::class_names`]; its images have [`Model::channels`] channels, and their
    /// short side is that of the training images, at least [`Model::size`].
    ///
    /// # Errors
    /// [`DataLoadingError::EmptyTest`] for a set without images, [`ModelError::ImagesUnsuitable`] for images of another
    /// kind, [`ModelError::NotFinite`] of a network that computes no finite numbers.
    pub fn evaluate(&self, set: &ImageSet) -> Result<(SubsetMetrics, Predictions), AppError> {
        let class_names = &self.card.class_names;
        if set.is_empty() {
            return Err(DataLoadingError::EmptyTest.into());
        }
        self.check(set)?;
        let evaluation = evaluate(&self.network, set, class_names.len(), &self.card.preprocessing());
        evaluation.check_finite()?;
        let predictions = evaluation.predictions(self.card.temperature);
        Ok((SubsetMetrics::new(class_names.clone(), &predictions, set.groups().ids()), predictions))
    }

    /// Predicts the class of the image in each file (png, jpeg, DICOM, tiff, bmp, webp or gif; any size, grey or colour, 8 or 16
    /// bit). The result has an element for each path: the prediction, or why the file cannot be used. A prediction with a
    /// `reject_reason` is to be shown without its class.
    ///
    /// ```
    /// use roentgen::data::{PhantomOptions, find_files, silent, write_phantom};
    /// use roentgen::{Screen, TrainConfig};
    ///
    /// let config = TrainConfig { films: 24, width: 8, epochs: Some(1), ..TrainConfig::default() };
    /// let screen = Screen::silent();
    /// let data = roentgen::load(&config, &screen)?;
    /// let folder = tempfile::tempdir()?;
    /// let model = roentgen::train(&config, &data, &folder.path().join("run"), &screen)?.model()?;
    ///
    /// let films = folder.path().join("films");
    /// let few = PhantomOptions { train: 3, val: 3, test: 3, ..PhantomOptions::default() };
    /// write_phantom(&films, &few, &silent)?;
    /// let mut paths = find_files(&films.join("test"))?;
    /// paths.push("missing.png".into());
    /// let predictions = model.predict(&paths);
    /// let first = predictions[0].as_ref().expect("a film that can be read");
    /// match first.reject_reason {
    ///     Some(reason) => println!("rejected: {reason}"),
    ///     None => println!("{}: {:.2}", model.class_names()[first.class], first.probabilities[first.class]),
    /// }
    /// assert!(predictions.len() == 4 && predictions[3].is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn predict(&self, paths: &[PathBuf]) -> Vec<Result<ImagePrediction, String>> {
        let sources: Vec<_> = paths.iter().map(|path| path.as_path().into()).collect();
        let LoadedFiles { images, by_source, .. } = self.card.read_images(&sources);
        let mut summary = BatchSummary::new(self.card.class_names.len());
        let predictions = predict_images(self, &images, &mut summary);
        by_source.into_iter().map(|image| image.map(|image| predictions[image].clone())).collect()
    }

    /// Whether the network can be applied to the images of a set.
    fn check(&self, set: &ImageSet) -> Result<(), ModelError> {
        let unsuitable = |found: String, expected: String| {
            Err(ModelError::ImagesUnsuitable { reason: format!("{found}, expected {expected}") })
        };
        let (channels, size, n_classes) = (self.channels(), self.size(), self.card.class_names.len());
        if set.channels() != channels {
            return unsuitable(format!("they have {} channels", set.channels()), channels.to_string());
        }
        if let Some(label) = set.labels().iter().find(|&&label| label as usize >= n_classes) {
            return unsuitable(format!("a label is {label}"), format!("less than {n_classes}"));
        }
        if !all_fit(set, size) {
            return unsuitable("one is too small".to_owned(), format!("at least {size}x{size} pixels"));
        }
        Ok(())
    }
}
