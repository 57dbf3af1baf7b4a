//! Output in the terminal.

pub(crate) mod figures;
pub(crate) mod foreign_text;
pub(crate) mod probability;
pub(crate) mod progress_lines;
pub(crate) mod screen;
pub(crate) mod standard_output;
pub(crate) mod tables;
