//! Fuzzes the reader `initial_weights`.
#![forbid(unsafe_code)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    roentgen::fuzzing::read("initial_weights", bytes);
});
