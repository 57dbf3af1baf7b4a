//! The trainer of a run: takes its steps epoch by epoch, and those of a range test.

use std::ops::Range;
use std::time::Instant;

use ndarray::Array4;
use roentgen_data::{
    Augment, ImageSet, Normalization, Sample, Sampler, Transform, batch_ranges, even_ranges, fill_batch,
};
use roentgen_layers::{LossHead, Pass, ResNet};
use roentgen_optim::{AdamConfig, OneCycle, Rates, WeightAverage, WeightDecay};
use roentgen_tensor::parameter::Buffer;
use serde::{Deserialize, Serialize};

use super::divergence::{Diverged, Divergence, EpochError};
use super::on_ranks::rank_sums::RankSums;
use super::shard_sums::{ShardSums, average_buffers};
use super::step::{StepOutcome, TrainingStep};
use crate::config::{DecayKind, TrainConfig};
use crate::ranks::Ranks;
use crate::ranks::error::RankError;

pub(crate) use state::TrainerState;

mod state;

/// Images that the batch norms of averaged weights are measured on. Their mean is within 1/sqrt(1024), or 0.03, standard
/// deviations of that over all images even where the pixels of an image are all alike.
const MEASURED_IMAGES: usize = 1024;
/// Most of them at a time.
const MAX_MEASURED_BATCH: usize = 128;
/// Most numbers in the output of the first convolution of these, 512 MiB. Large images have so many pixels that a few of them
/// have the statistics of many.
const MAX_MEASURED_NUMBERS: usize = 128 << 20;

/// Images of `size` x `size` that are measured together in a network of this width.
#[must_use]
pub(crate) fn measured_batch(width: usize, size: usize) -> usize {
    (MAX_MEASURED_NUMBERS / (width * size * size)).clamp(2, MAX_MEASURED_BATCH)
}

/// A model in training, with the memory that all steps share.
#[derive(Debug)]
pub(crate) struct Trainer {
    /// The model and its optimiser.
    training: TrainingStep,
    schedule: OneCycle,
    average: Option<WeightAverage>,
    sampler: Sampler,
    augment: Augment,
    normalization: Normalization,
    seed: u64,
    batch: usize,
    /// Parts that a batch is cut into.
    n_shards: usize,
    sums: ShardSums,
    /// Over the ranks, of which each has an equal part of the shards.
    rank_sums: RankSums,
    step: usize,
    order: Vec<Sample>,
    x: Array4<f32>,
    labels: Vec<u32>,
}

/// The report of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepReport {
    /// Steps done in the whole run.
    pub step: usize,
    /// Mean loss of the batch.
    pub loss: f32,
    /// Learning rate of the step.
    pub lr: f64,
    /// Images of the batch.
    pub n_images: usize,
}

/// The progress of an epoch, and its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochProgress {
    /// Batches done.
    pub n_batches: usize,
    /// Images in them.
    pub n_images: usize,
    loss_sum: f64,
    n_correct: usize,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Duration so far.
    pub seconds: f64,
    /// Seconds of it spent on making batches.
    pub data_seconds: f64,
}

impl EpochProgress {
    /// Mean loss of the images, each before the step that trained on it.
    #[must_use]
    pub(crate) fn loss(&self) -> f64 {
        self.loss_sum / self.n_images as f64
    }

    /// Whether its sums can be those of its images.
    #[must_use]
    pub(crate) fn is_valid(&self) -> bool {
        let is_sum = |sum: &f64| (0.0..=f64::MAX).contains(sum);
        self.n_correct <= self.n_images
            && self.loss_sum.is_finite()
            && [&self.lr, &self.data_seconds].into_iter().all(is_sum)
    }

    /// Share of the images that were classified correctly, likewise.
    #[must_use]
    pub(crate) fn accuracy(&self) -> f64 {
        self.n_correct as f64 / self.n_images as f64
    }
}

