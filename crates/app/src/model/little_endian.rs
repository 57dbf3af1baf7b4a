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

/// The numbers of little-endian bytes; bytes at the end that are not a whole number are left out.
pub(crate) fn from_little_endian(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&number| f32::from_le_bytes(number)).collect()
}
