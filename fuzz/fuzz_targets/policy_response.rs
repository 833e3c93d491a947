//! A policy server's answer, in any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzz_response(data));
