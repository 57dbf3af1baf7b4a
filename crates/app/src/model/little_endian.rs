//! Numbers as little-endian bytes.

use std::borrow::Cow;

/// The little-endian bytes of numbers; on most machines their representation in memory.
pub(crate) fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::from(bytemuck::cast_slice(values))
    } else {
        values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }
}
