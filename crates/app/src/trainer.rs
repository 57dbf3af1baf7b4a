//! One pass over the training images: the recipe, step by step.

use std::time::{Duration, Instant};

use ndarray::Array4;
use roentgen_data::{Augment, Draw, ImageSet, Normalization, Sampler, View, batch_ranges, fill_batch};
use roentgen_layers::{LossHead, Pass, ResNet9};
use roentgen_optim::{AdamConfig, OneCycle, WeightAverage, WeightDecay};
use roentgen_tensor::parameter::Buffer;

use crate::config::{DecayKind, TrainConfig};
use crate::error::AppError;
use crate::step::{StepOutcome, TrainingStep};

/// Images that the batch norms of averaged weights are measured on. A mean over a thousand films of 36 pixels and more
/// a channel is within a few thousandths of that over all.
const MEASURED_IMAGES: usize = 1024;
/// Images at a time.
const MEASURED_BATCH: usize = 128;

/// A model in training, with the memory that all steps share.
#[derive(Debug)]
pub struct Trainer {
    /// The model and its optimiser.
    training: TrainingStep,
    schedule: OneCycle,
    average: Option<WeightAverage>,
    sampler: Sampler,
    augment: Augment,
    normalization: Normalization,
    seed: u64,
    batch: usize,
    step: usize,
    order: Vec<Draw>,
    x: Array4<f32>,
    labels: Vec<u32>,
}

/// What one step tells.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Steps done in the whole run.
    pub step: usize,
    /// Mean loss of the batch.
    pub loss: f32,
    /// Learning rate of the step.
    pub lr: f64,
    /// Images of the batch.
    pub n_images: usize,
}

/// What one epoch tells.
#[derive(Clone, Copy, Debug)]
pub struct EpochReport {
    /// Mean loss of the images, each as it was when its turn came.
    pub loss: f64,
    /// Share of the images whose class was found, likewise.
    pub accuracy: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Seconds of them spent on making batches.
    pub data_seconds: f64,
}

