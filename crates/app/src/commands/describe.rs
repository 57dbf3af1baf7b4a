//! `roentgen describe`: what a model file holds, without asking it anything.

use std::path::Path;

use roentgen_data::TtaConfig;
use roentgen_tensor::conv2d::TAPS;
use serde::Serialize;

use crate::error::AppError;
use crate::model::model_file::{self, ModelCard};
use crate::terminal::screen::{Screen, table, thousands};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Description<'a> {
    layers: &'a [Row],
    parameters: usize,
    multiply_adds: usize,
    weight_bytes: usize,
    activation_bytes: usize,
    digest: &'a str,
    card: &'a ModelCard,
}

/// A layer, for one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub name: String,
    /// `(h, w, c)` of its output, pooled where it ends in a pool.
    pub output: [usize; 3],
    /// Trainable numbers.
    pub parameters: usize,
    /// Of its convolution or matrix.
    pub multiply_adds: usize,
}

/// The layers of a model.
#[must_use]
pub(crate) fn layers(card: &ModelCard) -> Vec<Row> {
    let size = card.size as usize;
    let convolutions = card.config().convolutions(1, size, size);
    let mut rows: Vec<Row> = convolutions
        .into_iter()
        .map(|(name, g)| {
            let is_pooled = matches!(name, "conv2" | "conv3" | "conv4");
            let shrink = if is_pooled { 2 } else { 1 };
            Row {
                name: name.to_owned(),
                output: [g.h / shrink, g.w / shrink, g.c_out],
                // Filter, bias, gamma, beta.
                parameters: (TAPS * g.c_in + 3) * g.c_out,
                multiply_adds: g.h * g.w * TAPS * g.c_in * g.c_out,
            }
        })
        .collect();
    let (features, n_classes) = (8 * card.width, card.class_names.len());
    let of = |name: &str, c: usize, parameters, multiply_adds| Row {
        name: name.to_owned(),
        output: [1, 1, c],
        parameters,
        multiply_adds,
    };
    rows.push(of("pool", features, 0, 0));
    rows.push(of("classifier", n_classes, (features + 1) * n_classes, features * n_classes));
    rows
}

/// Shows what the model at `path` is.
///
/// # Errors
/// For a file that is no model.
pub(crate) fn run(path: &Path, screen: &Screen) -> Result<(), AppError> {
    let bytes = model_file::read_bytes(path)?;
    let digest = blake3::hash(&bytes).to_hex();
    let (_, card) = model_file::decode(&bytes, path)?;
    // Digests, as many as pictures: nothing for people.
    let card = ModelCard { training_digests: None, ..card };
    let rows = layers(&card);
    let parameters: usize = rows.iter().map(|row| row.parameters).sum();
    let multiply_adds: usize = rows.iter().map(|row| row.multiply_adds).sum();
    // What flows between layers; while training, what lies before the pools is kept as well.
    let activations: usize = rows.iter().map(|row| row.output.iter().product::<usize>()).sum();
    let (weight_bytes, activation_bytes) = (4 * parameters, 4 * activations);
    screen.field("model", &format!("ResNet9 of width {}, after {} epochs", card.width, card.epoch));
    screen.field("digest", &format!("BLAKE3 {digest}"));
    screen.field("classes", &card.class_names.join(", "));
    let colour = if card.channels == 1 { "grey" } else { "colour" };
    let rounded =
        |values: &[f32]| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", ");
    let by = if card.normalization.per_image {
        "each picture to mean 0 and deviation 1".to_owned()
    } else {
        format!(
            "mean {} and deviation {} of the training pictures",
            rounded(&card.normalization.mean),
            rounded(&card.normalization.std)
        )
    };
    screen.field(
        "input",
        &format!(
            "{colour}, short side {}, centre {size}x{size}; normalised by {by}",
            card.resize,
            size = card.size
        ),
    );
    let refuses = if card.novelty.is_some() {
        "refuses what is unlike its training pictures"
    } else {
        "refuses nothing"
    };
    screen.field("output", &format!("logits / {:.3}, softmax; {refuses}", card.temperature));
    if card.looks != TtaConfig::default() {
        screen.field("answer", &format!("the mean logits of {}", card.looks));
    }
    if let Some(words) = card.prior.in_words() {
        screen.field("prior", words);
    }
    if let Some(trained) = &card.trained_on {
        screen.field(
            "trained",
            &format!(
                "on {}: {} pictures, {} to validate on; seed {}",
                trained.data, trained.n_train, trained.n_val, card.seed
            ),
        );
    }
    screen.line("");
    let mut lines = vec![["layer", "output", "parameters", "multiply-adds"].map(str::to_owned).to_vec()];
    for Row { name, output: [h, w, c], parameters, multiply_adds } in &rows {
        lines.push(vec![
            name.clone(),
            format!("{h}x{w}x{c}"),
            thousands(*parameters),
            thousands(*multiply_adds),
        ]);
    }
    lines.push(vec!["all".to_owned(), String::new(), thousands(parameters), thousands(multiply_adds)]);
    table(&lines).iter().for_each(|line| screen.line(&format!("  {line}")));
    screen.line("");
    let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    screen.field(
        "memory",
        &format!(
            "{} of weights, {} of activations for one picture",
            mib(weight_bytes),
            mib(activation_bytes)
        ),
    );
    screen.result(&Description {
        layers: &rows,
        parameters,
        multiply_adds,
        weight_bytes,
        activation_bytes,
        digest: &digest,
        card: &card,
    });
    Ok(())
}
