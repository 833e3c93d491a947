//! The template of a DNS list's reply.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzz_template(data));
