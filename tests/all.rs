//! The tests of the whole workspace in one program: one to link instead of many, and each core always has a test to run.
#![forbid(unsafe_code)]

mod conv_algorithms;
mod gradients;
mod interval_coverage;
mod metrics_golden;
mod optim_golden;
mod reproducible;
mod resnet9_golden;
