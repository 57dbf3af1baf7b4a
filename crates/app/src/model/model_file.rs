//! A trained model as a safetensors file that other tools can load.
//!
//! Tensors have PyTorch's names, shapes and order of axes, so that `load_state_dict` takes them as they are:
//! filters `(c_out, c_in, k_h, k_w)`, matrices `(out, in)`, and each batch norm's `num_batches_tracked`. All
//! that is not a tensor is one JSON object under the key `roentgen` of the metadata, a [`ModelCard`]. One key,
//! because the order of several would differ from run to run, and so would the bytes. The card holds a digest of the whole
//! file, with zeros in its own place: safetensors has none, and a flipped bit in a weight would go unnoticed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use roentgen_data::{disk, read_file};
use roentgen_layers::{Architecture, CLASSIFIER, RESNET9, ResNet, ResNet9Config};
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};

use super::error::ModelError;
use super::initial_model::{InitialImages, InitialModel};
use super::little_endian::little_endian;
use super::model_card::{ModelCard, NO_DIGEST};
use super::tensors::{Tensor, expect_shape, set_weights, tensors};
use super::torch_file;
use super::trained_model::Model;
use crate::terminal::figures::colour_word;

/// Name of the file in a run folder: the weights of the saved epoch.
pub(crate) const FILE: &str = "model.safetensors";
/// The key of the metadata.
const KEY: &str = "roentgen";
/// A safetensors file begins with the length of its header, in this many bytes.
const LENGTH_BYTES: usize = 8;
/// Largest file that is read: a ResNet9 of width 256 has 0.4 GB.
const MAX_BYTES: u64 = 1 << 30;

/// One tensor ready to be written.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The model as the bytes of a file. `n_steps_done` is what PyTorch calls `num_batches_tracked`.
///
/// # Panics
/// If the network is no ResNet9: the file has no other table of blocks.
#[must_use]
pub(crate) fn to_bytes(network: &ResNet, card: &ModelCard, n_steps_done: u64) -> Vec<u8> {
    assert_eq!(network.architecture().blocks, RESNET9, "a model file contains a ResNet9");
    let mut stored = Vec::new();
    for Tensor { name, shape, values } in tensors(network) {
        if let Some(prefix) = name.strip_suffix("running_mean") {
            let (name, bytes) = (format!("{prefix}num_batches_tracked"), n_steps_done.to_le_bytes().to_vec());
            stored.push(Stored { name, dtype: Dtype::I64, shape: Vec::new(), bytes });
        }
        let bytes = little_endian(&values).into_owned();
        stored.push(Stored { name, dtype: Dtype::F32, shape, bytes });
    }
    let views = stored.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (tensor.name.as_str(), view.expect("bytes and shape agree"))
    });
    let card = ModelCard { digest: NO_DIGEST.to_owned(), ..card.clone() };
    let card = serde_json::to_string(&card).expect("a card is plain numbers and names");
    let metadata = HashMap::from([(KEY.to_owned(), card)]);
    let mut bytes = safetensors::serialize(views, Some(metadata)).expect("names and sizes are in bounds");
    let digest = blake3::hash(&bytes).to_hex();
    let at = position_of(&bytes, NO_DIGEST).expect("the card was just written");
    bytes[at..at + digest.len()].copy_from_slice(digest.as_bytes());
    bytes
}

/// The position of a digest in the bytes of a file.
fn position_of(bytes: &[u8], digest: &str) -> Option<usize> {
    bytes.windows(digest.len()).position(|window| window == digest.as_bytes())
}

/// Whether a file is as it was written.
fn check_digest(bytes: &[u8], card: &ModelCard) -> Result<(), String> {
    let damaged = || "it is damaged: its digest is not that of its content; take a sound copy".to_owned();
    let is_digest = card.digest.len() == NO_DIGEST.len();
    let at = position_of(bytes, &card.digest).filter(|_| is_digest).ok_or_else(damaged)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..at]).update(NO_DIGEST.as_bytes()).update(&bytes[at + NO_DIGEST.len()..]);
    if hasher.finalize().to_hex().as_str() == card.digest { Ok(()) } else { Err(damaged()) }
}

