//! A residual network of another shape, trained step by step on the phantom films: `cargo run --example own_resnet`
#![forbid(unsafe_code)]

use roentgen::data::{Augment, Normalization, Sample, Sampler, Transform, TtaView, batch_ranges, fill_batch};
use roentgen::layers::BlockSpec::{self, Block, Residual};
use roentgen::layers::{Architecture, LossHead, Pass, ResNet, ResNet9Config, Workspace};
use roentgen::ndarray::Array4;
use roentgen::optim::{AdamConfig, OneCycle};
use roentgen::{AppError, Screen, TrainConfig, TrainingStep};

/// Seven convolutions: each line is a block, with its channels as a multiple of the width.
const BLOCKS: &[BlockSpec] = &[
    Block { name: "conv1", width_multiple: 1, pool: false },
    Block { name: "conv2", width_multiple: 2, pool: true },
    Residual { name: "res1" },
    Block { name: "conv3", width_multiple: 4, pool: true },
    Residual { name: "res2" },
];
const SEED: u64 = 0;
const EPOCHS: usize = 8;
const BATCH: usize = 32;

fn main() -> Result<(), AppError> {
    let data = roentgen::load(&TrainConfig { films: 600, ..TrainConfig::default() }, &Screen::terminal())?;
    let sizes = ResNet9Config { width: 16, ..ResNet9Config::new(data.channels, data.class_names.len()) };
    let network = ResNet::new(Architecture { name: "ResNet8", blocks: BLOCKS, ..sizes.architecture() }, SEED);
    let mut training = TrainingStep::new(network, LossHead::default(), AdamConfig::default());
    let schedule = OneCycle::new(0.01, EPOCHS * data.train.len().div_ceil(BATCH));

    let norm = Normalization::of(&data.train);
    let augment = Augment::crop_and_flip(24, 28, true);
    let (mut x, mut labels, mut order, mut step) = (Array4::zeros((0, 0, 0, 0)), Vec::new(), Vec::new(), 0);
    for epoch in 0..EPOCHS as u64 {
        Sampler::Shuffled.epoch_order(data.train.labels(), SEED, epoch, &mut order);
        for batch in batch_ranges(order.len(), BATCH) {
            let transform = Transform::Augment { seed: SEED, epoch, augment: &augment };
            fill_batch(&data.train, &order[batch], transform, &norm, &mut x, &mut labels);
            let pass = Pass::Train { seed: SEED, step: step as u64, shard: 0 };
            let outcome = training.take(&x, &labels, schedule.at(step), pass);
            step += 1;
            println!("step {step:3}: loss {:.3}", outcome.loss);
        }
    }
    let test: Vec<Sample> = (0..data.test.len() as u32).map(Sample::first).collect();
    let transform = Transform::Centre { crop: 24, view: TtaView::PLAIN };
    fill_batch(&data.test, &test, transform, &norm, &mut x, &mut labels);
    let mut workspace = Workspace::default();
    let logits = training.model.infer(&x, &mut workspace);
    let is_correct = |image: usize| {
        let of_class = |class: usize| logits[[image, 0, 0, class]];
        (0..data.class_names.len()).all(|class| of_class(class) <= of_class(labels[image] as usize))
    };
    let n_correct = (0..test.len()).filter(|&image| is_correct(image)).count();
    println!("{n_correct} of {} test images are classified correctly", test.len());
    Ok(())
}
