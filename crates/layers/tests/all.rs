//! The tests of the layers in one program: one to link instead of many, and each core always has a test to run.
#![forbid(unsafe_code)]

mod layers;
mod measuring;
mod shared_model;

#[path = "support/models.rs"]
mod models;
