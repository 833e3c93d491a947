//! Which answers of a DNS list are meant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzz_pattern(data));
