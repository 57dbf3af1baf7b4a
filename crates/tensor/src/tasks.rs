//! How element-wise and channel-wise kernels are divided into tasks: by sizes alone, so that sums have a fixed order.

/// Rows in one task of a channel-wise kernel.
pub(crate) const TASK_ROWS: usize = 512;
/// Elements in one task of an element-wise kernel.
pub(crate) const TASK_ELEMENTS: usize = 1 << 14;
