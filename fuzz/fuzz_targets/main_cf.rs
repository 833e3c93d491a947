//! main.cf, read and edited.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| params::edit::fuzz_main_cf(data));
