//! The value of a smtpd_*_restrictions parameter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzz_list(data));
