//! Initial weights.

use roentgen_tensor::parameter::{Parameter, ParameterKind};
use roentgen_tensor::rng::{CounterRng, Purpose};

/// Draws the initial value of one parameter after the other, each from a stream of its own.
#[derive(Debug)]
pub struct Initializer {
    seed: u64,
    next: u64,
}

impl Initializer {
    /// An initializer whose draws depend on `seed` and on the order of the parameters.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }

    /// A parameter drawn from U(-b, b) with `b = 1 / sqrt(fan_in)`: PyTorch's default for the weights and biases of
    /// convolutions and linear layers.
    pub fn uniform(
        &mut self,
        name: String,
        kind: ParameterKind,
        shape: &[usize],
        fan_in: usize,
    ) -> Parameter {
        let bound = 1.0 / (fan_in as f32).sqrt();
        let mut rng = CounterRng::new(self.seed, Purpose::Init, self.next, 0);
        self.next += 1;
        let mut parameter = Parameter::filled(name, kind, shape, 0.0);
        parameter.value.fill_with(|| rng.range(-bound, bound));
        parameter
    }
}
