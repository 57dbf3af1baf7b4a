//! f32 kernels, forward and backward, in safe Rust.
//!
//! Kernels are functions over slices. Arguments come in this order: the sizes, as a geometry that is checked once;
//! inputs; what forward saved; outputs. Activations are contiguous and have the shape `(n, h, w, c)`. Each backward is
//! directly below its forward, and tests compare each kernel with a simple version of it in [`mod@reference`]. All
//! gradients are overwritten, not added to. A kernel panics if the lengths do not fit; it cannot fail otherwise.
//!
//! Kernels run on the rayon pool that they are called in. They divide sums by sizes alone and add partial sums in a fixed
//! order, so the result has the same bits with any number of threads. Winograd's convolutions also use the number of
//! threads: for the size of tasks and the order of work, never for the terms of a sum. Temporary memory comes from [`scratch`].
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
pub mod caches;
pub mod conv2d;
pub mod dropout;
mod gemm;
pub mod global_max_pool2d;
pub mod lanes;
pub mod linear;
pub mod parameter;
pub mod reference;
pub mod rng;
pub mod scratch;
pub mod softmax_cross_entropy;
mod tasks;
