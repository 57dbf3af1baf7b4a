//! A trained model as a safetensors file that other tools can load.
//!
//! Tensors have PyTorch's names, shapes and order of axes, so that `load_state_dict` takes them as they are:
//! filters `(c_out, c_in, k_h, k_w)`, matrices `(out, in)`, and each batch norm's `num_batches_tracked`. All
//! that is not a tensor is one JSON object under the key `roentgen` of the metadata, a [`ModelCard`]. One key,
//! because the order of several would differ from run to run, and so would the bytes. Among it is a digest of the whole
//! file, itself left blank: safetensors has none, and a flipped bit in a weight would go unseen.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::{ArrayViewD, IxDyn};
use roentgen_data::{LoadOptions, Normalization, TtaConfig};
use roentgen_layers::{ResNet, ResNet9, ResNet9Config};
use roentgen_tensor::parameter::ParameterKind;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::little_endian::little_endian;
use crate::config::ClassPrior;
use crate::model::error::ModelError;
use crate::model::inference::Preprocessing;
use crate::model::novelty::Novelty;
use crate::model::training_digests::TrainingDigests;

/// Name of the file in a run folder: the weights of the best epoch.
pub(crate) const FILE: &str = "model.safetensors";
/// Version of the layout; a reader refuses others.
const FORMAT: u32 = 2;
/// The key of the metadata.
const KEY: &str = "roentgen";
/// Stands for the digest while the digest is taken.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// A safetensors file begins with the length of its header, in this many bytes.
const LENGTH_BYTES: usize = 8;
/// Largest file that is read: a ResNet9 of width 256 has 0.4 GB.
const MAX_BYTES: u64 = 1 << 30;

/// What a model needs besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelCard {
    /// Version of the layout of the file.
    pub format: u32,
    /// BLAKE3 of the file with zeros in this place; [`to_bytes`] fills it in, [`read`] checks it.
    pub digest: String,
    /// The classes in the order of the outputs.
    pub class_names: Vec<String>,
    /// 1 for grey pictures, 3 for colour.
    pub channels: usize,
    /// Short side that pictures are brought to, in pixels.
    pub resize: u32,
    /// Side of the crop, in pixels.
    pub size: u32,
    /// Mean and standard deviation of the training pictures.
    #[serde(flatten)]
    pub normalization: Normalization,
    /// How often and in which ways each picture is looked at.
    #[serde(flatten)]
    pub looks: TtaConfig,
    /// What logits are divided by before they become probabilities; fitted on validation.
    #[serde(default = "no_temperature")]
    pub temperature: f64,
    /// How common its answers take each class to be.
    #[serde(default)]
    pub prior: ClassPrior,
    /// Channels after the first convolution.
    pub width: usize,
    /// The seed of the run; splits were drawn with it.
    pub seed: u64,
    /// Share that was split off to validate on, where the folder had no such part.
    pub val_fraction: f64,
    /// Share that was split off to test on.
    pub test_fraction: f64,
    /// The pattern for patients that splits went by, if not the built-in ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_pattern: Option<String>,
    /// Which fold, from 1, of how many it was tested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<[usize; 2]>,
    /// Recognises the folder trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Phantom films trained on, if it were those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub films: Option<u32>,
    /// Passes over the training part that made these weights.
    pub epoch: usize,
    /// What it was trained on, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
    /// When to refuse an answer; fitted when training has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<Novelty>,
    /// The pictures that it was trained on and that its epoch was chosen by; files of earlier versions do not say.
    #[serde(rename = "seen", default, skip_serializing_if = "Option::is_none")]
    pub training_digests: Option<TrainingDigests>,
}

/// What a model was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrainedOn {
    /// The last part of the path of the data, or what they are.
    pub data: String,
    /// Pictures trained on.
    pub n_train: usize,
    /// Pictures that the epoch was chosen by.
    pub n_val: usize,
}

/// Of a model that was not calibrated.
fn no_temperature() -> f64 {
    1.0
}

