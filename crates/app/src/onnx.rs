//! `roentgen export --onnx`: a model as an ONNX file, with all that lies between pixels and probabilities inside.
//!
//! ```text
//! pixels (batch, c, size, size) in 0 to 1
//!   -> (pixels - mean) / std -> eight convolutions, batch norm folded into them -> logits
//!   -> logits / temperature -> softmax -> probabilities (batch, classes)
//! ```
//! A model that looks twice, the second time in the mirror, does so in the file too. What is outside: decoding, bringing
//! the short side to `resize` pixels and cutting the centre; the sizes for that are in the metadata.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;
use roentgen_layers::ResNet9;

use crate::error::AppError;
use crate::model_file::{self, ModelCard, Tensor};
use crate::run_folder::write_file;
use crate::screen::Screen;
use messages::{
    AttributeProto, Dimension, FLOAT, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, Side,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

mod messages;

/// The version of the operators, of 2021: every runtime of these years knows it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// What batch norm adds to the variance, as PyTorch does.
const EPS: f64 = 1e-5;

/// Writes the model `model` to `out`.
///
/// # Errors
/// For a file that is no model, one that normalises each picture by the whole of it, and a disk that is full.
pub fn run(model: &Path, out: &Path, screen: &Screen) -> Result<(), AppError> {
    let (mut model, card) = model_file::read(model)?;
    if card.normalization.per_image {
        return Err(AppError::NotExportable);
    }
    let bytes = to_bytes(&mut model, &card);
    write_file(out, &bytes)?;
    let ModelCard { channels, size, resize, .. } = card;
    screen.field("input", &format!("pixels (batch, {channels}, {size}, {size}), 0 to 1; the centre of a picture whose short side is {resize}"));
    screen.field(
        "output",
        &format!(
            "logits and probabilities (batch, {}): {}",
            card.class_names.len(),
            card.class_names.join(", ")
        ),
    );
    screen.field("written", &out.display().to_string());
    Ok(())
}

/// The model as the bytes of an ONNX file.
#[must_use]
pub fn to_bytes(model: &mut ResNet9, card: &ModelCard) -> Vec<u8> {
    let tensors: HashMap<String, Tensor> =
        model_file::tensors(model).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut graph = Graph {
        tensors: &tensors,
        proto: GraphProto { name: "ResNet9".to_owned(), ..GraphProto::default() },
    };
    let (channels, size, n_classes) = (card.channels, card.size as usize, card.class_names.len());
    graph.proto.input = vec![value("pixels", &[channels, size, size])];
    graph.proto.output = vec![value("logits", &[n_classes]), value("probabilities", &[n_classes])];

    graph.constant("mean", &[1, channels, 1, 1], &card.normalization.mean);
    graph.constant("std", &[1, channels, 1, 1], &card.normalization.std);
    graph.node("Sub", &["pixels", "mean"], "centred", &[]);
    graph.node("Div", &["centred", "std"], "normalised", &[]);
    graph.weights();
    if card.mirror {
        graph.resnet9("normalised", "plain/", "plain/logits");
        // Slice with step -1 along the width.
        for (name, value) in [("from", -1), ("to", i64::MIN), ("axis", 3), ("step", -1)] {
            graph.integer(name, value);
        }
        graph.node("Slice", &["normalised", "from", "to", "axis", "step"], "mirrored", &[]);
        graph.resnet9("mirrored", "mirrored/", "mirrored/logits");
        graph.constant("two", &[1], &[2.0]);
        graph.node("Add", &["plain/logits", "mirrored/logits"], "sum", &[]);
        graph.node("Div", &["sum", "two"], "logits", &[]);
    } else {
        graph.resnet9("normalised", "", "logits");
    }
    graph.constant("temperature", &[1], &[card.temperature as f32]);
    graph.node("Div", &["logits", "temperature"], "calibrated", &[]);
    graph.node("Softmax", &["calibrated"], "probabilities", &[integer("axis", 1)]);

    let classes = serde_json::to_string(&card.class_names).expect("names");
    let properties = [
        ("class_names", classes),
        ("channels", channels.to_string()),
        ("resize", card.resize.to_string()),
        ("size", card.size.to_string()),
        ("pixels", "0 to 1, NCHW".to_owned()),
    ];
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "roentgen".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Not a medical device.".to_owned(),
        graph: Some(graph.proto),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: properties
            .into_iter()
            .map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value })
            .collect(),
    };
    model.encode_to_vec()
}

/// A graph in the making.
struct Graph<'a> {
    tensors: &'a HashMap<String, Tensor>,
    proto: GraphProto,
}

