//! The tests of the readers in one program: one to link instead of many, and each core always has a test to run.
#![forbid(unsafe_code)]

mod arrays;
mod class_folders;
mod folders;
mod formats;
mod jpeg_sweep;
mod manifests;
mod mutated;
mod odd_images;
mod other_data;
mod phantom;
mod planted_duplicates;
mod real_data;
mod splits;

#[path = "support/files.rs"]
mod files;

#[path = "support/images.rs"]
mod images;

#[path = "support/real_sets.rs"]
mod real_sets;
