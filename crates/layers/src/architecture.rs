//! The architecture of a network as a table. The network itself, the list of its convolutions, the names of its layers, the
//! ONNX export and the description are all made from this table.

use roentgen_tensor::conv2d::{Conv2dGeometry, ConvChoice, TAPS};

use BlockSpec::{Block, Residual};

/// The standard network. Another line is another block.
pub const RESNET9: &[BlockSpec] = &[
    Block { name: "conv1", width_multiple: 1, pool: false },
    Block { name: "conv2", width_multiple: 2, pool: true },
    Residual { name: "res1" },
    Block { name: "conv3", width_multiple: 4, pool: true },
    Block { name: "conv4", width_multiple: 8, pool: true },
    Residual { name: "res2" },
];

/// The name of the linear layer of every network, the prefix of the names of its tensors.
pub const CLASSIFIER: &str = "classifier";

/// The names of the layers that follow the blocks in every network: global max pool, dropout, linear layer.
pub(crate) const HEAD: [&str; 3] = ["pool", "dropout", CLASSIFIER];

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSpec {
    /// One convolution with batch norm and ReLU ([`ConvBlock`](crate::ConvBlock)).
    Block {
        /// Its name, the prefix of the names of its tensors.
        name: &'static str,
        /// Channels of its output, as a multiple of [`Architecture::width`].
        width_multiple: usize,
        /// Whether a 2x2 max pool follows, which halves height and width.
        pool: bool,
    },
    /// A residual connection around two convolutions that keep the number of channels ([`Residual`](crate::Residual)).
    Residual {
        /// Its name; its blocks are `{name}.0` and `{name}.1`.
        name: &'static str,
    },
}

impl BlockSpec {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Block { name, .. } | Residual { name } => name,
        }
    }
}

/// A table of blocks, and the sizes that it does not contain: everything that determines the shape of a network.
///
/// Every network ends with a global max pool, a dropout and a linear layer.
///
/// ```
/// use roentgen_layers::{Architecture, BlockSpec::{Block, Residual}, ResNet9Config};
///
/// let tiny = &[Block { name: "conv1", width_multiple: 1, pool: true }, Residual { name: "res1" }];
/// let architecture = Architecture { name: "tiny", blocks: tiny, ..ResNet9Config::new(1, 3).architecture() };
/// assert_eq!(architecture.layer_names(), ["conv1", "res1", "pool", "dropout", "classifier"]);
/// assert_eq!(architecture.convolutions().len(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Architecture {
    /// Name of the network.
    pub name: &'static str,
    /// The table.
    pub blocks: &'static [BlockSpec],
    /// Channels of the images: 1 for grey, 3 for colour.
    pub c_in: usize,
    /// Classes.
    pub n_classes: usize,
    /// The number of channels that [`BlockSpec::Block::width_multiple`] multiplies.
    pub width: usize,
    /// Probability of dropping a feature before the linear layer.
    pub dropout: f32,
    /// Algorithms to choose from for the convolutions; changes nothing but speed and rounding.
    pub conv: ConvChoice,
}

/// One convolution of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// The name of its block.
    pub name: String,
    /// Channels of its input.
    pub c_in: usize,
    /// Channels of its output.
    pub c_out: usize,
    /// Number of pools before it; each halves height and width.
    pub n_pools_before: usize,
    /// Whether a 2x2 max pool follows.
    pub pool: bool,
    choice: ConvChoice,
}

impl ConvSpec {
    /// The sizes of the convolution for a batch of `n` images of `h` x `w`.
    #[must_use]
    pub fn geometry(&self, n: usize, h: usize, w: usize) -> Conv2dGeometry {
        let (h, w) = (h >> self.n_pools_before, w >> self.n_pools_before);
        Conv2dGeometry::new(n, h, w, self.c_in, self.c_out).with_choice(self.choice)
    }

    /// Number of trainable values: filter, bias, gamma and beta.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        (TAPS * self.c_in + 3) * self.c_out
    }
}

