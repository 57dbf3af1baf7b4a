//! f32 kernels, forward and backward, in safe Rust.
//!
//! Kernels are functions over slices: sizes come first, as a geometry that is checked once; then inputs, what forward
//! saved, and outputs. Activations are `(n, h, w, c)`, contiguous. Each backward stands under its forward, and each
//! kernel has a naive twin in [`mod@reference`] that tests compare it with. Gradients are overwritten; those of
//! inputs overwritten. A kernel that is called with wrong sizes panics; nothing else can fail.
//!
//! All of them run on the rayon pool that they are called in, cut by sizes alone and reduce in a fixed order: the
//! result has the same bits at any number of threads. Memory that they need in between comes from [`scratch`].
//!
//! ```
//! use roentgen_tensor::conv2d::{Conv2dGeometry, conv2d_backward_weight, conv2d_forward};
//!
//! let geometry = Conv2dGeometry::new(2, 8, 8, 1, 4);
//! let (x, weight, bias) = (vec![1.0; geometry.x_len()], vec![0.5; geometry.weight_len()], vec![0.0; 4]);
//! let mut y = vec![0.0; geometry.y_len()];
//! conv2d_forward(&geometry, &x, &weight, &bias, &mut y);
//! assert_eq!(y[(8 + 1) * 4], 4.5, "nine ones, each by a half");
//!
//! let mut grad_weight = vec![0.0; geometry.weight_len()];
//! conv2d_backward_weight(&geometry, &x, &y, &mut grad_weight);
//! ```
#![forbid(unsafe_code)]

pub mod add;
mod aligned;
pub mod batch_norm;
pub mod batch_norm_max_pool;
pub mod conv2d;
pub mod dropout;
pub mod gemm;
pub mod global_max_pool2d;
pub mod lanes;
pub mod linear;
pub mod parameter;
pub mod reference;
pub mod rng;
pub mod scratch;
pub mod softmax_cross_entropy;
mod tasks;
