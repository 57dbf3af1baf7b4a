//! The bytes of numbers in files.

use std::borrow::Cow;

/// The bytes of numbers as files have them; on most machines, the numbers as they lie in memory.
pub(crate) fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::from(bytemuck::cast_slice(values))
    } else {
        values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }
}
