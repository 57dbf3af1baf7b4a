//! ResNet9: the network of the table [`RESNET9`], the only network that model files can contain.

use roentgen_tensor::conv2d::ConvChoice;

use crate::{Architecture, RESNET9, ResNet};

/// The sizes of a ResNet9.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResNet9Config {
    /// Channels of the images: 1 for grey, 3 for colour.
    pub c_in: usize,
    /// Classes.
    pub n_classes: usize,
    /// Channels after the first convolution, 64 in the recipe; later ones have 2, 4 and 8 times as many.
    pub width: usize,
    /// Probability of dropping a feature before the linear layer, 0.2 in the recipe.
    pub dropout: f32,
    /// Algorithms to choose from for the convolutions; changes nothing but speed and rounding.
    pub conv: ConvChoice,
}

impl ResNet9Config {
    /// The sizes of the recipe.
    #[must_use]
    pub fn new(c_in: usize, n_classes: usize) -> Self {
        Self { c_in, n_classes, width: 64, dropout: 0.2, conv: ConvChoice::Auto }
    }

    /// The architecture: the table of ResNet9 with these sizes.
    #[must_use]
    pub fn architecture(self) -> Architecture {
        let Self { c_in, n_classes, width, dropout, conv } = self;
        Architecture { name: "ResNet9", blocks: RESNET9, c_in, n_classes, width, dropout, conv }
    }

    /// The network with random weights, which `seed` determines.
    #[must_use]
    pub fn build(self, seed: u64) -> ResNet {
        ResNet::new(self.architecture(), seed)
    }
}