impl Trainer {
    /// A trainer for `epochs` passes over `n_train` images.
    #[must_use]
    pub fn new(
        config: &TrainConfig,
        model: ResNet9,
        normalization: Normalization,
        class_weights: Option<Vec<f32>>,
        n_train: usize,
    ) -> Self {
        let batch = config.batch(n_train);
        let n_steps = config.epochs(n_train) * n_train.div_ceil(batch);
        let weight_decay = match config.decay {
            DecayKind::L2 => WeightDecay::L2(config.weight_decay as f32),
            DecayKind::Decoupled => WeightDecay::Decoupled(config.weight_decay as f32),
        };
        let loss_head = LossHead { class_weights, label_smoothing: config.label_smoothing as f32 };
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
            step: 0,
            order: Vec::new(),
            x: Array4::zeros((0, 0, 0, 0)),
            labels: Vec::new(),
        }
    }

    /// Does `work` with the model that counts: the one in training, or the average of its weights.
    ///
    /// An average has batch norms of its own: statistics that were running while the weights were others are not those
    /// of its activations. They are measured anew, over images of `set` as `epoch` shows them.
    pub fn with_model<T>(&mut self, set: &ImageSet, epoch: usize, work: impl FnOnce(&mut ResNet9) -> T) -> T {
        if self.average.is_none() {
            return work(&mut self.training.model);
        }
        let running = self.buffers();
        self.swap_average();
        self.measure_batch_norm(set, epoch);
        let result = work(&mut self.training.model);
        self.swap_average();
        let mut running = running.into_iter();
        self.training.model.for_each_buffer(&mut |buffer| {
            *buffer = running.next().expect("as many buffers as before");
        });
        result
    }

    fn swap_average(&mut self) {
        let average = self.average.as_mut().expect("called with an average only");
        let mut index = 0;
        self.training.model.for_each_parameter(&mut |parameter| {
            average.swap(index, parameter);
            index += 1;
        });
    }

    fn buffers(&mut self) -> Vec<Buffer> {
        let mut buffers = Vec::new();
        self.training.model.for_each_buffer(&mut |buffer| buffers.push(buffer.clone()));
        buffers
    }

    /// Sets the running statistics to the mean over the first batches of `epoch`.
    fn measure_batch_norm(&mut self, set: &ImageSet, epoch: usize) {
        self.sampler.epoch_order(set.labels(), self.seed, epoch as u64, &mut self.order);
        let n = set.len().min(MEASURED_IMAGES);
        for (batch, range) in batch_ranges(n, MEASURED_BATCH).enumerate() {
            let view = View::Train { seed: self.seed, epoch: epoch as u64, augment: &self.augment };
            fill_batch(set, &self.order[range], view, &self.normalization, &mut self.x, &mut self.labels);
            self.training.model.forward(&self.x, Pass::Measure { batch: batch as u64 });
        }
    }

    /// Steps done so far.
    #[must_use]
    pub fn n_steps_done(&self) -> usize {
        self.step
    }

    /// Steps of the whole run.
    #[must_use]
    pub fn n_steps(&self) -> usize {
        self.schedule.total_steps()
    }

    /// Trains one pass over `set`, `epoch` counted from 0; `on_step` hears of every step.
    ///
    /// # Errors
    /// [`Divergence`] at the first loss that is no finite number.
    pub fn train_epoch(
        &mut self,
        set: &ImageSet,
        epoch: usize,
        mut on_step: impl FnMut(StepReport),
    ) -> Result<EpochReport, Divergence> {
        let start = Instant::now();
        let (mut loss_sum, mut n_right_sum, mut lr) = (0.0, 0, 0.0);
        let mut data_time = Duration::ZERO;
        self.sampler.epoch_order(set.labels(), self.seed, epoch as u64, &mut self.order);
        for (batch_idx, range) in batch_ranges(set.len(), self.batch).enumerate() {
            let n_images = range.len();
            let data_start = Instant::now();
            let view = View::Train { seed: self.seed, epoch: epoch as u64, augment: &self.augment };
            fill_batch(set, &self.order[range], view, &self.normalization, &mut self.x, &mut self.labels);
            data_time += data_start.elapsed();

            let rates = self.schedule.at(self.step);
            let pass = Pass::Train { seed: self.seed, step: self.step as u64 };
            let StepOutcome { loss, n_right } = self.training.take(&self.x, &self.labels, rates, pass);
            if !loss.is_finite() {
                return Err(Divergence { epoch: epoch + 1, batch: batch_idx + 1, loss });
            }

            self.step += 1;
            self.update_average();
            lr = rates.lr;
            n_right_sum += n_right;
            loss_sum += f64::from(loss) * n_images as f64;
            on_step(StepReport { step: self.step, loss, lr, n_images });
        }
        let n = set.len() as f64;
        let (seconds, data_seconds) = (start.elapsed().as_secs_f64(), data_time.as_secs_f64());
        Ok(EpochReport { loss: loss_sum / n, accuracy: n_right_sum as f64 / n, lr, seconds, data_seconds })
    }
}

impl Trainer {
    /// Takes the weights of a step into their average.
    fn update_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.begin_step();
            let mut index = 0;
            self.training.model.for_each_parameter(&mut |parameter| {
                average.update(index, parameter);
                index += 1;
            });
        }
    }
}

/// Where training went astray; the caller knows what to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// From 1.
    pub epoch: usize,
    /// From 1.
    pub batch: usize,
    /// Infinite or NaN.
    pub loss: f32,
}

impl Divergence {
    /// The error that a user sees.
    #[must_use]
    pub fn into_error(self, config: &TrainConfig) -> AppError {
        let Self { epoch, batch, loss } = self;
        AppError::Diverged { epoch, batch, loss, max_lr: config.max_lr, clip: config.clip.to_string() }
    }
}
