//! `roentgen export --onnx`: a model as an ONNX file, with every step from pixels to probabilities.
//!
//! ```text
//! pixels (batch, c, side, side) in 0 to 1
//!   -> (pixels - mean) / std -> convolutions, batch norm folded into them -> logits
//!   -> logits / temperature -> softmax -> probabilities (batch, classes)
//! ```
//! Test-time augmentation is in the file too: each view is two matrices, and the network gets all of them as one batch. Not
//! in the file are decoding, resizing the short side to `resize` pixels and cutting out the centre; the sizes for that are
//! in the metadata.

use std::collections::HashMap;

use ndarray::Array2;
use prost::Message;
use roentgen_data::{TtaConfig, TtaView};
use roentgen_layers::{Architecture, BlockSpec, CLASSIFIER, ResNet};
use roentgen_tensor::batch_norm::EPS;

use crate::config::{FitChoice, InvertChoice};
use crate::model::little_endian::little_endian;
use crate::model::model_card::ModelCard;
use crate::model::tensors::{self, Tensor};
use messages::{
    AttributeProto, Dimension, FLOAT, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, Side,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

pub(crate) mod messages;

/// The version of the operators, of 2021: every current runtime supports it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// What a program has to do before it calls the model, for people; docs/interchange.md has it as Python.
const RESIZE_FILTER: &str = "triangle (bilinear with antialiasing), f32, rows before columns, rounded once to 8 bit, halves up; \
                             up to size but not up to resize if the image is smaller";
const LONG_SIDE_IN_PROPORTION: &str = "in proportion, rounded to nearest, halves up; at most 4 times the short side: the centre is cut out first";
const LONG_SIDE_PADDED: &str =
    "the long side becomes resize, the short side in proportion; black margins on both sides make it square";
const LONG_SIDE_STRETCHED: &str = "both sides become resize";
const GREY: &str = "(299 R + 587 G + 114 B + 500) / 1000, rounded down, after the resizing";
const CROP: &str = "centre; offsets (side - size) / 2 rounded to nearest, halves to even; images smaller than size are continued by \
                    reflection";

/// Side of the images that the file takes: that of the crop, or that of the resized image where views reach beyond the crop.
pub(crate) fn side(card: &ModelCard) -> u32 {
    if card.tta.reaches_beyond_crop() { card.resize } else { card.size }
}

/// Whether views reach beyond the square that the file takes of an image that is not square.
pub(crate) fn misses_pixels(card: &ModelCard) -> bool {
    card.tta.reaches_beyond_crop() && card.fit == FitChoice::Crop
}

/// The model as the bytes of an ONNX file.
#[must_use]
pub(crate) fn to_bytes(network: &ResNet, card: &ModelCard) -> Vec<u8> {
    let tensors: HashMap<String, Tensor> =
        tensors::tensors(network).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut graph = Graph {
        architecture: network.architecture(),
        tensors: &tensors,
        proto: GraphProto { name: network.architecture().name.to_owned(), ..GraphProto::default() },
    };
    let (channels, side, n_classes) = (card.channels, side(card) as usize, card.class_names.len());
    graph.proto.input = vec![value("pixels", &[channels, side, side])];
    graph.proto.output = vec![value("logits", &[n_classes]), value("probabilities", &[n_classes])];

    graph.constant("mean", &[1, channels, 1, 1], &card.normalization.mean);
    graph.constant("std", &[1, channels, 1, 1], &card.normalization.std);
    graph.node("Sub", &["pixels", "mean"], "centred", &[]);
    graph.node("Div", &["centred", "std"], "normalised", &[]);
    graph.weights();
    if card.tta == TtaConfig::default() {
        graph.network("normalised", "logits");
    } else {
        let views = card.tta.views();
        graph.views("normalised", &views, card.size as usize, side, "views");
        graph.network("views", "views/logits");
        graph.integer_constant("views/shape", &[views.len() as i64, -1, n_classes as i64]);
        graph.node("Reshape", &["views/logits", "views/shape"], "views/each", &[]);
        let over_views = [integers("axes", &[0]), integer("keepdims", 0)];
        graph.node("ReduceMean", &["views/each"], "logits", &over_views);
    }
    graph.constant("temperature", &[1], &[card.temperature as f32]);
    graph.node("Div", &["logits", "temperature"], "calibrated", &[]);
    graph.node("Softmax", &["calibrated"], "probabilities", &[integer("axis", 1)]);

    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "roentgen".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: if card.medical { "Not a medical device." } else { "An image classifier." }.to_owned(),
        graph: Some(graph.proto),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: properties(card),
    };
    model.encode_to_vec()
}