impl ModelCard {
    /// How pictures are looked at.
    #[must_use]
    pub(crate) fn preprocessing(&self) -> Preprocessing<'_> {
        Preprocessing { crop: self.size as usize, normalization: &self.normalization, looks: self.looks }
    }

    /// How images without a class are loaded for this model.
    #[must_use]
    pub(crate) fn image_options(&self) -> LoadOptions {
        LoadOptions { resize: self.resize, crop: self.size, ..LoadOptions::default() }
    }

    /// The version of the layout that this program writes.
    #[must_use]
    pub(crate) fn current_format() -> u32 {
        FORMAT
    }

    /// What stands for the digest of a file that is yet to be written.
    #[must_use]
    pub(crate) fn no_digest() -> String {
        NO_DIGEST.to_owned()
    }

    pub(crate) fn config(&self) -> ResNet9Config {
        let n_classes = self.class_names.len();
        ResNet9Config { width: self.width, dropout: 0.0, ..ResNet9Config::new(self.channels, n_classes) }
    }

    /// Refuses figures that no file of ours has, before memory is taken for them.
    fn validate(&self) -> Result<(), String> {
        let Self { channels, width, size, resize, class_names, normalization, .. } = self;
        let stds_are_positive = normalization.std.iter().all(|&std| std > 0.0 && std.is_finite());
        let means_are_finite = normalization.mean.iter().all(|mean| mean.is_finite());
        let rules = [
            (self.format == FORMAT, format!("format is {}, expected {FORMAT}", self.format)),
            (matches!(channels, 1 | 3), format!("channels is {channels}, expected 1 or 3")),
            ((1..=256).contains(width), format!("width is {width}, expected 1 to 256")),
            ((8..=512).contains(size), format!("size is {size}, expected 8 to 512")),
            ((*size..=8192).contains(resize), format!("resize is {resize}, expected {size} to 8192")),
            (
                (2..=10_000).contains(&class_names.len()),
                format!("it has {} classes, expected 2 to 10,000", class_names.len()),
            ),
            (
                normalization.mean.len() == *channels && normalization.std.len() == *channels,
                "mean and std don't have one number per channel".to_owned(),
            ),
            (stds_are_positive && means_are_finite, "mean and std are out of range".to_owned()),
            (
                self.fold.is_none_or(|[fold, of]| (2..=100).contains(&of) && (1..=of).contains(&fold)),
                format!("fold is {:?}, expected one of 2 to 100 folds", self.fold),
            ),
            (
                [self.looks.zoom, self.looks.aspect].iter().all(|share| (0.0..=4.0).contains(share)),
                format!("it is asked with {:?}, expected shares of 0 to 4", self.looks),
            ),
            (
                self.temperature > 0.0 && self.temperature.is_finite(),
                format!("temperature is {}, expected a number above 0", self.temperature),
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, text)| Err(text))?;
        let sizes = (class_names.len(), self.config().architecture().n_features(), *size as usize);
        self.novelty.as_ref().map_or(Ok(()), |novelty| novelty.validate(sizes.0, sizes.1, sizes.2))
    }
}

/// A tensor with PyTorch's name and order of axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    /// Such as `res1.0.0.weight`.
    pub name: String,
    /// Sides.
    pub shape: Vec<usize>,
    /// The last axis is the one that lies together.
    pub values: Vec<f32>,
}

/// The parameters of a model, then its running statistics.
#[must_use]
pub(crate) fn tensors(model: &ResNet) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    model.for_each_parameter(&mut |parameter| {
        let axes = axes_to_torch(parameter.kind);
        let shape = axes.iter().map(|&axis| parameter.shape[axis]).collect();
        let values = if axes.len() > 1 {
            // Our last axis is PyTorch's first one, and the others keep their order: a matrix, turned over.
            turned_over(&parameter.value, parameter.shape[parameter.shape.len() - 1])
        } else {
            parameter.value.to_vec()
        };
        tensors.push(Tensor { name: parameter.name.clone(), shape, values });
    });
    model.for_each_buffer(&mut |buffer| {
        let (name, shape) = (buffer.name.clone(), vec![buffer.value.len()]);
        tensors.push(Tensor { name, shape, values: buffer.value.to_vec() });
    });
    tensors
}

/// The transpose of a matrix of `n_columns` columns.
fn turned_over(values: &[f32], n_columns: usize) -> Vec<f32> {
    /// Columns that are read together: as many as a cache line has.
    const BLOCK: usize = 16;
    let n_rows = values.len() / n_columns;
    let mut out = vec![0.0; values.len()];
    for first in (0..n_columns).step_by(BLOCK) {
        for (row, values) in values.chunks_exact(n_columns).enumerate() {
            for (column, &value) in values.iter().enumerate().skip(first).take(BLOCK) {
                out[column * n_rows + row] = value;
            }
        }
    }
    out
}

