//! How element-wise and channel-wise kernels are cut into tasks: by sizes alone, so that sums have a fixed order.

/// Rows that one task of a channel-wise kernel owns.
pub(crate) const TASK_ROWS: usize = 512;
/// Numbers that one task of an element-wise kernel owns.
pub(crate) const TASK_ELEMENTS: usize = 1 << 14;
