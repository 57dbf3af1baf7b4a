//! Weight decay: makes the weights smaller in every step.

use roentgen_tensor::parameter::ParameterKind;

/// The two kinds of weight decay, which differ with Adam (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// `decay * w` is added to the gradient of every parameter, after clipping (`torch.optim.Adam`).
    L2(f32),
    /// Weights are multiplied by `1 - lr * decay`, separately from the gradient (`torch.optim.AdamW`). Biases and batch norm
    /// are not decayed.
    Decoupled(f32),
}

impl WeightDecay {
    /// The decay of one step as `(l2, shrink)`: `g` becomes `g + l2 * w`, and `w` becomes `w * shrink`.
    pub(crate) fn l2_and_shrink(self, lr: f64, kind: ParameterKind) -> (f32, f32) {
        match self {
            Self::L2(decay) => (decay, 1.0),
            Self::Decoupled(decay) if kind.is_weight() => (0.0, (1.0 - lr * f64::from(decay)) as f32),
            Self::Decoupled(_) => (0.0, 1.0),
        }
    }
}
