//! master.cf, read and printed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| params::master_text::fuzz_master_cf(data));
