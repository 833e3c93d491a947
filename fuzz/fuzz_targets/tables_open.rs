//! Tables that are written out in their name: inline, patterns, networks, tables of tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_open(data));
