//! Addresses brought to standard form and resolved.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| route::fuzz_resolve(data));
