//! Adam (Kingma and Ba 2015), with clipping and weight decay in the same pass over memory.
//!
//! ```text
//! g = clamp(grad * scale, -bound, bound) + l2 * w        clip, then decay as an L2 term
//! m = m + (1 - beta1) * (g - m)                          mean of the gradients
//! v = beta2 * v + (1 - beta2) * g * g                    mean of their squares
//! w = w * shrink - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//! ```
//! The schedule changes `beta1` from step to step; as in PyTorch, `beta1^t` uses the value of the current step.
//!
//! The pass moves 28 bytes per weight and is limited by memory bandwidth. So the loop below relies on the compiler to
//! vectorise it; code with `wide` would not be faster.

use rayon::prelude::*;
use roentgen_tensor::parameter::Parameter;

use crate::{Clip, Rates, WeightDecay};

/// Elements in one task: 16 Ki, so that its four arrays (256 KiB) fit the L2 cache of a core.
const CHUNK: usize = 1 << 14;

/// Settings for a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment, to avoid division by zero.
    pub eps: f32,
    /// Bound on the gradients.
    pub clip: Clip,
    /// Weight decay.
    pub weight_decay: WeightDecay,
}

impl Default for AdamConfig {
    /// The recipe: beta2 0.999, eps 1e-8, gradients clipped to 0.1 each, weight decay 1e-4 as an L2 term.
    fn default() -> Self {
        Self { beta2: 0.999, eps: 1e-8, clip: Clip::Value(0.1), weight_decay: WeightDecay::L2(1e-4) }
    }
}

/// Both moments of one parameter; they have its length.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradients.
    pub m: Vec<f32>,
    /// Running mean of their squares.
    pub v: Vec<f32>,
}

/// Values of one step that are the same for all parameters.
#[derive(Clone, Copy, Debug)]
struct Step {
    rates: Rates,
    grad_scale: f32,
    grad_bound: f32,
    step_size: f32,
    sqrt_bias_correction2: f32,
}

/// Values of one step that are the same for all elements of one parameter.
#[derive(Clone, Copy)]
struct Coefficients {
    grad_scale: f32,
    grad_bound: f32,
    l2: f32,
    shrink: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    sqrt_bias_correction2: f32,
    eps: f32,
}

/// The optimiser: its settings, the step counter, and both moments of each parameter.
#[derive(Clone, Debug)]
pub struct Adam {
    config: AdamConfig,
    moments: Vec<Moments>,
    n_steps_done: u64,
    step: Option<Step>,
}

impl Adam {
    /// An optimiser before its first step.
    #[must_use]
    pub fn new(config: AdamConfig) -> Self {
        Self { config, moments: Vec::new(), n_steps_done: 0, step: None }
    }

    /// Its state: the number of steps, and the moments of each parameter.
    #[must_use]
    pub fn state(&self) -> (u64, &[Moments]) {
        (self.n_steps_done, &self.moments)
    }

    /// Restores a [`Self::state`]; the next steps are the same as without an interruption.
    pub fn restore(&mut self, n_steps_done: u64, moments: Vec<Moments>) {
        (self.n_steps_done, self.moments, self.step) = (n_steps_done, moments, None);
    }

    /// Whether [`Self::begin_step`] needs the joint norm of all gradients.
    #[must_use]
    pub fn needs_grad_norm(&self) -> bool {
        matches!(self.config.clip, Clip::Norm(_))
    }

    /// Starts a step: computes what all its updates share.
    ///
    /// `grad_norm` is the joint Euclidean norm of all gradients; only [`Clip::Norm`] needs it.
    ///
    /// # Panics
    /// If clipping by norm is set and no norm is given.
    pub fn begin_step(&mut self, rates: Rates, grad_norm: Option<f64>) {
        self.n_steps_done += 1;
        let t = self.n_steps_done as f64;
        let (grad_scale, grad_bound) = self.config.clip.scale_and_bound(grad_norm);
        self.step = Some(Step {
            rates,
            grad_scale,
            grad_bound,
            step_size: (rates.lr / (1.0 - libm::pow(rates.beta1, t))) as f32,
            sqrt_bias_correction2: (1.0 - libm::pow(self.config.beta2, t)).sqrt() as f32,
        });
    }

    /// Updates `parameter.value` from `parameter.grad`. Returns whether all its values are finite afterwards.
    ///
    /// # Panics
    /// Before [`Self::begin_step`], if the first step skips the index of a parameter, or if the length of a parameter changes.
    pub fn update(&mut self, parameter: &mut Parameter) -> bool {
        let coefficients = self.coefficients(parameter);
        let (index, len) = (parameter.index, parameter.value.len());
        if index == self.moments.len() {
            self.moments.push(Moments { m: vec![0.0; len], v: vec![0.0; len] });
        }
        let Moments { m, v } = &mut self.moments[index];
        assert_eq!(m.len(), len, "Adam::update: length of parameter {index}, {}", parameter.name);
        assert_eq!(parameter.grad.len(), len, "Adam::update: length of the gradient of {}", parameter.name);
        let pieces = (parameter.value.par_chunks_mut(CHUNK), parameter.grad.par_chunks(CHUNK))
            .into_par_iter()
            .zip((m.par_chunks_mut(CHUNK), v.par_chunks_mut(CHUNK)));
        pieces
            .map(|((value, grad), (m, v))| update_chunk(value, grad, m, v, coefficients))
            .reduce(|| true, |a, b| a && b)
    }