impl Trainer {
    /// A trainer for epochs of `epoch_images` images, more than the training set has where some are oversampled.
    #[must_use]
    pub(crate) fn new(
        config: &TrainConfig,
        model: ResNet,
        normalization: Normalization,
        loss_head: LossHead,
        epoch_images: usize,
    ) -> Self {
        // The numbers of a resolved config, or those that fit `epoch_images` where the config leaves them open.
        let batch = config.batch(epoch_images);
        let n_steps = config.epochs(epoch_images) * epoch_images.div_ceil(batch);
        let weight_decay = match config.decay {
            DecayKind::L2 => WeightDecay::L2(config.weight_decay as f32),
            DecayKind::Decoupled => WeightDecay::Decoupled(config.weight_decay as f32),
        };
        let optimiser = AdamConfig { clip: config.clip.0, weight_decay, ..AdamConfig::default() };
        Self {
            training: TrainingStep::new(model, loss_head, optimiser),
            schedule: OneCycle::new(config.max_lr, n_steps),
            average: (config.ema > 0.0).then(|| WeightAverage::new(config.ema)),
            sampler: config.sampler.into(),
            augment: config.augment(),
            normalization,
            seed: config.seed,
            batch,
            n_shards: config.micro_batches,
            sums: ShardSums::default(),
            rank_sums: RankSums::new(Ranks::one()),
            step: 0,
            order: Vec::new(),
            x: Array4::zeros((0, 0, 0, 0)),
            labels: Vec::new(),
        }
    }

    /// The same as one of several ranks, whose number divides that of the shards.
    #[must_use]
    pub(crate) fn on(self, ranks: Ranks) -> Self {
        Self { rank_sums: RankSums::new(ranks), ..self }
    }

    /// Calls `work` with the model to evaluate: the one in training, or the average of its weights.
    ///
    /// Averaged weights need batch statistics of their own: the running ones belong to the activations of other weights.
    /// They are measured over images of `set`, augmented as in `epoch`.
    pub(crate) fn with_model<T>(
        &mut self,
        set: &ImageSet,
        epoch: usize,
        work: impl FnOnce(&ResNet) -> T,
    ) -> T {
        if self.average.is_none() {
            return work(&self.training.model);
        }
        let running = self.buffers();
        self.swap_average();
        self.measure_batch_norm(set, epoch);
        let result = work(&self.training.model);
        self.swap_average();
        let mut running = running.into_iter();
        self.training.model.for_each_buffer_mut(&mut |buffer| {
            *buffer = running.next().expect("as many buffers as before");
        });
        result
    }

    fn swap_average(&mut self) {
        let average = self.average.as_mut().expect("called with an average only");
        self.training.model.for_each_parameter_mut(&mut |parameter| average.swap(parameter));
    }

    fn buffers(&self) -> Vec<Buffer> {
        let mut buffers = Vec::new();
        self.training.model.for_each_buffer(&mut |buffer| buffers.push(buffer.clone()));
        buffers
    }

    /// Sets the running statistics to the mean over the first batches of `epoch`.
    fn measure_batch_norm(&mut self, set: &ImageSet, epoch: usize) {
        self.sampler.epoch_order(set.labels(), self.seed, epoch as u64, &mut self.order);
        let n = set.len().min(MEASURED_IMAGES);
        let (width, size) = (self.training.model.architecture().width, self.augment.crop);
        for (batch, range) in batch_ranges(n, measured_batch(width, size)).enumerate() {
            let transform =
                Transform::Augment { seed: self.seed, epoch: epoch as u64, augment: &self.augment };
            fill_batch(
                set,
                &self.order[range],
                transform,
                &self.normalization,
                &mut self.x,
                &mut self.labels,
            );
            self.training.model.forward(&self.x, Pass::Measure { batch: batch as u64 });
        }
    }

    /// Steps done so far.
    #[must_use]
    pub(crate) fn n_steps_done(&self) -> usize {
        self.step
    }

    /// Steps of the whole run.
    #[must_use]
    pub(crate) fn n_steps(&self) -> usize {
        self.schedule.total_steps()
    }

