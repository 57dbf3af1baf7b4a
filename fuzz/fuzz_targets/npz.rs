//! Fuzzes the reader `npz`.
#![forbid(unsafe_code)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    roentgen::fuzzing::read("npz", bytes);
});
