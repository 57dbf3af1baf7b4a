//! The tensors of a model: those that training changes, each with its gradient, and those that it does not.

/// What a parameter is for. It decides its weight decay and its order of axes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Filter of a convolution, `(c_in, k_h, k_w, c_out)`.
    ConvWeight,
    /// Matrix of a linear layer, `(c_in, c_out)`.
    LinearWeight,
    /// Added to each output channel, `(c_out)`.
    Bias,
    /// Batch norm's gamma, `(c)`.
    BatchNormGamma,
    /// Batch norm's beta, `(c)`.
    BatchNormBeta,
}

impl ParameterKind {
    /// Whether decoupled weight decay applies to it: it does to weights, not to biases and batch norm.
    #[must_use]
    pub fn is_weight(self) -> bool {
        matches!(self, Self::ConvWeight | Self::LinearWeight)
    }
}

/// A trainable tensor. The length of `value` and `grad` is the product of `shape`.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its place in the order of the model, from 0: no other parameter of the model has it.
    pub index: usize,
    /// Its path in the model as PyTorch would name it, `conv1.0.weight`.
    pub name: String,
    /// What it is for.
    pub kind: ParameterKind,
    /// Size of each axis; the last one is contiguous.
    pub shape: Vec<usize>,
    /// The current values.
    pub value: Vec<f32>,
    /// Gradient of the loss, set by the backward pass.
    pub grad: Vec<f32>,
}

impl Parameter {
    /// A parameter with all elements equal to `fill`. Its index is 0 until its layer is part of a model.
    #[must_use]
    pub fn filled(name: String, kind: ParameterKind, shape: &[usize], fill: f32) -> Self {
        let len = shape.iter().product();
        let (value, grad) = (vec![fill; len], vec![0.0; len]);
        Self { index: 0, name, kind, shape: shape.to_vec(), value, grad }
    }
}

/// A named tensor of the model that is not trained: running statistics of batch norm.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its path in the model as PyTorch would name it, `conv1.1.running_mean`.
    pub name: String,
    /// One element per channel.
    pub value: Vec<f32>,
}
