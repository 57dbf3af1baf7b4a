//! `roentgen describe`: layers, sizes and settings of a model file.

use std::path::Path;

use roentgen_data::TtaConfig;
use roentgen_layers::{Architecture, CLASSIFIER, ConvSpec};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::AppError;
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::trained_model::Model;
use crate::terminal::figures::colour_word;
use crate::terminal::screen::{Screen, counted, mebibytes, table, thousands};
use crate::training::memory_estimate::{MemoryEstimate, RunSizes};

/// The smaller one of the default batch sizes.
const TRAINING_BATCH: usize = 32;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Description<'a> {
    layers: &'a [LayerSize],
    parameters: usize,
    multiply_adds: usize,
    weight_bytes: usize,
    activation_bytes: usize,
    train_memory_bytes: usize,
    digest: &'a str,
    card: Map<String, Value>,
}

/// The size and the work of one layer, for one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LayerSize {
    /// Name of the layer.
    pub name: String,
    /// `(h, w, c)` of its output, after its pooling if it has one.
    pub output: [usize; 3],
    /// Number of trainable parameters.
    pub parameters: usize,
    /// Multiply-adds of its convolution or matrix product.
    pub multiply_adds: usize,
}

/// The layers of a network, for one image of `size` x `size`.
#[must_use]
pub(crate) fn layers(architecture: &Architecture, size: usize) -> Vec<LayerSize> {
    let convolutions = architecture.convolutions().into_iter();
    let mut rows: Vec<LayerSize> = convolutions.map(|conv| size_of_convolution(conv, size)).collect();
    let (features, n_classes) = (architecture.n_features(), architecture.n_classes);
    let of = |name: &str, c: usize, parameters, multiply_adds| LayerSize {
        name: name.to_owned(),
        output: [1, 1, c],
        parameters,
        multiply_adds,
    };
    rows.push(of("pool", features, 0, 0));
    rows.push(of(CLASSIFIER, n_classes, architecture.n_classifier_parameters(), features * n_classes));
    rows
}

fn size_of_convolution(conv: ConvSpec, size: usize) -> LayerSize {
    let g = conv.geometry(1, size, size);
    let shrink = if conv.pool { 2 } else { 1 };
    LayerSize {
        parameters: conv.n_parameters(),
        name: conv.name,
        output: [g.h / shrink, g.w / shrink, g.c_out],
        multiply_adds: g.h * g.w * g.weight_len(),
    }
}

/// Describes the model at `path`.
///
/// # Errors
/// If `path` is not a model file.
pub(crate) fn run(path: &Path, screen: &Screen) -> Result<(), AppError> {
    let bytes = model_file::read_bytes(path)?;
    let digest = blake3::hash(&bytes).to_hex();
    let Model { card, .. } = model_file::decode(&bytes, path)?;
    let rows = layers(&card.config().architecture(), card.size as usize);
    let parameters: usize = rows.iter().map(|row| row.parameters).sum();
    let multiply_adds: usize = rows.iter().map(|row| row.multiply_adds).sum();
    // The outputs of the layers; training also stores the values before the pooling.
    let activations: usize = rows.iter().map(|row| row.output.iter().product::<usize>()).sum();
    let (weight_bytes, activation_bytes) = (4 * parameters, 4 * activations);
    show_card(&card, &digest, screen);
    screen.line("");
    screen.indented(&layer_table(&rows));
    screen.line("");
    let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let sizes = RunSizes {
        n_shards: 1,
        batch: TRAINING_BATCH,
        size: card.size as usize,
        n_threads: rayon::current_num_threads(),
        n_validated: TRAINING_BATCH,
        n_evaluated: TRAINING_BATCH,
        data_bytes: 0,
        is_averaged: false,
    };
    let train_memory_bytes = MemoryEstimate::of_sizes(&card.config(), sizes).total_bytes;
    screen.field(
        "memory",
        &format!(
            "{} of weights, {} of activations for one image; training takes about {} with {TRAINING_BATCH} images in a \
             step, besides the data",
            mib(weight_bytes),
            mib(activation_bytes),
            mebibytes(train_memory_bytes as u64)
        ),
    );
    screen.result(&Description {
        layers: &rows,
        parameters,
        multiply_adds,
        weight_bytes,
        activation_bytes,
        train_memory_bytes,
        digest: &digest,
        card: without_digests(&card),
    });
    Ok(())
}

/// A card without the digests of the training and validation images: one of each is too many to show.
fn without_digests(card: &ModelCard) -> Map<String, Value> {
    // By way of text, in which numbers of 32 bits have few digits.
    let text = serde_json::to_string(card).expect("a card is plain numbers and names");
    let all: Map<String, Value> = serde_json::from_str(&text).expect("our own text");
    all.into_iter().filter(|(key, _)| !["seen", "held_out"].contains(&&key[..])).collect()
}

/// Everything about the model except its layers.
fn show_card(card: &ModelCard, digest: &str, screen: &Screen) {
    screen
        .field("model", &format!("ResNet9 of width {}, after {}", card.width, counted(card.epoch, "epoch")));
    screen.field("digest", &format!("BLAKE3 {digest}"));
    screen.field("classes", &card.class_names.join(", "));
    let rounded =
        |values: &[f32]| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", ");
    let by = if card.normalization.per_image {
        "each image to mean 0 and standard deviation 1".to_owned()
    } else {
        format!(
            "mean {} and standard deviation {} of the training images",
            rounded(&card.normalization.mean),
            rounded(&card.normalization.std)
        )
    };
    screen.field(
        "input",
        &format!(
            "{}, {}, centre crop {size}x{size}; normalised by {by}",
            colour_word(card.channels),
            card.fit.in_words(card.resize),
            size = card.size
        ),
    );
    let rejects = if card.ood_detector.is_some() {
        "rejects images unlike its training images"
    } else {
        "rejects no image"
    };
    screen.field("output", &format!("logits / {:.3}, softmax; {rejects}", card.temperature));
    if card.tta != TtaConfig::default() {
        screen.field("TTA", &format!("mean logits of {}", card.tta));
    }
    if let Some(words) = card.prior.in_words() {
        screen.field("prior", &words);
    }
    screen.field("computed", &format!("with {}", card.instruction_sets));
    if let Some(trained) = &card.trained_on {
        screen.field(
            "trained",
            &format!(
                "on {}: {} training and {} validation images; seed {}",
                trained.data, trained.n_train, trained.n_val, card.seed
            ),
        );
    }
}

/// The layers as a table, headings first, the total last.
fn layer_table(rows: &[LayerSize]) -> Vec<String> {
    let mut lines = vec![["layer", "output", "parameters", "multiply-adds"].map(str::to_owned).to_vec()];
    for LayerSize { name, output: [h, w, c], parameters, multiply_adds } in rows {
        lines.push(vec![
            name.clone(),
            format!("{h}x{w}x{c}"),
            thousands(*parameters),
            thousands(*multiply_adds),
        ]);
    }
    let total_parameters = rows.iter().map(|row| row.parameters).sum();
    let total_multiply_adds = rows.iter().map(|row| row.multiply_adds).sum();
    lines.push(vec![
        "total".to_owned(),
        String::new(),
        thousands(total_parameters),
        thousands(total_multiply_adds),
    ]);
    table(&lines)
}

#[cfg(test)]
mod tests;
