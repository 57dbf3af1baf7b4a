//! What training changes: a named tensor with its gradient.

/// What a parameter is; decides how it is initialised, decayed and laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Filter of a convolution, `(c_in, k_h, k_w, c_out)`.
    ConvWeight,
    /// Matrix of a linear layer, `(c_in, c_out)`.
    LinearWeight,
    /// Added per output channel, `(c_out)`.
    Bias,
    /// Batch norm's gamma, `(c)`.
    BatchNormGamma,
    /// Batch norm's beta, `(c)`.
    BatchNormBeta,
}

impl ParameterKind {
    /// Whether decoupled weight decay applies: to weights, not to biases and batch norm.
    #[must_use]
    pub fn is_weight(self) -> bool {
        matches!(self, Self::ConvWeight | Self::LinearWeight)
    }
}

/// A trainable tensor; `value` and `grad` have the length that `shape` says.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its path in the model as PyTorch would name it, `conv1.0.weight`.
    pub name: String,
    /// What it is.
    pub kind: ParameterKind,
    /// Extent of each dimension, last one contiguous.
    pub shape: Vec<usize>,
    /// The numbers that the model computes with.
    pub value: Vec<f32>,
    /// Gradient of the loss, set by the backward pass.
    pub grad: Vec<f32>,
}

impl Parameter {
    /// A parameter whose every element is `fill`.
    #[must_use]
    pub fn filled(name: String, kind: ParameterKind, shape: &[usize], fill: f32) -> Self {
        let len = shape.iter().product();
        Self { name, kind, shape: shape.to_vec(), value: vec![fill; len], grad: vec![0.0; len] }
    }
}

/// A named tensor that is part of the model but not trained: batch norm's running statistics.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its path in the model as PyTorch would name it, `conv1.1.running_mean`.
    pub name: String,
    /// One number per channel.
    pub value: Vec<f32>,
}