/// Digest of what training decides of a model: the tensors in the bytes of its file, and all of its card but what is
/// fitted after training, by which images are rejected and compared. It is the same before and after they are added to
/// the file.
///
/// # Panics
/// If the bytes are not those of a model file.
#[must_use]
pub(crate) fn weights_digest(bytes: &[u8], card: &ModelCard) -> String {
    let card =
        ModelCard { digest: NO_DIGEST.to_owned(), ood_detector: None, validation: None, ..card.clone() };
    let card = serde_json::to_string(&card).expect("a card is plain numbers and names");
    let (header_len, _) = SafeTensors::read_metadata(bytes).expect("a whole safetensors file");
    let mut hasher = blake3::Hasher::new();
    hasher.update(card.as_bytes()).update(&bytes[LENGTH_BYTES + header_len..]);
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Reads a model file.
///
/// # Errors
/// As [`read_bytes`] and [`decode`].
pub(crate) fn read(path: &Path) -> Result<Model, ModelError> {
    decode(&read_bytes(path)?, path)
}

/// The model in the bytes of the file at `path`.
///
/// # Errors
/// [`ModelError::Invalid`] for a file that Roentgen did not write, that is cut short or damaged, or that holds weights
/// that are not finite.
pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Model, ModelError> {
    from_bytes(bytes).map_err(|reason| ModelError::Invalid { path: path.into(), reason })
}

/// The bytes of a model file. A path to the folder of a run is a path to its model.
///
/// # Errors
/// [`ModelError::Unreadable`]
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    let given = path;
    let path = &path_of(path);
    if !given.exists() {
        return Err(ModelError::Missing { path: given.into() });
    }
    if given.is_dir() && !path.exists() {
        return Err(ModelError::NotInFolder { path: given.into(), inside: folder_inside(given) });
    }
    let unreadable = |source| ModelError::Unreadable { path: path.into(), source };
    read_file(path, MAX_BYTES).map_err(|error| unreadable(error.into()))
}

/// The model file that a user means: the file itself, or that of a run folder.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

/// The first of the folders in `path` that has a model: those of folds, seeds or a sweep.
fn folder_inside(path: &Path) -> Option<PathBuf> {
    let folders = disk::list(path).ok()?.flatten().map(|entry| entry.path());
    folders.filter(|folder| folder.join(FILE).is_file()).min()
}

/// The model in the bytes of a file, or what is wrong with them.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Model, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(not_whole)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(not_whole)?;
    let card = read_card(&metadata)?;
    check_digest(bytes, &card)?;
    // It is the digest of the file, and the card may change from here on.
    let card = ModelCard { digest: NO_DIGEST.to_owned(), ..card };
    // These two tensors show all sizes: a card that does not fit them must not make us allocate memory.
    let ResNet9Config { c_in, n_classes, width, .. } = card.config();
    expect_shape(&tensors, "conv1.0.weight", &[width, c_in, 3, 3])?;
    let n_features = card.config().architecture().n_features();
    expect_shape(&tensors, &format!("{CLASSIFIER}.weight"), &[n_classes, n_features])?;

    let mut network = ResNet::zeros(card.config().architecture());
    set_weights(&mut network, &tensors, "", |_| true)?;
    Ok(Model { network, card })
}

/// BLAKE3 of a model file, as [`InitialModel::file_digest`].
///
/// # Errors
/// As [`read_bytes`].
pub(crate) fn file_digest(path: &Path) -> Result<String, ModelError> {
    Ok(blake3::hash(&read_bytes(path)?).to_hex().to_string())
}

/// What a model took from the file of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Initialisation {
    /// The other one.
    pub model: InitialModel,
    /// Whether the classifier was taken too.
    pub with_classifier: bool,
    /// What stood before the names of its tensors.
    pub prefix: String,
}

