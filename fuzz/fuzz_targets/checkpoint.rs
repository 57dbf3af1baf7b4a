//! Fuzzes the reader `checkpoint`.
#![forbid(unsafe_code)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    roentgen::fuzzing::read("checkpoint", bytes);
});