    /// The values that the inner loop needs for `parameter`.
    fn coefficients(&self, parameter: &Parameter) -> Coefficients {
        let step = self.step.expect("Adam::update: call begin_step first");
        let (l2, shrink) = self.config.weight_decay.l2_and_shrink(step.rates.lr, parameter.kind);
        Coefficients {
            grad_scale: step.grad_scale,
            grad_bound: step.grad_bound,
            l2,
            shrink,
            one_minus_beta1: (1.0 - step.rates.beta1) as f32,
            beta2: self.config.beta2 as f32,
            one_minus_beta2: (1.0 - self.config.beta2) as f32,
            step_size: step.step_size,
            sqrt_bias_correction2: step.sqrt_bias_correction2,
            eps: self.config.eps,
        }
    }
}

/// The formula at the top of this file, element by element.
fn update_chunk(value: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], c: Coefficients) -> bool {
    /// The exponent bits of infinity and NaN.
    const NOT_FINITE: u32 = 0x7F80_0000;
    // An integer count, because the compiler may add integers in any order, and so vectorise the loop.
    let mut n_not_finite = 0u32;
    for (((w, &g), m), v) in value.iter_mut().zip(grad).zip(m).zip(v) {
        let g = (g * c.grad_scale).clamp(-c.grad_bound, c.grad_bound) + c.l2 * *w;
        *m += c.one_minus_beta1 * (g - *m);
        *v = c.beta2 * *v + c.one_minus_beta2 * g * g;
        let root = v.sqrt() / c.sqrt_bias_correction2 + c.eps;
        *w = *w * c.shrink - c.step_size * *m / root;
        n_not_finite += u32::from(w.to_bits() & NOT_FINITE == NOT_FINITE);
    }
    n_not_finite == 0
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::parameter::ParameterKind;
    use roentgen_tensor::rng::{CounterRng, Purpose};

    use super::*;

    fn random_parameter(len: usize) -> Parameter {
        let mut rng = CounterRng::new(0, Purpose::Synthetic, len as u64, 0);
        let mut parameter = Parameter::filled("w".into(), ParameterKind::ConvWeight, &[len], 0.0);
        parameter.value.fill_with(|| rng.normal());
        parameter.grad.fill_with(|| rng.normal());
        parameter
    }

    /// The value after two steps, computed in pools of `n_threads`.
    fn after_two_steps(len: usize, n_threads: usize) -> Vec<f32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
        pool.install(|| {
            let mut parameter = random_parameter(len);
            let mut adam = Adam::new(AdamConfig::default());
            for _ in 0..2 {
                adam.begin_step(Rates { lr: 0.01, beta1: 0.9 }, None);
                adam.update(&mut parameter);
            }
            parameter.value
        })
    }

    #[test]
    fn the_result_depends_neither_on_threads_nor_on_other_elements() {
        let len = 3 * CHUNK + 5;
        let expected = after_two_steps(len, 1);
        assert_eq!(expected, after_two_steps(len, 3));
        // The same elements, each as a parameter of its own length: no chunk edge, no vector tail.
        let mut whole = random_parameter(len);
        let mut adam = Adam::new(AdamConfig::default());
        adam.begin_step(Rates { lr: 0.01, beta1: 0.9 }, None);
        let start = whole.clone();
        adam.update(&mut whole);
        for at in [0, CHUNK - 1, CHUNK, 2 * CHUNK + 7, len - 1] {
            let mut single = Parameter::filled("w".into(), ParameterKind::ConvWeight, &[1], start.value[at]);
            single.grad[0] = start.grad[at];
            let mut adam = Adam::new(AdamConfig::default());
            adam.begin_step(Rates { lr: 0.01, beta1: 0.9 }, None);
            adam.update(&mut single);
            assert_eq!(single.value[0], whole.value[at], "element {at}");
        }
    }

    #[test]
    fn decoupled_decay_does_not_change_biases_and_batch_norm() {
        let config = AdamConfig { weight_decay: WeightDecay::Decoupled(0.5), ..AdamConfig::default() };
        let shrinks = |kind| {
            let mut parameter = Parameter::filled("p".into(), kind, &[1], 2.0);
            let mut adam = Adam::new(config);
            adam.begin_step(Rates { lr: 0.1, beta1: 0.9 }, None);
            adam.update(&mut parameter);
            parameter.value[0] < 2.0
        };
        assert!(shrinks(ParameterKind::ConvWeight) && shrinks(ParameterKind::LinearWeight));
        let kept = [ParameterKind::Bias, ParameterKind::BatchNormGamma, ParameterKind::BatchNormBeta];
        assert!(kept.into_iter().all(|kind| !shrinks(kind)));
    }

    #[test]
    fn a_nan_gradient_reaches_the_weights() {
        for clip in [Clip::Off, Clip::Value(0.1), Clip::Norm(0.1)] {
            let mut parameter = random_parameter(3);
            parameter.grad[1] = f32::NAN;
            let mut adam = Adam::new(AdamConfig { clip, ..AdamConfig::default() });
            adam.begin_step(Rates { lr: 0.1, beta1: 0.9 }, Some(1.0));
            adam.update(&mut parameter);
            assert!(parameter.value[1].is_nan() && parameter.value[0].is_finite(), "{clip:?}");
        }
    }
}
