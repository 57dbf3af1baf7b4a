//! Optimisation: Adam, weight decay, gradient clipping, the one-cycle schedule, averaging of weights.
//!
//! | part of the recipe | file | type |
//! |---|---|---|
//! | learning rate and `beta1` of every step | `one_cycle` | [`OneCycle`], [`Rates`] |
//! | bound on the gradients | `clip` | [`Clip`], [`sum_of_squares`] |
//! | weight decay | `weight_decay` | [`WeightDecay`] |
//! | the optimiser step | `adam` | [`Adam`], [`AdamConfig`] |
//! | a running average of the weights | `average` | [`WeightAverage`] |
//!
//! Everything here is a function of parameters, gradients and the number of the step; this crate knows no layer. A step
//! is one pass over memory. It is divided into chunks by length alone and uses no fused multiply-adds, so the result has
//! the same bits on every machine and with any number of threads. After the first step nothing is allocated.
//!
//! ```
//! use roentgen_optim::{Adam, AdamConfig, Clip, OneCycle, WeightDecay};
//! use roentgen_tensor::parameter::{Parameter, ParameterKind};
//!
//! // Minimises (w - 3)^2.
//! let mut w = Parameter::filled("w".into(), ParameterKind::LinearWeight, &[1, 1], 0.0);
//! let schedule = OneCycle::new(0.3, 200);
//! let config = AdamConfig { clip: Clip::Norm(1.0), weight_decay: WeightDecay::L2(0.0), ..AdamConfig::default() };
//! let mut adam = Adam::new(config);
//! for step in 0..schedule.total_steps() {
//!     w.grad[0] = 2.0 * (w.value[0] - 3.0);
//!     let grad_norm = roentgen_optim::sum_of_squares(&w.grad).sqrt();
//!     adam.begin_step(schedule.at(step), Some(grad_norm));
//!     adam.update(&mut w);
//! }
//! assert!((w.value[0] - 3.0).abs() < 1e-2, "{}", w.value[0]);
//! ```
#![forbid(unsafe_code)]

mod adam;
mod average;
mod clip;
mod one_cycle;
mod weight_decay;

pub use adam::{Adam, AdamConfig, Moments};
pub use average::WeightAverage;
pub use clip::{Clip, sum_of_squares};
pub use one_cycle::{OneCycle, Rates};
pub use weight_decay::WeightDecay;