/// One tensor ready to be written.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The model as the bytes of a file. `n_steps` is what PyTorch calls `num_batches_tracked`.
#[must_use]
pub(crate) fn to_bytes(model: &ResNet9, card: &ModelCard, n_steps: u64) -> Vec<u8> {
    let mut stored = Vec::new();
    for Tensor { name, shape, values } in tensors(model) {
        if let Some(prefix) = name.strip_suffix("running_mean") {
            let (name, bytes) = (format!("{prefix}num_batches_tracked"), n_steps.to_le_bytes().to_vec());
            stored.push(Stored { name, dtype: Dtype::I64, shape: Vec::new(), bytes });
        }
        let bytes = little_endian(&values).into_owned();
        stored.push(Stored { name, dtype: Dtype::F32, shape, bytes });
    }
    let views = stored.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (tensor.name.as_str(), view.expect("bytes and shape agree"))
    });
    let card = ModelCard { digest: ModelCard::no_digest(), ..card.clone() };
    let card = serde_json::to_string(&card).expect("a card is plain numbers and names");
    let metadata = HashMap::from([(KEY.to_owned(), card)]);
    let mut bytes = safetensors::serialize(views, Some(metadata)).expect("names and sizes are in bounds");
    let digest = blake3::hash(&bytes).to_hex();
    let place = place_of(&bytes, NO_DIGEST).expect("the card was just written");
    bytes[place..place + digest.len()].copy_from_slice(digest.as_bytes());
    bytes
}

/// Where a digest stands in the bytes of a file.
fn place_of(bytes: &[u8], digest: &str) -> Option<usize> {
    bytes.windows(digest.len()).position(|window| window == digest.as_bytes())
}

/// Whether a file is as it was written.
fn check_digest(bytes: &[u8], card: &ModelCard) -> Result<(), String> {
    let damaged = || "it is damaged: its digest is not that of its content; take a sound copy".to_owned();
    let is_digest = card.digest.len() == NO_DIGEST.len();
    let place = place_of(bytes, &card.digest).filter(|_| is_digest).ok_or_else(damaged)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..place]).update(NO_DIGEST.as_bytes()).update(&bytes[place + NO_DIGEST.len()..]);
    if hasher.finalize().to_hex().as_str() == card.digest { Ok(()) } else { Err(damaged()) }
}

/// Digest of what training decides of a model: the tensors in the bytes of its file, and all of its card but the novelty
/// data, which are fitted after training. It is the same before and after they are added to the file.
///
/// # Panics
/// If the bytes are not those of a model file.
#[must_use]
pub(crate) fn training_digest(bytes: &[u8], card: &ModelCard) -> String {
    let card = ModelCard { digest: ModelCard::no_digest(), novelty: None, ..card.clone() };
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
pub(crate) fn read(path: &Path) -> Result<(ResNet9, ModelCard), ModelError> {
    decode(&read_bytes(path)?, path)
}

/// The model in the bytes of the file at `path`.
///
/// # Errors
/// [`ModelError::Invalid`] for a file that Roentgen did not write, that is cut short or damaged, or that holds weights
/// that are not finite.
pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<(ResNet9, ModelCard), ModelError> {
    from_bytes(bytes).map_err(|reason| ModelError::Invalid { path: path.into(), reason })
}

/// The bytes of a model file; of a larger file than [`decode`] accepts, one byte more than that. A path to the folder of a
/// run is a path to its model.
///
/// # Errors
/// [`ModelError::Unreadable`]
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    let path = &if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let unreadable = |source| ModelError::Unreadable { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The model in the bytes of a file, or what is wrong with them.
fn from_bytes(bytes: &[u8]) -> Result<(ResNet9, ModelCard), String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    let broken = |error| format!("it is not a whole safetensors file ({error})");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let card = read_card(&metadata)?;
    check_digest(bytes, &card)?;
    // It was the file's; the card is free to change.
    let card = ModelCard { digest: ModelCard::no_digest(), ..card };
    // The two tensors that show all sizes, so that a wrong card takes no memory.
    let ResNet9Config { c_in, n_classes, width, .. } = card.config();
    expect_shape(&tensors, "conv1.0.weight", &[width, c_in, 3, 3])?;
    expect_shape(&tensors, "classifier.weight", &[n_classes, card.config().architecture().n_features()])?;

    let mut model = ResNet9::new(&card.config(), 0);
    set_weights(&mut model, &tensors, |_| true)?;
    Ok((model, card))
}

/// Sets the tensors that `takes` accepts by name to those of a file.
fn set_weights(
    model: &mut ResNet9,
    tensors: &SafeTensors<'_>,
    takes: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let mut outcome = Ok(());
    model.for_each_parameter_mut(&mut |parameter| {
        if !takes(&parameter.name) {
            return;
        }
        let axes = axes_to_torch(parameter.kind);
        let shape: Vec<usize> = axes.iter().map(|&axis| parameter.shape[axis]).collect();
        let read = read_tensor(tensors, &parameter.name, &shape).map(|values| {
            let torch = ArrayViewD::from_shape(IxDyn(&shape), &values).expect("shape and length agree");
            let mut back = vec![0; axes.len()];
            axes.iter().enumerate().for_each(|(at, &axis)| back[axis] = at);
            for (to, from) in parameter.value.iter_mut().zip(torch.permuted_axes(IxDyn(&back)).iter()) {
                *to = *from;
            }
        });
        keep_first_error(&mut outcome, read);
    });
    model.for_each_buffer_mut(&mut |buffer| {
        let read = read_tensor(tensors, &buffer.name, &[buffer.value.len()]).and_then(|values| {
            let is_variance = buffer.name.ends_with("running_var");
            match values.iter().find(|&&value| is_variance && value < 0.0) {
                Some(value) => {
                    Err(format!("tensor {} holds {value}, expected no negative number", buffer.name))
                }
                None => Ok(values),
            }
        });
        keep_first_error(&mut outcome, read.map(|values| buffer.value.copy_from_slice(&values)));
    });
    outcome
}

/// What a file gave a model to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Whether the classifier was taken too.
    pub with_classifier: bool,
    /// The pictures that the weights were trained on, where the file says so.
    pub seen: Option<TrainingDigests>,
}

