//! Addresses in MAIL and RCPT.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smtp::fuzz::fuzz_address(data));
