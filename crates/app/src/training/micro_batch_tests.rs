//! A step on a batch that is cut into shards.

use ndarray::Axis;
use roentgen_data::{Dataset, LoadOptions, Normalization, PhantomOptions, Sample, Transform};
use roentgen_data::{fill_batch, phantom_dataset, silent};
use roentgen_layers::{LossHead, Pass, ResNet, ResNet9Config};

use crate::config::TrainConfig;
use crate::ranks::Ranks;
use crate::ranks::in_threads::on_ranks;
use crate::training::trainer::{EpochProgress, Trainer, TrainerState};

const N_SHARDS: usize = 4;
const BATCH: usize = 24;

fn films() -> Dataset {
    let phantom = PhantomOptions { train: BATCH, val: 3, test: 3, ..PhantomOptions::default() };
    phantom_dataset(&phantom, &LoadOptions::default(), &silent).unwrap()
}

fn config(micro_batches: usize) -> TrainConfig {
    TrainConfig { batch: Some(BATCH), epochs: Some(1), width: 8, micro_batches, ..TrainConfig::default() }
}

fn model() -> ResNet {
    ResNet9Config { width: 8, ..ResNet9Config::new(1, 3) }.build(0)
}

/// The state after an epoch.
fn after_epoch(data: &Dataset, config: &TrainConfig, ranks: Ranks) -> (TrainerState, EpochProgress) {
    let (normalization, n_train) = (Normalization::of(&data.train), data.train.len());
    let mut trainer = Trainer::new(config, model(), normalization, LossHead::default(), n_train).on(ranks);
    let mut progress = EpochProgress::default();
    assert!(matches!(trainer.train_epoch(&data.train, 0, &mut progress, |_| true), Ok(true)));
    (trainer.state(), progress)
}

/// The state after one step, which is one epoch, on `n_threads`.
fn after_one_step(data: &Dataset, config: &TrainConfig, n_threads: usize) -> (TrainerState, EpochProgress) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
    pool.install(|| after_epoch(data, config, Ranks::one()))
}

/// Adds the share that one shard has in the mean to the mean of tensor `index`.
fn add_share(means: &mut Vec<Vec<f32>>, index: usize, values: &[f32]) {
    means.resize(means.len().max(index + 1), vec![0.0; values.len()]);
    means[index].iter_mut().zip(values).for_each(|(mean, value)| *mean += value / N_SHARDS as f32);
}

/// What the step is, computed from four batches of a quarter: the mean of their losses, of their running statistics, and of
/// their gradients, of which Adam's first mean holds a share.
#[test]
fn a_step_in_shards_is_the_mean_of_the_steps_on_its_shards() {
    let (data, config) = (films(), config(N_SHARDS));
    let (state, progress) = after_one_step(&data, &config, 2);

    let mut order: Vec<Sample> = Vec::new();
    roentgen_data::Sampler::Shuffled.epoch_order(data.train.labels(), config.seed, 0, &mut order);
    let (mut loss, mut gradients, mut buffers) = (0.0, Vec::new(), Vec::new());
    for (shard, samples) in order.chunks(BATCH / N_SHARDS).enumerate() {
        let mut model = model();
        let augment = config.augment();
        let transform = Transform::Augment { seed: config.seed, epoch: 0, augment: &augment };
        let (mut x, mut labels) = (ndarray::Array4::zeros((0, 0, 0, 0)), Vec::new());
        fill_batch(&data.train, samples, transform, &Normalization::of(&data.train), &mut x, &mut labels);
        assert_eq!(x.len_of(Axis(0)), BATCH / N_SHARDS);
        let mut grad_logits = ndarray::Array4::zeros((0, 0, 0, 0));
        let pass = Pass::Train { seed: config.seed, step: 0, shard: shard as u64 };
        let logits = model.forward(&x, pass);
        loss += LossHead::default().forward_backward(logits, &labels, &mut grad_logits) / N_SHARDS as f32;
        model.backward(&x, &grad_logits);
        model.for_each_parameter(&mut |parameter| {
            add_share(&mut gradients, parameter.index, &parameter.grad);
        });
        let mut index = 0;
        model.for_each_buffer(&mut |buffer| {
            add_share(&mut buffers, index, &buffer.value);
            index += 1;
        });
    }
    let close = |found: &[f32], expected: &[f32], tolerance: f32| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} {expected}");
        }
    };
    close(&[progress.loss() as f32], &[loss], 1e-6);
    for (found, expected) in state.buffers.iter().zip(&buffers) {
        close(found, expected, 1e-6);
    }
    // After the first step, m = (1 - beta1) * (clipped gradient + decay * weight).
    let (beta1, decay) = (roentgen_optim::OneCycle::new(config.max_lr, 1).at(0).beta1, config.weight_decay);
    let mut weights = Vec::new();
    model().for_each_parameter(&mut |parameter| weights.push(parameter.value.clone()));
    for ((moments, gradient), weight) in state.moments.iter().zip(&gradients).zip(&weights) {
        let expected: Vec<f32> = gradient
            .iter()
            .zip(weight)
            .map(|(g, w)| (1.0 - beta1 as f32) * (g.clamp(-0.1, 0.1) + decay as f32 * w))
            .collect();
        close(&moments.m, &expected, 1e-6);
    }
}

#[test]
fn shards_give_the_same_bits_with_any_number_of_threads() {
    let (data, config) = (films(), config(N_SHARDS));
    let (one, _) = after_one_step(&data, &config, 1);
    for n_threads in [2, 3, 5] {
        assert!(after_one_step(&data, &config, n_threads).0 == one, "{n_threads} threads");
    }
    let (whole, _) = after_one_step(&data, &self::config(1), 1);
    assert!(whole != one, "batch statistics of a shard are not those of the batch");
}

#[test]
fn any_number_of_ranks_gives_the_same_bits() {
    let data = films();
    // Four steps, the shards of which have 2, 2, 1 and 1 images.
    let config = TrainConfig { batch: Some(6), ema: 0.9, ..config(N_SHARDS) };
    let (alone, progress) = after_epoch(&data, &config, Ranks::one());
    assert_eq!(progress.n_batches, 4);
    for size in [2, 4] {
        for (state, rank_progress) in on_ranks(size, |ranks| after_epoch(&data, &config, ranks)) {
            assert!(state == alone, "{size} ranks");
            assert_eq!(
                (rank_progress.loss(), rank_progress.accuracy()),
                (progress.loss(), progress.accuracy())
            );
        }
    }
}
