//! ResNet9: eight convolutions, two residual connections, one linear layer.

use ndarray::Array4;
use roentgen_tensor::conv2d::{Conv2dGeometry, ConvChoice, TAPS};
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::{
    ConvBlock, Dropout, GlobalMaxPool2d, Initializer, Layer, Linear, Observer, Pass, Residual, Sequential,
    Workspace,
};

/// Smallest height and width: three 2x2 pools leave one pixel.
pub const MIN_SIZE: usize = 8;

/// The sizes of a ResNet9.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResNet9Config {
    /// Channels of the images: 1 for grey, 3 for colour.
    pub c_in: usize,
    /// Classes.
    pub n_classes: usize,
    /// Channels after the first convolution, 64 in the recipe; deeper ones have 2, 4 and 8 times as many.
    pub width: usize,
    /// Probability of dropping a feature before the linear layer, 0.2 in the recipe.
    pub dropout: f32,
    /// Algorithms to choose from for the convolutions; changes nothing but speed and rounding.
    pub conv: ConvChoice,
}

impl ResNet9Config {
    /// The recipe's sizes.
    #[must_use]
    pub fn new(c_in: usize, n_classes: usize) -> Self {
        Self { c_in, n_classes, width: 64, dropout: 0.2, conv: ConvChoice::Auto }
    }

    /// The convolutions in order, with their names, for a batch of `n` images of `h` x `w`.
    #[must_use]
    pub fn convolutions(&self, n: usize, h: usize, w: usize) -> [(&'static str, Conv2dGeometry); 8] {
        let width = self.width;
        [
            ("conv1", 1, self.c_in, width),
            ("conv2", 1, width, 2 * width),
            ("res1.0", 2, 2 * width, 2 * width),
            ("res1.1", 2, 2 * width, 2 * width),
            ("conv3", 2, 2 * width, 4 * width),
            ("conv4", 4, 4 * width, 8 * width),
            ("res2.0", 8, 8 * width, 8 * width),
            ("res2.1", 8, 8 * width, 8 * width),
        ]
        .map(|(name, shrink, c_in, c_out)| {
            let geometry = Conv2dGeometry::new(n, h / shrink, w / shrink, c_in, c_out);
            (name, geometry.with_choice(self.conv))
        })
    }

    /// Trainable numbers.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        // Filter, bias, gamma and beta of each block; then the linear layer.
        let blocks = self.convolutions(1, MIN_SIZE, MIN_SIZE);
        let blocks = blocks.iter().map(|(_, g)| (TAPS * g.c_in + 3) * g.c_out).sum::<usize>();
        blocks + (8 * self.width + 1) * self.n_classes
    }
}

/// The network, with the memory of a pass through it.
#[derive(Debug)]
pub struct ResNet9 {
    net: Sequential,
    logits: Array4<f32>,
}

/// The layers in order; an [`Event`](crate::Event) tells of one by its place here.
pub const LAYERS: [&str; 9] =
    ["conv1", "conv2", "res1", "conv3", "conv4", "res2", "pool", "dropout", "classifier"];

/// The index of one of them: what comes before gives the feature map, what follows makes logits of the features.
const POOL: usize = 6;

impl ResNet9 {
    /// A network with random weights, decided by `seed`.
    #[must_use]
    pub fn new(config: &ResNet9Config, seed: u64) -> Self {
        let &ResNet9Config { c_in, n_classes, width, dropout, conv } = config;
        let init = &mut Initializer::new(seed);
        let block = |init: &mut Initializer, name: &str, c_in: usize, c_out: usize| {
            ConvBlock::new(init, name, c_in, c_out).with_choice(conv)
        };
        let residual = |init: &mut Initializer, name: &str, c: usize| {
            let first = block(init, &format!("{name}.0"), c, c);
            Residual::around(first, block(init, &format!("{name}.1"), c, c))
        };
        let net = Sequential::new()
            .then(block(init, "conv1", c_in, width))
            .then(block(init, "conv2", width, 2 * width).with_pool())
            .then(residual(init, "res1", 2 * width))
            .then(block(init, "conv3", 2 * width, 4 * width).with_pool())
            .then(block(init, "conv4", 4 * width, 8 * width).with_pool())
            .then(residual(init, "res2", 8 * width))
            .then(GlobalMaxPool2d::default())
            .then(Dropout::new(dropout))
            .then(Linear::new(init, "classifier", 8 * width, n_classes));
        Self { net, logits: Array4::default((0, 0, 0, 0)) }
    }

    /// The logits `(n, 1, 1, n_classes)` of the images `x`, `(n, h, w, c_in)`, in training.
    ///
    /// # Panics
    /// If an image is smaller than [`MIN_SIZE`] or the batch is empty.
    pub fn forward(&mut self, x: &Array4<f32>, pass: Pass) -> &Array4<f32> {
        check(x);
        self.net.forward(x, &mut self.logits, pass);
        &self.logits
    }

    /// The logits of the images `x` in evaluation; `workspace` keeps them, and the features that they were made from.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn infer<'a>(&self, x: &Array4<f32>, workspace: &'a mut Workspace) -> &'a Array4<f32> {
        check(x);
        let mut outputs = [
            std::mem::take(&mut workspace.feature_map),
            std::mem::take(&mut workspace.features),
            std::mem::take(&mut workspace.logits),
        ];
        let [feature_map, features, logits] = &mut outputs;
        self.net.infer_layers(0..POOL, x, feature_map, workspace);
        self.net.infer_layers(POOL..POOL + 1, feature_map, features, workspace);
        self.net.infer_layers(POOL + 1..LAYERS.len(), features, logits, workspace);
        [workspace.feature_map, workspace.features, workspace.logits] = outputs;
        &workspace.logits
    }

    /// Sets the gradients of the parameters to those of a loss, from its gradient with respect to the logits of the
    /// last [`Self::forward`], a [`Pass::Train`] on `x`. What `grad_logits` holds afterwards is unspecified.
    pub fn backward(&mut self, x: &Array4<f32>, grad_logits: &mut Array4<f32>) {
        self.net.backward(x, &self.logits, grad_logits, None);
    }

    /// From now on calls `observer` at every event of a training pass.
    pub fn observe(&mut self, observer: Observer) {
        self.net.observe(observer);
    }

    /// Reads the parameters in a fixed order.
    pub fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.net.for_each_parameter(visit);
    }

    /// Visits the parameters in the same order, to change them: what evaluation had prepared of the weights is forgotten.
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
}

fn check(x: &Array4<f32>) {
    let (n, h, w, _) = x.dim();
    assert!(
        n > 0 && h.min(w) >= MIN_SIZE,
        "ResNet9 needs images of at least {MIN_SIZE}x{MIN_SIZE}, not {h}x{w}"
    );
}
