//! f32 kernels, forward and backward, in safe Rust.
#![forbid(unsafe_code)]

pub mod parameter;
pub mod rng;