impl Graph<'_> {
    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes.to_vec(),
        });
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
    }

    /// A one-element list.
    fn integer(&mut self, name: &str, value: i64) {
        /// `TensorProto.DataType.INT64`.
        const INT64: i32 = 7;
        let raw_data = value.to_le_bytes().to_vec();
        self.proto.initializer.push(TensorProto {
            dims: vec![1],
            data_type: INT64,
            name: name.to_owned(),
            raw_data,
        });
    }

    /// The filters with their batch norms folded in, and the classifier.
    fn weights(&mut self) {
        let tensors = self.tensors;
        for block in ["conv1", "conv2", "res1.0", "res1.1", "conv3", "conv4", "res2.0", "res2.1"] {
            let of = |name: &str| &tensors[&format!("{block}.{name}")];
            let (filter, bias) = (of("0.weight"), of("0.bias"));
            let (gamma, beta) = (of("1.weight"), of("1.bias"));
            let (mean, variance) = (of("1.running_mean"), of("1.running_var"));
            let n_each = filter.values.len() / bias.values.len();
            let scale = |c: usize| f64::from(gamma.values[c]) / (f64::from(variance.values[c]) + EPS).sqrt();
            let folded =
                filter.values.iter().enumerate().map(|(at, &w)| (f64::from(w) * scale(at / n_each)) as f32);
            let folded: Vec<f32> = folded.collect();
            let shift = |c: usize| {
                (f64::from(bias.values[c]) - f64::from(mean.values[c])) * scale(c) + f64::from(beta.values[c])
            };
            let biases: Vec<f32> = (0..bias.values.len()).map(|c| shift(c) as f32).collect();
            self.constant(&format!("{block}.weight"), &filter.shape, &folded);
            self.constant(&format!("{block}.bias"), &bias.shape, &biases);
        }
        for name in ["classifier.weight", "classifier.bias"] {
            let Tensor { shape, values, .. } = &tensors[name];
            self.constant(name, shape, values);
        }
    }

    /// The layers in order, their outputs named under `prefix`; as [`ResNet9::new`] lists them.
    fn resnet9(&mut self, input: &str, prefix: &str, output: &str) {
        let x = self.block(input, prefix, "conv1", false);
        let x = self.block(&x, prefix, "conv2", true);
        let x = self.residual(&x, prefix, "res1");
        let x = self.block(&x, prefix, "conv3", true);
        let x = self.block(&x, prefix, "conv4", true);
        let x = self.residual(&x, prefix, "res2");
        let (pooled, features) = (format!("{prefix}pool"), format!("{prefix}features"));
        self.node("GlobalMaxPool", &[&x], &pooled, &[]);
        self.node("Flatten", &[&pooled], &features, &[integer("axis", 1)]);
        self.node(
            "Gemm",
            &[&features, "classifier.weight", "classifier.bias"],
            output,
            &[integer("transB", 1)],
        );
    }

    fn residual(&mut self, x: &str, prefix: &str, name: &str) -> String {
        let first = self.block(x, prefix, &format!("{name}.0"), false);
        let second = self.block(&first, prefix, &format!("{name}.1"), false);
        let sum = format!("{prefix}{name}/sum");
        self.node("Add", &[&second, x], &sum, &[]);
        sum
    }

    /// Convolution, ReLU and, where asked for, a 2x2 max pool.
    fn block(&mut self, x: &str, prefix: &str, name: &str, is_pooled: bool) -> String {
        let (conv, relu, pool) =
            (format!("{prefix}{name}/conv"), format!("{prefix}{name}/relu"), format!("{prefix}{name}/pool"));
        let weights = (format!("{name}.weight"), format!("{name}.bias"));
        let attributes = [integers("kernel_shape", &[3, 3]), integers("pads", &[1, 1, 1, 1])];
        self.node("Conv", &[x, &weights.0, &weights.1], &conv, &attributes);
        self.node("Relu", &[&conv], &relu, &[]);
        if !is_pooled {
            return relu;
        }
        let attributes = [integers("kernel_shape", &[2, 2]), integers("strides", &[2, 2])];
        self.node("MaxPool", &[&relu], &pool, &attributes);
        pool
    }
}

/// A tensor of floats with any number of rows.
fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let fixed = shape.iter().map(|&side| Side::Fixed(side as i64));
    let sides = std::iter::once(Side::Named("batch".to_owned())).chain(fixed);
    let dim = sides.map(|side| Dimension { value: Some(side) }).collect();
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: value, kind: 2, ..AttributeProto::default() }
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints: values.to_vec(), kind: 7, ..AttributeProto::default() }
}
