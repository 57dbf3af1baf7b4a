//! A residual network for images, made from the table of its blocks.

use ndarray::Array4;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::architecture::HEAD;
use crate::{
    Architecture, BlockSpec, ConvBlock, Dropout, GlobalMaxPool2d, Initializer, Layer, Linear, Observer, Pass,
    Residual, Sequential, Workspace,
};

/// A network of any architecture, with the memory of a training pass.
///
/// ```
/// use ndarray::Array4;
/// use roentgen_layers::{Architecture, BlockSpec::{Block, Residual}, ResNet, ResNet9Config, Workspace};
///
/// // One more residual connection than a ResNet9 has, in the middle.
/// const RESNET11: &[roentgen_layers::BlockSpec] = &[
///     Block { name: "conv1", width_multiple: 1, pool: false },
///     Block { name: "conv2", width_multiple: 2, pool: true },
///     Residual { name: "res1" },
///     Block { name: "conv3", width_multiple: 4, pool: true },
///     Residual { name: "res2" },
///     Block { name: "conv4", width_multiple: 8, pool: true },
///     Residual { name: "res3" },
/// ];
/// let sizes = ResNet9Config { width: 4, ..ResNet9Config::new(1, 3) };
/// let architecture = Architecture { name: "ResNet11", blocks: RESNET11, ..sizes.architecture() };
/// let model = ResNet::new(architecture, 0);
/// let mut workspace = Workspace::default();
/// assert_eq!(model.infer(&Array4::zeros((2, 24, 24, 1)), &mut workspace).shape(), [2, 1, 1, 3]);
/// ```
#[derive(Debug)]
pub struct ResNet {
    architecture: Architecture,
    /// The blocks, then the layers of [`HEAD`].
    net: Sequential,
    logits: Array4<f32>,
}

impl ResNet {
    /// A network with random weights, which `seed` determines.
    #[must_use]
    pub fn new(architecture: Architecture, seed: u64) -> Self {
        Self::initialized_by(&mut Initializer::new(seed), architecture)
    }

    /// A network whose weights are zero, to be read from a file.
    #[must_use]
    pub fn zeros(architecture: Architecture) -> Self {
        Self::initialized_by(&mut Initializer::zeros(), architecture)
    }

    fn initialized_by(init: &mut Initializer, architecture: Architecture) -> Self {
        let mut convolutions = architecture.convolutions().into_iter();
        let mut next_block = |init: &mut Initializer| {
            let conv = convolutions.next().expect("a convolution for each block");
            let block =
                ConvBlock::new(init, &conv.name, conv.c_in, conv.c_out).with_choice(architecture.conv);
            if conv.pool { block.with_pool() } else { block }
        };
        let mut net = Sequential::new();
        for spec in architecture.blocks {
            let first = next_block(init);
            net = match spec {
                BlockSpec::Block { .. } => net.then(first),
                BlockSpec::Residual { .. } => net.then(Residual::around(first, next_block(init))),
            };
        }
        let [_, _, classifier] = HEAD;
        let net = net
            .then(GlobalMaxPool2d::default())
            .then(Dropout::new(architecture.dropout))
            .then(Linear::new(init, classifier, architecture.n_features(), architecture.n_classes));
        Self { architecture, net, logits: Array4::default((0, 0, 0, 0)) }
    }

    /// The architecture of the network.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The logits of the images `x` in training.
    ///
    /// # Shapes
    /// `x`: `(n, h, w, c_in)`; the result: `(n, 1, 1, n_classes)`.
    ///
    /// # Panics
    /// If the batch is empty, or its images are smaller than [`Architecture::min_size`] or do not have `c_in` channels.
    pub fn forward(&mut self, x: &Array4<f32>, pass: Pass) -> &Array4<f32> {
        self.check(x);
        self.net.forward(x, &mut self.logits, pass);
        &self.logits
    }

    /// Sets the gradients of the parameters to those of a loss, from its gradient with respect to the logits of the
    /// last [`Self::forward`], a [`Pass::Train`] on `x`.
    ///
    /// # Shapes
    /// `x` as in [`Self::forward`]; `grad_logits`: `(n, 1, 1, n_classes)`.
    ///
    /// # Panics
    /// If `x` or `grad_logits` has another length than in the last [`Self::forward`].
    pub fn backward(&mut self, x: &Array4<f32>, grad_logits: &Array4<f32>) {
        self.backward_with(x, grad_logits, &mut |_| {});
    }

    /// As [`Self::backward`]; calls `done` with each layer as soon as its gradients are set, the last layer first. There, the
    /// gradients may be read, or replaced by others.
    ///
    /// # Shapes
    /// As in [`Self::backward`].
    ///
    /// # Panics
    /// As [`Self::backward`].
    pub fn backward_with(
        &mut self,
        x: &Array4<f32>,
        grad_logits: &Array4<f32>,
        done: &mut dyn FnMut(&mut dyn Layer),
    ) {
        self.net.backward_with(x, grad_logits, None, done);
    }

    /// The logits of the images `x` in evaluation. `workspace` also stores the output of the first and of the last
    /// block, and the features that the logits were computed from.
    ///
    /// # Shapes
    /// As in [`Self::forward`].
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn infer<'a>(&self, x: &Array4<f32>, workspace: &'a mut Workspace) -> &'a Array4<f32> {
        self.check(x);
        let mut outputs = [
            std::mem::take(&mut workspace.first_block),
            std::mem::take(&mut workspace.feature_map),
            std::mem::take(&mut workspace.features),
            std::mem::take(&mut workspace.logits),
        ];
        let [first_block, feature_map, features, logits] = &mut outputs;
        let n_blocks = self.architecture.blocks.len();
        workspace.begin_pass();
        self.net.infer_layers(0..1, x, first_block, workspace);
        if n_blocks > 1 {
            self.net.infer_layers(1..n_blocks, first_block, feature_map, workspace);
        } else {
            feature_map.clone_from(first_block);
        }
        self.net.infer_layers(n_blocks..n_blocks + 1, feature_map, features, workspace);
        self.net.infer_layers(n_blocks + 1..n_blocks + HEAD.len(), features, logits, workspace);
        workspace.end_pass();
        [workspace.first_block, workspace.feature_map, workspace.features, workspace.logits] = outputs;
        &workspace.logits
    }

    /// From now on calls `observer` at every event of a training pass.
    pub fn observe(&mut self, observer: Observer) {
        self.net.observe(observer);
    }

    /// Reads the parameters in a fixed order.
    pub fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.net.for_each_parameter(visit);
    }

    /// Visits the parameters in the same order, to change them. The filters prepared for evaluation are discarded.
    pub fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.net.for_each_parameter_mut(visit);
    }

    /// Reads the running statistics of the batch norms in a fixed order.
    pub fn for_each_buffer(&self, visit: &mut dyn FnMut(&Buffer)) {
        self.net.for_each_buffer(visit);
    }

    /// Visits the running statistics of the batch norms in the same order, to change them.
    pub fn for_each_buffer_mut(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        self.net.for_each_buffer_mut(visit);
    }

    fn check(&self, x: &Array4<f32>) {
        let (n, h, w, c) = x.dim();
        let Architecture { name, c_in, .. } = self.architecture;
        let min_size = self.architecture.min_size();
        assert!(n > 0, "{name} needs a batch of at least one image");
        assert!(h.min(w) >= min_size, "{name} needs images of at least {min_size}x{min_size}, not {h}x{w}");
        assert!(c == c_in, "{name}: images of {c} channels, expected {c_in}");
    }
}
