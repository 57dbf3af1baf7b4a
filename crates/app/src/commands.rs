//! One file for each command: load, do, show. Commands do not import each other.

pub(crate) mod audit;
pub(crate) mod collect;
pub(crate) mod compare;
pub(crate) mod describe;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod lr_find;
pub(crate) mod phantom;
pub(crate) mod predict;
pub(crate) mod sweep;
pub(crate) mod train;
