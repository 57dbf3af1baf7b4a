//! From a configuration to a loaded data set, and what was found in it.

pub(crate) mod agreement;
pub(crate) mod class_notes;
pub(crate) mod error;
pub(crate) mod findings;
pub(crate) mod inspection;
pub(crate) mod load;
pub(crate) mod medical;
pub(crate) mod phantom;
pub(crate) mod several;