impl Architecture {
    /// The convolutions in order.
    #[must_use]
    pub fn convolutions(&self) -> Vec<ConvSpec> {
        let mut convolutions = Vec::new();
        for block in self.blocks {
            match *block {
                Block { name, width_multiple, pool } => {
                    self.append(&mut convolutions, name.to_owned(), Some(width_multiple * self.width), pool);
                }
                Residual { name } => {
                    self.append(&mut convolutions, format!("{name}.0"), None, false);
                    self.append(&mut convolutions, format!("{name}.1"), None, false);
                }
            }
        }
        convolutions
    }

    /// Appends a convolution with `c_out` output channels; `None` keeps the number of channels.
    fn append(&self, convolutions: &mut Vec<ConvSpec>, name: String, c_out: Option<usize>, pool: bool) {
        let (c_in, n_pools_before) = match convolutions.last() {
            None => (self.c_in, 0),
            Some(last) => (last.c_out, last.n_pools_before + usize::from(last.pool)),
        };
        let (c_out, choice) = (c_out.unwrap_or(c_in), self.conv);
        convolutions.push(ConvSpec { name, c_in, c_out, n_pools_before, pool, choice });
    }

    /// The names of the layers in order; an [`Event`](crate::Event) gives the index of one.
    #[must_use]
    pub fn layer_names(&self) -> Vec<&'static str> {
        self.blocks.iter().map(|block| block.name()).chain(HEAD).collect()
    }

    /// Channels after the last convolution: the inputs of the linear layer.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.convolutions().last().map_or(self.c_in, |conv| conv.c_out)
    }

    /// Number of trainable values of the linear layer.
    #[must_use]
    pub fn n_classifier_parameters(&self) -> usize {
        (self.n_features() + 1) * self.n_classes
    }

    /// Number of trainable values of the network.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        let convolutions = self.convolutions().iter().map(ConvSpec::n_parameters).sum::<usize>();
        convolutions + self.n_classifier_parameters()
    }

    /// Smallest height and width of an image: the pools reduce it to one pixel.
    #[must_use]
    pub fn min_size(&self) -> usize {
        1 << self.blocks.iter().filter(|block| matches!(block, Block { pool: true, .. })).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ResNet, ResNet9Config};

    #[test]
    fn the_table_of_resnet9_gives_the_sizes_of_its_convolutions() {
        let architecture = ResNet9Config { width: 10, ..ResNet9Config::new(3, 4) }.architecture();
        let found: Vec<(String, [usize; 4], bool)> = architecture
            .convolutions()
            .into_iter()
            .map(|conv| {
                let g = conv.geometry(2, 25, 24);
                (conv.name, [g.h, g.w, g.c_in, g.c_out], conv.pool)
            })
            .collect();
        let expected = [
            ("conv1", [25, 24, 3, 10], false),
            ("conv2", [25, 24, 10, 20], true),
            ("res1.0", [12, 12, 20, 20], false),
            ("res1.1", [12, 12, 20, 20], false),
            ("conv3", [12, 12, 20, 40], true),
            ("conv4", [6, 6, 40, 80], true),
            ("res2.0", [3, 3, 80, 80], false),
            ("res2.1", [3, 3, 80, 80], false),
        ];
        assert_eq!(found, expected.map(|(name, sizes, pool)| (name.to_owned(), sizes, pool)));
        assert_eq!((architecture.n_features(), architecture.min_size()), (80, 8));
        let names = ["conv1", "conv2", "res1", "conv3", "conv4", "res2", "pool", "dropout", "classifier"];
        assert_eq!(architecture.layer_names(), names);
    }

    #[test]
    fn a_table_that_begins_with_a_residual_connection_keeps_the_channels_of_the_images() {
        const BLOCKS: &[BlockSpec] =
            &[Residual { name: "res" }, Block { name: "conv", width_multiple: 2, pool: true }];
        let sizes = ResNet9Config { width: 3, ..ResNet9Config::new(1, 2) };
        let architecture = Architecture { name: "odd", blocks: BLOCKS, ..sizes.architecture() };
        let mut n_parameters = 0;
        let model = ResNet::new(architecture, 0);
        model.for_each_parameter(&mut |parameter| n_parameters += parameter.value.len());
        // Three blocks of filter, bias, gamma and beta; the linear layer.
        assert_eq!(n_parameters, 2 * (9 + 3) + (9 + 3) * 6 + (6 + 1) * 2);
        assert_eq!(architecture.n_parameters(), n_parameters);
        assert_eq!(architecture.min_size(), 2);
    }
}
