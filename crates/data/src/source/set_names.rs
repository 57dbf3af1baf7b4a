//! The names that data have for sets. They are compared as the names of classes are.

use crate::class_look::look_of;
use crate::subset::Subset;

/// The set that a folder or a table cell names, such as `Training`.
pub(super) fn subset_of(name: &str) -> Option<Subset> {
    match look_of(name).as_str() {
        "train" | "training" => Some(Subset::Train),
        "val" | "valid" | "validation" => Some(Subset::Val),
        "test" | "testing" => Some(Subset::Test),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_blanks_and_separators_make_no_difference() {
        for name in ["Validation ", " valid", "VAL\u{200B}", "_val_"] {
            assert_eq!(subset_of(name), Some(Subset::Val), "{name:?}");
        }
        assert_eq!([subset_of("tests"), subset_of("train test"), subset_of("")], [None; 3]);
    }
}
