//! Fuzzes the reader `model`.
#![forbid(unsafe_code)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    roentgen::fuzzing::read("model", bytes);
});
