//! Many numbers in the JSON of a model file: the base64 of their little-endian bytes, a third as long as digits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

use super::little_endian::{from_little_endian, little_endian};

/// Bytes of a number.
const BYTES: usize = size_of::<f32>();

pub(super) fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(little_endian(values)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
    if !bytes.len().is_multiple_of(BYTES) {
        return Err(D::Error::custom(format!("{} bytes, not a multiple of {BYTES}", bytes.len())));
    }
    Ok(from_little_endian(&bytes))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Packed(#[serde(with = "super")] Vec<f32>);

    #[test]
    fn numbers_are_read_back_bit_for_bit() {
        let numbers = Packed(vec![0.1, -1e-30, f32::MAX, 0.0]);
        let text = serde_json::to_string(&numbers).expect("numbers");
        assert_eq!(serde_json::from_str::<Packed>(&text).expect("our own text"), numbers);
        for damaged in ["\"AAA=\"", "\"no base64!\"", "[1.0]"] {
            assert!(serde_json::from_str::<Packed>(damaged).is_err(), "{damaged}");
        }
    }
}