/// Sets the weights of `model` to those of a safetensors file, ours or one that PyTorch wrote under the same names. A
/// classifier for another number of classes is not taken.
///
/// # Errors
/// [`ModelError::Unreadable`] and [`ModelError::Invalid`], as [`read`], and the model may then hold a part of the weights;
/// [`ModelError::OtherSizes`].
pub(crate) fn initialise(model: &mut ResNet, path: &Path) -> Result<Initialisation, ModelError> {
    let bytes = read_bytes(path)?;
    let invalid = |reason| ModelError::Invalid { path: path.into(), reason };
    let card = card_of(&bytes).map_err(invalid)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| invalid(not_whole(error)))?;
    let prefix = torch_file::prefix_of(&tensors).map_err(invalid)?;
    check_sizes(model, &tensors, &prefix)
        .map_err(|reason| ModelError::OtherSizes { path: path.into(), reason })?;
    let with_classifier = set_initial_weights(model, &tensors, &prefix).map_err(invalid)?;
    let initial = InitialModel {
        file_digest: blake3::hash(&bytes).to_hex().to_string(),
        has_unknown_training_images: card.as_ref().is_none_or(|card| card.has_unknown_training_images),
        images: card.map(|card| InitialImages { fitted: card.fitted_digests(), all: card.training_digests }),
    };
    Ok(Initialisation { model: initial, with_classifier, prefix })
}

/// The card of a file of ours; a file of PyTorch's has none.
fn card_of(bytes: &[u8]) -> Result<Option<ModelCard>, String> {
    torch_file::reject_pickled(bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(not_whole)?;
    let is_ours = metadata.metadata().as_ref().is_some_and(|map| map.contains_key(KEY));
    let card = is_ours.then(|| read_card(&metadata)).transpose()?;
    card.as_ref().map_or(Ok(()), |card| check_digest(bytes, card))?;
    Ok(card)
}

/// Sets all weights; those of the classifier only if the file has as many classes, which is returned.
fn set_initial_weights(model: &mut ResNet, tensors: &SafeTensors<'_>, prefix: &str) -> Result<bool, String> {
    torch_file::reject_half_precision(tensors)?;
    let bias = tensors.tensor(&format!("{prefix}{CLASSIFIER}.bias")).map_err(not_whole)?;
    let with_classifier = bias.shape() == [model.architecture().n_classes];
    let of_classifier = format!("{CLASSIFIER}.");
    set_weights(model, tensors, prefix, |name| with_classifier || !name.starts_with(&of_classifier))?;
    Ok(with_classifier)
}

/// Fails if the model of the file has another width, or other channels, than the one that is to begin with its weights.
fn check_sizes(model: &ResNet, file: &SafeTensors<'_>, prefix: &str) -> Result<(), String> {
    let Architecture { width, c_in, .. } = *model.architecture();
    let in_file = file.tensor(&format!("{prefix}conv1.0.weight"));
    let shape = in_file.as_ref().map_or(&[][..], |found| found.shape());
    let &[width_in_file, c_in_file, ..] = shape else {
        // What is wrong with the file is found with its other weights.
        return Ok(());
    };
    if width != width_in_file {
        return Err(format!(
            "its model has width {width_in_file} and not {width}; add --width {width_in_file}"
        ));
    }
    if c_in != c_in_file && [1, 3].contains(&c_in_file) {
        let [found, expected] = [c_in_file, c_in].map(colour_word);
        let choice = if c_in_file == 1 { "grey" } else { "rgb" };
        return Err(format!(
            "its model sees {found} images and not {expected} ones; add --channels {choice}"
        ));
    }
    Ok(())
}

fn not_whole(error: safetensors::SafeTensorError) -> String {
    format!("it is not a whole safetensors file ({error})")
}

fn read_card(metadata: &Metadata) -> Result<ModelCard, String> {
    let text = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
    let text = text.ok_or_else(|| format!("its metadata has no key `{KEY}`"))?;
    let card: ModelCard = serde_json::from_str(text).map_err(|error| format!("its metadata: {error}"))?;
    card.check().map_err(|text| format!("its metadata: {text}"))?;
    Ok(card)
}

#[cfg(test)]
pub(crate) mod tests;
