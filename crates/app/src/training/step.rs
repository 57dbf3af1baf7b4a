//! One training step: forward, loss, backward, clip, decay, Adam.

use ndarray::Array4;
use roentgen_layers::{Layer, LossHead, Pass, ResNet};
use roentgen_optim::{Adam, AdamConfig, Rates, sum_of_squares};

use crate::metrics::argmax::argmax;

/// A model with everything that a step needs besides the images; its memory is reused from step to step.
///
/// ```
/// use ndarray::Array4;
/// use roentgen::layers::{LossHead, Pass, ResNet9Config};
/// use roentgen::optim::{AdamConfig, OneCycle};
/// use roentgen::TrainingStep;
///
/// let model = ResNet9Config { width: 8, ..ResNet9Config::new(1, 2) }.build(0);
/// let mut training = TrainingStep::new(model, LossHead::default(), AdamConfig::default());
/// let schedule = OneCycle::new(0.01, 8);
/// // Four images of 8x8: the two of class 0 are dark.
/// let (x, labels) = (Array4::from_shape_fn((4, 8, 8, 1), |(n, ..)| n as f32 / 4.0), [0, 0, 1, 1]);
/// let mut take = |step| training.take(&x, &labels, schedule.at(step), Pass::Train { seed: 0, step: step as u64, shard: 0 });
/// let losses: Vec<f32> = (0..8).map(|step| take(step).loss).collect();
/// assert!(losses[7] < losses[0], "{losses:?}");
/// ```
#[derive(Debug)]
pub struct TrainingStep {
    /// The network that is trained.
    pub model: ResNet,
    loss_head: LossHead,
    /// Its moments are part of a checkpoint.
    pub adam: Adam,
    grad_logits: Array4<f32>,
}

/// The share of a batch that some of its images have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ShardOutcome {
    /// Their share of the mean loss of the batch.
    pub loss: f32,
    /// How many of them were classified correctly.
    pub n_correct: usize,
}

impl ShardOutcome {
    /// The sum of both.
    pub(crate) fn plus(self, right: Self) -> Self {
        Self { loss: self.loss + right.loss, n_correct: self.n_correct + right.n_correct }
    }
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean loss of the batch, before the step.
    pub loss: f32,
    /// Images that were classified correctly, before the step.
    pub n_correct: usize,
    /// Whether every weight is a finite number after the step.
    pub weights_are_finite: bool,
}

impl TrainingStep {
    /// Steps for `model`.
    #[must_use]
    pub fn new(model: ResNet, loss_head: LossHead, optimiser: AdamConfig) -> Self {
        let grad_logits = Array4::zeros((0, 0, 0, 0));
        Self { model, loss_head, adam: Adam::new(optimiser), grad_logits }
    }

    /// Takes one step on the images `x`, `(n, h, w, c)`. If the loss is not finite, the weights stay as they are.
    pub fn take(&mut self, x: &Array4<f32>, labels: &[u32], rates: Rates, pass: Pass) -> StepOutcome {
        let total_weight = self.loss_head.total_weight(labels);
        let outcome = self.forward_backward(x, labels, total_weight, pass, &mut |_| {});
        self.end(outcome, rates)
    }

    /// Sets the gradients to those of the images `x`, `(n, h, w, c)`: a batch, or a shard of the batch that has this total
    /// weight. Calls `done` with each layer as soon as its gradients are set, the last layer first.
    pub(crate) fn forward_backward(
        &mut self,
        x: &Array4<f32>,
        labels: &[u32],
        total_weight: f32,
        pass: Pass,
        done: &mut dyn FnMut(&mut dyn Layer),
    ) -> ShardOutcome {
        let Self { model, loss_head, grad_logits, .. } = self;
        let logits = model.forward(x, pass);
        let n_correct = count_correct(logits, labels, loss_head.log_prior.as_deref());
        let loss = loss_head.forward_backward_shard(logits, labels, total_weight, grad_logits);
        model.backward_with(x, grad_logits, done);
        ShardOutcome { loss, n_correct }
    }

    /// The sum of the weights of the classes of these images in the loss.
    pub(crate) fn total_weight(&self, labels: &[u32]) -> f32 {
        self.loss_head.total_weight(labels)
    }

    /// Ends a step whose gradients are those of the whole batch.
    pub(crate) fn end(
        &mut self,
        ShardOutcome { loss, n_correct }: ShardOutcome,
        rates: Rates,
    ) -> StepOutcome {
        let weights_are_finite = !loss.is_finite() || self.optimise(rates);
        StepOutcome { loss, n_correct, weights_are_finite }
    }

    /// Clips, decays and steps: all three are one pass of Adam over each parameter.
    fn optimise(&mut self, rates: Rates) -> bool {
        let Self { model, adam, .. } = self;
        let grad_norm = adam.needs_grad_norm().then(|| {
            let mut squares = 0.0;
            model.for_each_parameter(&mut |parameter| squares += sum_of_squares(&parameter.grad));
            squares.sqrt()
        });
        adam.begin_step(rates, grad_norm);
        let mut all_finite = true;
        model.for_each_parameter_mut(&mut |parameter| all_finite &= adam.update(parameter));
        all_finite
    }
}

/// Counted for the class prior that the loss is for; with `log_prior`, that of the training set.
fn count_correct(logits: &Array4<f32>, labels: &[u32], log_prior: Option<&[f32]>) -> usize {
    let shift = |class: usize| log_prior.map_or(0.0, |log_prior| log_prior[class]);
    let predicted = logits
        .outer_iter()
        .map(|image| argmax(image.iter().enumerate().map(|(class, logit)| logit + shift(class))));
    predicted.zip(labels).filter(|&(predicted, &label)| predicted == label as usize).count()
}
