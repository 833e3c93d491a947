//! Header sections, in any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::header::fuzz_header_scanner(data));
