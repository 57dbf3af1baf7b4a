//! Weight decay: a pull of the weights towards zero.

use roentgen_tensor::parameter::ParameterKind;

/// The two ways of decaying weights; they differ under Adam (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// `decay * w` is added to the gradient of every parameter, after clipping (`torch.optim.Adam`).
    L2(f32),
    /// Weights shrink by `lr * decay` apart from the gradient (`torch.optim.AdamW`); biases and batch norm don't.
    Decoupled(f32),
}

impl WeightDecay {
    /// Decay of one step as `(l2, shrink)`: `g` becomes `g + l2 * w`, and `w` becomes `w * shrink`.
    pub(crate) fn l2_and_shrink(self, lr: f64, kind: ParameterKind) -> (f32, f32) {
        match self {
            Self::L2(decay) => (decay, 1.0),
            Self::Decoupled(decay) if kind.is_weight() => (0.0, (1.0 - lr * f64::from(decay)) as f32),
            Self::Decoupled(_) => (0.0, 1.0),
        }
    }
}
