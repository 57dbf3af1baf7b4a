//! The layers of a residual network. Each is a type whose `backward` is directly below its `forward`.
//!
//! A layer owns its parameters, and what its forward pass saves for the backward pass. Activations are `Array4<f32>` of
//! the shape `(n, h, w, c)`; in training they belong to the layer that connects others ([`Sequential`], [`Residual`]), in
//! evaluation to the [`Workspace`] of the caller. All memory is allocated in the first step and then reused.
//!
//! [`ResNet`] is a network of any table of blocks. The standard one is [`RESNET9`], with the sizes of a [`ResNet9Config`].
//!
//! ```
//! use ndarray::Array4;
//! use roentgen_layers::{LossHead, Pass, ResNet9Config};
//!
//! let config = ResNet9Config { width: 4, ..ResNet9Config::new(1, 3) };
//! let mut model = config.build(0);
//! let x = Array4::<f32>::zeros((2, 24, 24, 1));
//!
//! let mut grad = Array4::zeros((2, 1, 1, 3));
//! let logits = model.forward(&x, Pass::Train { seed: 0, step: 0, shard: 0 });
//! let loss = LossHead::default().forward_backward(logits, &[0, 2], &mut grad);
//! model.backward(&x, &grad);
//! assert!(loss > 0.0);
//!
//! let mut n_parameters = 0;
//! model.for_each_parameter(&mut |parameter| n_parameters += parameter.value.len());
//! assert_eq!(n_parameters, model.architecture().n_parameters());
//! ```
#![forbid(unsafe_code)]

mod activation;
mod architecture;
mod batch_norm2d;
mod conv2d;
mod conv_block;
mod dropout;
mod global_max_pool2d;
mod grad_cam;
mod init;
mod layer;
mod linear;
mod loss_head;
mod memory;
mod residual;
mod resnet;
mod resnet9;
mod sequential;
mod workspace;

pub use activation::reshape;
pub use architecture::{Architecture, BlockSpec, CLASSIFIER, ConvSpec, RESNET9};
pub use conv_block::ConvBlock;
pub use dropout::Dropout;
pub use global_max_pool2d::GlobalMaxPool2d;
pub use grad_cam::grad_cam;
pub use init::Initializer;
pub use layer::{Layer, Pass};
pub use linear::Linear;
pub use loss_head::LossHead;
pub use memory::PassMemory;
pub use residual::Residual;
pub use resnet::ResNet;
pub use resnet9::ResNet9Config;
pub use sequential::{Event, Observer, Sequential};
pub use workspace::Workspace;