/// What a program needs to know that calls the model.
fn properties(card: &ModelCard) -> Vec<StringStringEntryProto> {
    let classes = serde_json::to_string(&card.class_names).expect("names");
    let long_side = match card.fit {
        FitChoice::Crop => LONG_SIDE_IN_PROPORTION,
        FitChoice::Pad => LONG_SIDE_PADDED,
        FitChoice::Stretch => LONG_SIDE_STRETCHED,
    };
    let invert = match card.invert {
        InvertChoice::Never => "never",
        InvertChoice::Auto => "auto",
    };
    // No bits: the model was not trained on samples of 16 bits.
    let properties = [
        ("class_names", classes),
        ("channels", card.channels.to_string()),
        ("resize", card.resize.to_string()),
        ("size", side(card).to_string()),
        ("crop_size", card.size.to_string()),
        ("pixels", "0 to 1, NCHW".to_owned()),
        ("resize_filter", RESIZE_FILTER.to_owned()),
        ("resize_long_side", long_side.to_owned()),
        ("sample_bits", card.sample_bits.unwrap_or(0).to_string()),
        ("invert", invert.to_owned()),
        ("grey", GREY.to_owned()),
        ("crop", CROP.to_owned()),
    ];
    properties.into_iter().map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value }).collect()
}

/// A graph in the making.
struct Graph<'a> {
    architecture: &'a Architecture,
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
            raw_data: little_endian(values).into_owned(),
        });
    }

    fn integer_constant(&mut self, name: &str, values: &[i64]) {
        /// `TensorProto.DataType.INT64`.
        const INT64: i32 = 7;
        self.proto.initializer.push(TensorProto {
            dims: vec![values.len() as i64],
            data_type: INT64,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
    }

    /// All views of each image, the images of one view after those of the other. `crop` is the side of the views, `side`
    /// that of the images.
    fn views(&mut self, input: &str, views: &[TtaView], crop: usize, side: usize, output: &str) {
        let names: Vec<String> = (0..views.len()).map(|number| format!("{output}/{number}")).collect();
        for (view, name) in views.iter().zip(&names) {
            let [rows, columns, half] = ["rows", "columns", "half"].map(|part| format!("{name}/{part}"));
            self.constant(&rows, &[crop, side], &view.rows(crop, side));
            let column_weights =
                Array2::from_shape_vec((crop, side), view.columns(crop, side)).expect("(crop, side)");
            self.constant(&columns, &[side, crop], &column_weights.t().iter().copied().collect::<Vec<_>>());
            self.node("MatMul", &[&rows, input], &half, &[]);
            self.node("MatMul", &[&half, &columns], name, &[]);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.node("Concat", &names, output, &[integer("axis", 0)]);
    }

    /// The filters with their batch norms folded in, and the classifier.
    fn weights(&mut self) {
        let tensors = self.tensors;
        for block in self.architecture.convolutions().into_iter().map(|conv| conv.name) {
            let of = |name: &str| &tensors[&format!("{block}.{name}")];
            let (filter, bias) = (of("0.weight"), of("0.bias"));
            let (gamma, beta) = (of("1.weight"), of("1.bias"));
            let (mean, variance) = (of("1.running_mean"), of("1.running_var"));
            let n_each = filter.values.len() / bias.values.len();
            let std = |c: usize| (f64::from(variance.values[c]) + f64::from(EPS)).sqrt();
            let scale = |c: usize| f64::from(gamma.values[c]) / std(c);
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
        for name in classifier_tensors() {
            let Tensor { shape, values, .. } = &tensors[&name];
            self.constant(&name, shape, values);
        }
    }

    /// The blocks in order, and the classifier.
    fn network(&mut self, input: &str, output: &str) {
        let mut x = input.to_owned();
        for block in self.architecture.blocks {
            x = match *block {
                BlockSpec::Block { name, pool, .. } => self.block(&x, name, pool),
                BlockSpec::Residual { name } => self.residual(&x, name),
            };
        }
        self.node("GlobalMaxPool", &[&x], "pool", &[]);
        self.node("Flatten", &["pool"], "features", &[integer("axis", 1)]);
        let [weight, bias] = classifier_tensors();
        self.node("Gemm", &["features", &weight, &bias], output, &[integer("transB", 1)]);
    }

    fn residual(&mut self, x: &str, name: &str) -> String {
        let first = self.block(x, &format!("{name}.0"), false);
        let second = self.block(&first, &format!("{name}.1"), false);
        let sum = format!("{name}/sum");
        self.node("Add", &[&second, x], &sum, &[]);
        sum
    }

    /// Convolution, ReLU and, where asked for, a 2x2 max pool.
    fn block(&mut self, x: &str, name: &str, is_pooled: bool) -> String {
        let [conv, relu, pool] = ["conv", "relu", "pool"].map(|layer| format!("{name}/{layer}"));
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

/// The names of the tensors of the classifier.
fn classifier_tensors() -> [String; 2] {
    ["weight", "bias"].map(|tensor| format!("{CLASSIFIER}.{tensor}"))
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
