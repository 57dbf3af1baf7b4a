//! Fuzzes the reader `config`.
#![forbid(unsafe_code)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    roentgen::fuzzing::read("config", bytes);
});