    /// Continues an epoch until it is over, or until `on_step` returns false on any rank. Returns whether it is over.
    ///
    /// # Errors
    /// At the first loss or weight that is not finite, or if a rank is lost.
    pub(crate) fn train_epoch(
        &mut self,
        set: &ImageSet,
        epoch: usize,
        progress: &mut EpochProgress,
        mut on_step: impl FnMut(StepReport) -> bool,
    ) -> Result<bool, EpochError> {
        self.sampler.epoch_order(set.labels(), self.seed, epoch as u64, &mut self.order);
        for range in batch_ranges(set.len(), self.batch).skip(progress.n_batches) {
            let start = Instant::now();
            let n_images = range.len();
            let rates = self.schedule.at(self.step);
            let (outcome, data_seconds) =
                self.take_step(set, range.clone(), epoch as u64, self.step, rates)?;
            let StepOutcome { loss, n_correct, weights_are_finite } = outcome;
            progress.data_seconds += data_seconds;
            if !loss.is_finite() || !weights_are_finite {
                let what = if loss.is_finite() { Diverged::Weight } else { Diverged::Loss(loss) };
                let images = self.order[range].iter().map(|sample| sample.image as usize).collect();
                let batch = progress.n_batches + 1;
                return Err(EpochError::Diverged(Divergence { epoch: epoch + 1, batch, what, images }));
            }

            self.step += 1;
            self.update_average();
            progress.n_batches += 1;
            progress.n_images += n_images;
            progress.lr = rates.lr;
            progress.n_correct += n_correct;
            progress.loss_sum += f64::from(loss) * n_images as f64;
            progress.seconds += start.elapsed().as_secs_f64();
            let report = StepReport { step: self.step, loss, lr: rates.lr, n_images };
            let should_continue = self.rank_sums.ranks().all(on_step(report))?;
            if !should_continue && progress.n_images < set.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the step `step` on the batch that the samples in `range` of the epoch's order make, shard by shard. Also returns
    /// the seconds that the making of the shards took.
    ///
    /// Every rank computes its own part of the shards, and has the same weights after the step.
    fn take_step(
        &mut self,
        set: &ImageSet,
        range: Range<usize>,
        epoch: u64,
        step: usize,
        rates: Rates,
    ) -> Result<(StepOutcome, f64), RankError> {
        let Self { training, sums, rank_sums, x, labels, seed, .. } = self;
        let samples = &self.order[range];
        let transform = Transform::Augment { seed: *seed, epoch, augment: &self.augment };
        labels.clear();
        labels.extend(samples.iter().map(|sample| set.labels()[sample.image as usize]));
        let total_weight = training.total_weight(labels);
        let (mut outcome, mut data_seconds) = (None, 0.0);
        let n_own = self.n_shards / rank_sums.ranks().size();
        let first = rank_sums.ranks().rank() * n_own;
        sums.begin(&training.model, n_own);
        let shards = even_ranges(samples.len(), self.n_shards).enumerate();
        for (shard, range) in shards.skip(first).take(n_own) {
            let start = Instant::now();
            fill_batch(set, &samples[range], transform, &self.normalization, x, labels);
            data_seconds += start.elapsed().as_secs_f64();
            let pass = Pass::Train { seed: *seed, step: step as u64, shard: shard as u64 };
            let is_last = sums.is_last();
            let shard_outcome = training.forward_backward(x, labels, total_weight, pass, &mut |layer| {
                if is_last {
                    sums.complete_layer(layer);
                    rank_sums.begin_layer(layer);
                }
            });
            if is_last {
                outcome = Some(sums.complete(&mut training.model, shard_outcome));
            } else {
                sums.add(&mut training.model, shard_outcome);
            }
        }
        let outcome = outcome.expect("at least one shard");
        let outcome = rank_sums.finish(&mut training.model, outcome)?;
        average_buffers(&mut training.model, self.n_shards);
        Ok((training.end(outcome, rates), data_seconds))
    }

    /// Adds the weights after a step to their average.
    fn update_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.begin_step();
            self.training.model.for_each_parameter(&mut |parameter| average.update(parameter));
        }
    }
}

/// Adam's first coefficient in a range test: its default (Kingma & Ba 2015).
const RANGE_BETA1: f64 = 0.9;

/// One step of a range test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeStep {
    /// From 0.
    pub step: usize,
    /// Learning rate.
    pub lr: f64,
    /// Loss before the step.
    pub loss: f32,
}

impl Trainer {
    /// Takes up to `steps` steps with learning rates from `rate`, until `on_step` returns false; for
    /// [`lr-find`](crate::commands::lr_find).
    ///
    /// # Errors
    /// If a rank is lost.
    pub(crate) fn range_test(
        &mut self,
        set: &ImageSet,
        steps: usize,
        rate: &dyn Fn(usize) -> f64,
        mut on_step: impl FnMut(RangeStep) -> bool,
    ) -> Result<(), RankError> {
        let ranges: Vec<_> = batch_ranges(set.len(), self.batch).collect();
        for step in 0..steps {
            let (epoch, batch) = ((step / ranges.len()) as u64, step % ranges.len());
            if batch == 0 {
                self.sampler.epoch_order(set.labels(), self.seed, epoch, &mut self.order);
            }
            let range = ranges[batch].clone();
            let rates = Rates { lr: rate(step), beta1: RANGE_BETA1 };
            let (StepOutcome { loss, .. }, _) = self.take_step(set, range, epoch, step, rates)?;
            if !on_step(RangeStep { step, lr: rates.lr, loss }) {
                break;
            }
        }
        Ok(())
    }
}
