//! f32 kernels, forward and backward, in safe Rust.
#![forbid(unsafe_code)]

pub mod conv2d;
pub mod gemm;
pub mod parameter;
pub mod reduce;
pub mod reference;
pub mod rng;
pub mod scratch;
