//! A trained model as one value.

use roentgen_layers::ResNet;

use super::model_card::ModelCard;

/// A trained model: the network with everything that a prediction needs besides its weights. Threads can share one:
/// predictions do not change it.
///
/// ```
/// use roentgen::{Model, Screen, TrainConfig};
///
/// let config = TrainConfig { films: 24, width: 8, epochs: Some(1), ..TrainConfig::default() };
/// let screen = Screen::silent();
/// let data = roentgen::load(&config, &screen)?;
/// let folder = tempfile::tempdir()?;
/// let run = roentgen::train(&config, &data, &folder.path().join("run"), &screen)?;
///
/// let model = Model::read(&run.folder)?;
/// assert_eq!(model.class_names(), data.class_names);
/// let (metrics, _) = model.evaluate(&data.test)?;
/// assert_eq!(Some(metrics), run.test);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    /// Its weights and running statistics.
    pub(crate) network: ResNet,
    /// What a prediction needs besides them.
    pub(crate) card: ModelCard,
}
