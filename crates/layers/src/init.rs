//! Initial weights.

use roentgen_tensor::parameter::{Parameter, ParameterKind};
use roentgen_tensor::rng::{CounterRng, Purpose};

/// Draws the initial values of the parameters in order, each from its own random stream.
#[derive(Debug)]
pub struct Initializer {
    /// None: all values are zero.
    seed: Option<u64>,
    next: u64,
}

impl Initializer {
    /// An initializer whose values depend on `seed` and on the order of the parameters only.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed: Some(seed), next: 0 }
    }

    /// An initializer that draws nothing, for a network whose weights are read from a file.
    #[must_use]
    pub fn zeros() -> Self {
        Self { seed: None, next: 0 }
    }

    /// A parameter drawn uniformly from `[-b, b)` with `b = 1 / sqrt(fan_in)`: PyTorch's default for the weights and biases
    /// of convolutions and linear layers.
    pub fn uniform(
        &mut self,
        name: String,
        kind: ParameterKind,
        shape: &[usize],
        fan_in: usize,
    ) -> Parameter {
        let mut parameter = Parameter::filled(name, kind, shape, 0.0);
        if let Some(seed) = self.seed {
            let bound = 1.0 / (fan_in as f32).sqrt();
            let mut rng = CounterRng::new(seed, Purpose::Init, self.next, 0);
            parameter.value.fill_with(|| rng.range(-bound, bound));
        }
        self.next += 1;
        parameter
    }
}
