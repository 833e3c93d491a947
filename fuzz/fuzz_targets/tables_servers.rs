//! Cdb files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_servers(data));
