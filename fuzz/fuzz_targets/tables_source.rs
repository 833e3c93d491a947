//! Source files of tables and aliases.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::source::fuzz(data));
