//! Output in the terminal.

pub(crate) mod probability;
pub(crate) mod screen;
pub(crate) mod tables;
