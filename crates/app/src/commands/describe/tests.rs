//! A network of another table goes through training, export and description without code of its own.

use std::collections::BTreeSet;

use ndarray::Array4;
use prost::Message;
use roentgen_layers::{
    Architecture,
    BlockSpec::{self, Block, Residual},
    LossHead, Pass, ResNet, ResNet9Config,
};
use roentgen_optim::{AdamConfig, OneCycle};

use super::layers;
use crate::model::model_card::ModelCard;
use crate::model::model_file::tests::card;
use crate::model::onnx::{self, messages::ModelProto};
use crate::training::step::TrainingStep;

const SIZE: usize = 24;
const N_CLASSES: usize = 3;

/// Two lines more than a ResNet9: a residual connection and a block, three convolutions.
const RESNET12: &[BlockSpec] = &[
    Block { name: "conv1", width_multiple: 1, pool: false },
    Block { name: "conv2", width_multiple: 2, pool: true },
    Residual { name: "res1" },
    Block { name: "conv3", width_multiple: 3, pool: false },
    Block { name: "conv4", width_multiple: 4, pool: true },
    Residual { name: "res2" },
    Block { name: "conv5", width_multiple: 8, pool: true },
    Residual { name: "res3" },
];

fn architecture() -> Architecture {
    let sizes = ResNet9Config { width: 4, dropout: 0.0, ..ResNet9Config::new(1, N_CLASSES) };
    Architecture { name: "ResNet12", blocks: RESNET12, ..sizes.architecture() }
}

/// A brighter class for each label.
fn images(n: usize) -> (Array4<f32>, Vec<u32>) {
    let labels: Vec<u32> = (0..n).map(|image| (image % N_CLASSES) as u32).collect();
    let x = Array4::from_shape_fn((n, SIZE, SIZE, 1), |(image, i, j, _)| {
        labels[image] as f32 - 1.0 + ((image * 7 + i * 3 + j * 5) % 11) as f32 / 11.0
    });
    (x, labels)
}

fn trained() -> ResNet {
    let (x, labels) = images(12);
    let mut training =
        TrainingStep::new(ResNet::new(architecture(), 0), LossHead::default(), AdamConfig::default());
    let schedule = OneCycle::new(0.01, 12);
    let losses: Vec<f32> = (0..schedule.total_steps())
        .map(|step| {
            training
                .take(&x, &labels, schedule.at(step), Pass::Train { seed: 0, step: step as u64, shard: 0 })
                .loss
        })
        .collect();
    assert!(losses[11] < losses[0] / 2.0, "{losses:?}");
    training.model
}

#[test]
fn another_table_is_trained_and_exported() {
    let model = trained();
    let card = ModelCard { width: 4, size: SIZE as u32, ..card() };
    let onnx = ModelProto::decode(&onnx::to_bytes(&model, &card)[..]).expect("our own file");
    let graph = onnx.graph.expect("a graph");
    assert_eq!(graph.name, "ResNet12");
    let n_nodes = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
    assert_eq!([n_nodes("Conv"), n_nodes("MaxPool"), n_nodes("Add")], [11, 3, 3]);
    // Every node reads what an earlier one, an initializer or the input gives.
    let mut known: BTreeSet<String> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
    known.extend(graph.input.iter().map(|input| input.name.clone()));
    for node in graph.node {
        for input in &node.input {
            assert!(known.contains(input), "{} reads {input}", node.name);
        }
        known.extend(node.output);
    }
    assert!(graph.output.iter().all(|output| known.contains(&output.name)));
}

#[test]
fn another_table_is_described() {
    let rows = layers(&architecture(), SIZE);
    let names: Vec<&str> = rows.iter().map(|row| &row.name[..]).collect();
    let convolutions = [
        "conv1", "conv2", "res1.0", "res1.1", "conv3", "conv4", "res2.0", "res2.1", "conv5", "res3.0",
        "res3.1",
    ];
    assert_eq!(names, [&convolutions[..], &["pool", "classifier"]].concat());
    assert_eq!(rows[8].output, [3, 3, 32]);
    let mut n_parameters = 0;
    ResNet::new(architecture(), 0).for_each_parameter(&mut |parameter| n_parameters += parameter.value.len());
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<usize>(), n_parameters);
    assert_eq!(architecture().n_parameters(), n_parameters);
}
