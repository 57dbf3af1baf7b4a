//! The tests of the command line in one program: one to link instead of many, and each core always has a test to run.
#![forbid(unsafe_code)]

#[cfg(all(unix, feature = "serve"))]
mod browser;
mod cache;
mod cli;
#[cfg(feature = "dicom")]
mod dicom;
mod divergence;
mod explain;
mod fractions;
mod guards;
mod interchange;
mod kills;
mod micro_batches;
mod output;
mod predict;
mod recompute;
mod report;
mod resume;
#[cfg(all(unix, feature = "serve"))]
mod serve;
#[cfg(all(unix, feature = "serve"))]
mod serve_training;
mod several;
mod sweep;
mod tasks;
mod tools;

#[path = "support/program.rs"]
mod program;
#[cfg(all(unix, feature = "serve"))]
#[path = "support/webdriver.rs"]
mod webdriver;
