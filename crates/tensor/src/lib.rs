//! f32 kernels, forward and backward, in safe Rust.
#![forbid(unsafe_code)]

pub mod add;
pub mod batch_norm;
pub mod conv2d;
pub mod dropout;
pub mod gemm;
pub mod linear;
pub mod max_pool2d;
pub mod parameter;
pub mod reduce;
pub mod reference;
pub mod relu;
pub mod rng;
pub mod scratch;
pub mod softmax_cross_entropy;