/// Sets the weights of `model` to those of a safetensors file, ours or one that PyTorch wrote under the same names. A
/// classifier for another number of classes is left as it is.
///
/// # Errors
/// [`ModelError::Unreadable`] and [`ModelError::Invalid`], as [`read`]; the model may then hold a part of it.
pub(crate) fn initialise(model: &mut ResNet9, path: &Path) -> Result<Start, ModelError> {
    let bytes = read_bytes(path)?;
    let broken = |error| format!("it is not a whole safetensors file ({error})");
    let tensors = SafeTensors::read_metadata(&bytes).map_err(broken).and_then(|(_, metadata)| {
        // One of ours has a digest, one of PyTorch's has not.
        let mut seen = None;
        if metadata.metadata().as_ref().is_some_and(|map| map.contains_key(KEY)) {
            let card = read_card(&metadata)?;
            check_digest(&bytes, &card)?;
            seen = card.training_digests;
        }
        Ok((SafeTensors::deserialize(&bytes).map_err(broken)?, seen))
    });
    let mut n_classes = 0;
    model.for_each_parameter(&mut |parameter| {
        if parameter.name == "classifier.bias" {
            n_classes = parameter.value.len();
        }
    });
    let set = tensors.and_then(|(tensors, seen)| {
        let bias =
            tensors.tensor("classifier.bias").map_err(|_| "it has no tensor classifier.bias".to_owned())?;
        let with_classifier = bias.shape() == [n_classes];
        set_weights(model, &tensors, |name| with_classifier || !name.starts_with("classifier."))?;
        Ok(Start { with_classifier, seen })
    });
    set.map_err(|reason| ModelError::Invalid { path: path.into(), reason })
}

fn keep_first_error(outcome: &mut Result<(), String>, next: Result<(), String>) {
    if outcome.is_ok() {
        *outcome = next;
    }
}

fn read_card(metadata: &Metadata) -> Result<ModelCard, String> {
    let text = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
    let text = text.ok_or_else(|| format!("its metadata has no key `{KEY}`"))?;
    let card: ModelCard = serde_json::from_str(text).map_err(|error| format!("its metadata: {error}"))?;
    card.validate().map_err(|text| format!("its metadata: {text}"))?;
    Ok(card)
}

fn expect_shape<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    shape: &[usize],
) -> Result<TensorView<'a>, String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("it has no tensor {name}"))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        let (dtype, found) = (tensor.dtype(), tensor.shape());
        return Err(format!("tensor {name} is {dtype:?} of shape {found:?}, expected F32 of {shape:?}"));
    }
    Ok(tensor)
}

fn read_tensor(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let tensor = expect_shape(tensors, name, shape)?;
    let (quads, _) = tensor.data().as_chunks::<4>();
    let values: Vec<f32> = quads.iter().map(|&quad| f32::from_le_bytes(quad)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(format!("tensor {name} holds {} at {at}, expected a finite number", values[at])),
        None => Ok(values),
    }
}

/// Which of our axes comes at each place in PyTorch's order.
fn axes_to_torch(kind: ParameterKind) -> &'static [usize] {
    match kind {
        ParameterKind::ConvWeight => &[3, 0, 1, 2],
        ParameterKind::LinearWeight => &[1, 0],
        ParameterKind::Bias | ParameterKind::BatchNormGamma | ParameterKind::BatchNormBeta => &[0],
    }
}

#[cfg(test)]
pub(crate) mod tests;
