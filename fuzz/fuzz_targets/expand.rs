//! `$name` expansion.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| params::expand::fuzz_expand(data));
